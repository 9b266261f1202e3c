"""Runs the amd64 kernels of bitnet/packed in an emulator: kernels.py PROGRAM, a static test program of that package. What they compute is
compared with sums of Python's integers."""

import random
import struct
import sys

from machine import DATA, Machine

BLOCK = 64  # groups that are unpacked at once
SUMS, PANEL, CODES, UNPACKED = (DATA + i * 0x8000 + 0x1000 for i in range(4))
GUARD = b"\xa5" * 64


def byte(group, row):
    """Where the weights of a group of four columns and a row lie: the first byte, and the shift."""
    return group * 64 + 4 * (row % 16), 2 * (row // 16)


def pack(weights):
    """weights[row][column], 0 to 2, as doc.go of the package says."""
    panel = bytearray(64 * len(weights[0]) // 4)
    for row, columns in enumerate(weights):
        for k, w in enumerate(columns):
            at, shift = byte(k // 4, row)
            panel[at + k % 4] |= w << shift
    return bytes(panel)


def product(weights, codes):
    return [sum(w * c for w, c in zip(row, codes)) for row in weights]


class Test:
    def __init__(self, program):
        self.machine = Machine(program)
        prefix = [s for s in self.machine.symbols if s.endswith("bitnet/packed.gemvAVX2.abi0")]
        if len(prefix) != 1:
            sys.exit(f"{program} has no kernels")
        self.prefix = prefix[0].removesuffix("gemvAVX2.abi0")
        self.done = 0

    def call(self, name, *args):
        self.machine.call(f"{self.prefix}{name}.abi0", *args)

    def expect(self, what, start, want):
        """Compares sums, which were `start` before, and the guards around them."""
        size = 4 * len(start)
        found = self.machine.read(SUMS - 64, size + 128)
        got = list(struct.unpack(f"<{len(start)}i", found[64:-64]))
        if got != want:
            at = next(i for i in range(len(want)) if got[i] != want[i])
            sys.exit(f"FAIL: {what}: sum {at} is {got[at]}, want {want[at]}")
        if found[:64] != GUARD or found[-64:] != GUARD:
            sys.exit(f"FAIL: {what} writes outside of its sums")
        self.done += 1

    def prepare(self, start, weights, codes, stride):
        self.machine.write(SUMS - 64, GUARD + struct.pack(f"<{len(start)}i", *start) + GUARD)
        self.machine.write(PANEL, pack(weights))
        rows = [struct.pack(f"<{len(c)}b", *c).ljust(stride, b"\x77") for c in codes]
        self.machine.write(CODES, b"".join(rows))

    def gemv(self, kernel, weights, codes):
        groups = len(codes) // 4
        start = [-1] * 64
        self.prepare(start, weights, [codes], 4 * groups)
        self.call("gemv" + kernel, SUMS, PANEL, CODES, groups)
        self.expect(f"gemv{kernel}, {groups} groups", start, product(weights, codes))

    def tile(self, kernel, weights, codes):
        groups, tokens = len(codes[0]) // 4, len(codes)
        stride = 64 * (groups // 16 + 1)
        start = [random.randrange(-1000, 1000) for _ in range(64 * tokens)]
        self.prepare(start, weights, codes, stride)
        self.call("unpackAVX512" if kernel == "AVX512" else "unpackAVX2", UNPACKED, PANEL, groups)
        self.call("tile" + kernel, SUMS, UNPACKED, CODES, stride, groups, tokens)
        sums = [s for c in codes for s in product(weights, c)]
        self.expect(f"tile{kernel}, {groups} groups, {tokens} tokens", start, [a + b for a, b in zip(start, sums)])

    def scale(self):
        """AVX-512's scaled sums are those of AVX2, which the package's own tests compare with others wherever they run."""
        sums = [random.randrange(-(2**24), 2**24) for _ in range(64)]
        scales = struct.pack("<64f", *(random.uniform(0.01, 3) for _ in range(64)))
        offset = random.randrange(2**20)
        factor = struct.unpack("<I", struct.pack("<f", random.uniform(0.001, 1)))[0]
        for name in ("scale", "addScaled"):
            got = []
            for kernel in ("AVX2", "AVX512"):
                self.machine.write(SUMS - 64, GUARD + scales + GUARD)  # where the results go
                self.machine.write(PANEL, struct.pack("<64i", *sums))
                self.machine.write(CODES, scales)
                self.call(name + kernel, SUMS, PANEL, CODES, offset | factor << 32)
                got.append(self.machine.read(SUMS - 64, 384))
            if got[0] != got[1] or got[0][64:-64] == scales or got[1][:64] != GUARD or got[1][-64:] != GUARD:
                sys.exit(f"FAIL: {name}: AVX2 and AVX-512 differ, or do nothing")
            self.done += 1


def main():
    test = Test(sys.argv[1])
    random.seed(1)
    for kernel in ("AVX2", "AVXVNNI", "AVX512"):
        for groups in (1, 2, 3, 4, 5, 6, 7, 8, 9, 43, 63, BLOCK, BLOCK + 1, 2 * BLOCK + 7):
            weights = [[random.randrange(3) for _ in range(4 * groups)] for _ in range(64)]
            codes = [[random.randrange(-128, 128) for _ in range(4 * groups)] for _ in range(6)]
            test.gemv(kernel, weights, codes[0])
            if groups <= BLOCK:
                for tokens in range(1, 7):
                    test.tile(kernel, weights, codes[:tokens])
        for weight in (0, 1, 2):
            for code in (-128, 127):
                weights, codes = [[weight] * 4 * BLOCK] * 64, [[code] * 4 * BLOCK] * 6
                test.gemv(kernel, weights, codes[0])
                test.tile(kernel, weights, codes)
        test.call("peak" + kernel, 3)
    for _ in range(10):
        test.scale()
    print(f"{test.done} results of kernels are as they have to be")


main()
