"""Writes golden.gguf and golden.f32: tensors of every type that the Python
package can decode, and what it makes of them; and quantized.gguf: a tensor "x"
and what the package makes of it in every type that it can encode and Go too.

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


def q2_0(x):
    """Quantizes to Q2_0, which the package does not know, after the words of the format."""
    x = x.reshape(-1, 64)
    scale = np.abs(x).max(axis=1, keepdims=True)
    ratio = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0) * x
    codes = (np.sign(ratio) * np.floor(np.abs(ratio).astype(np.float64) + 0.5) + 1).clip(0, 3).astype(np.uint8)
    packed = (codes.reshape(-1, 16, 4) << np.array([0, 2, 4, 6], dtype=np.uint8)).sum(axis=2, dtype=np.uint8)
    return np.concatenate([scale.astype(np.float16).view(np.uint8), packed], axis=1)


def quantized():
    rng = np.random.default_rng(20261124)
    x = rng.normal(0, 1, (12, 256)).astype(np.float32)
    x[1] *= np.float32(1e-6)  # scales are subnormal halves
    x[2] *= np.float32(1e-9)  # scales are zero
    x[3] *= np.float32(5000)
    x[4] = 0
    x[5] = -np.float32(0)
    x[6] = rng.integers(-1, 2, 256) * np.float32(0.03125)  # ternary, and a scale that halves hold
    x[7] = rng.integers(-1, 2, 256) * np.float32(0.1)  # and one that they do not
    x[8] = rng.integers(-254, 255, 256) / np.float32(2)  # ties of Q8_0, whose scale shall be 1
    x[8, ::32] = 127
    x[9] = rng.integers(-16, 16, 256) / np.float32(2)  # ties of Q4_0
    x[9, ::32] = -8
    x[10] = rng.integers(-2, 3, 256) / np.float32(2)  # ties of the ternary types
    x[11, ::7] = 65504  # the largest half
    writer = GGUFWriter("quantized.gguf", "test")
    writer.add_tensor("x", x)
    for t in T.F32, T.F16, T.BF16, T.Q8_0, T.Q4_0, T.TQ1_0, T.TQ2_0:
        writer.add_tensor(t.name, quantize(x, t).view(np.uint8).reshape(len(x), -1), raw_dtype=t)
    writer.add_tensor("Q2_0", q2_0(x), raw_dtype=T.I8)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


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
    quantized()
