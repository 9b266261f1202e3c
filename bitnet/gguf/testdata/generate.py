"""Writes golden.gguf and golden.f32: tensors of every type that the Python
package can decode, and what it makes of them.

Needs gguf==0.19.0 and numpy==2.4.6; run it in this folder. With paths of other
GGUF files it prints, instead, a tensor of every type of theirs with the SHA-256
of its values (those in models_test.go).

A tensor has 12 rows of one 256-value super-block. Rows 0 to 3 are quantized
from normal numbers by the package where it can, the others are random bytes.
Their half-precision scales are set so that every decoder meets zeros of both
signs, the smallest and largest subnormal, the largest number, and an infinity.
"""

import hashlib
import sys

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import GGUFReader, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize

# Where the half-precision scales lie in a block.
SCALES = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
    T.TQ1_0: [52], T.TQ2_0: [64], T.F16: [0], T.BF16: [], T.F32: [],
}
EXTREMES = [0x0000, 0x8000, 0x0001, 0x83FF, 0x7BFF, 0xFC00]  # one a row, from row 6 on
ROWS, COLUMNS = 12, 256


def blocks(t, rng):
    """Returns the bytes of a tensor, [ROWS, bytes of a row]."""
    values, size = GGML_QUANT_SIZES[t]
    data = rng.integers(0, 256, (ROWS, COLUMNS // values, size), dtype=np.uint8)
    for at in SCALES[t]:
        scale = rng.normal(0, 2, data.shape[:2]).astype(np.float16)
        for row, bits in enumerate(EXTREMES, ROWS - len(EXTREMES)):
            scale[row] = np.uint16(bits).view(np.float16)
        data[:, :, at:at + 2] = scale[..., None].view(np.uint8)
    data = data.reshape(ROWS, -1)
    try:
        data[:4] = quantize(rng.normal(0, 1, (4, COLUMNS)).astype(np.float32), t).view(np.uint8)
    except NotImplementedError:
        print(f"{t.name} is not quantized by the package: random bytes only")
    return data


def golden():
    rng = np.random.default_rng(20261123)
    writer = GGUFWriter("golden.gguf", "test")
    for name, value in {"u8": 1, "i8": -1, "u16": 2, "i16": -2, "u32": 3, "i32": -3, "u64": 1 << 40, "i64": -(1 << 40)}.items():
        getattr(writer, "add_" + {"u": "uint", "i": "int"}[name[0]] + name[1:])("test." + name, value)
    writer.add_float32("test.f32", 0.1)
    writer.add_float64("test.f64", 0.1)
    writer.add_bool("test.bool", True)
    writer.add_string("test.string", "größer")
    writer.add_array("test.strings", ["a", "Ġb", "</s>"])
    writer.add_array("test.ints", [1, -2, 3])
    writer.add_array("test.floats", [0.5, -1.5])
    expected = []
    for t in SCALES:
        data = blocks(t, rng)
        with np.errstate(all="ignore"):
            expected.append(dequantize(data, t).astype("<f4"))
        writer.add_tensor("t." + t.name, data, raw_dtype=t)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with open("golden.f32", "wb") as f:
        f.write(b"".join(e.tobytes() for e in expected))


def real(path):
    seen = set()
    for t in GGUFReader(path).tensors:
        if t.tensor_type in seen:
            continue
        seen.add(t.tensor_type)
        values = dequantize(t.data, t.tensor_type).astype("<f4")
        print(f'{t.name} {t.tensor_type.name} {hashlib.sha256(values.tobytes()).hexdigest()}')


if sys.argv[1:]:
    for path in sys.argv[1:]:
        real(path)
else:
    golden()
