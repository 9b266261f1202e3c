package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

var (
	y = []VecPhysical{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15}
	z = []VecPhysical{Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15,
		Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31}
)

// dpbusd adds to sums the products of four unsigned bytes (weights) and four signed ones (activations) per dword, by AVX-VNNI's
// VPDPBUSD on 256 bits. Go's assembler knows EVEX's encoding of it alone, which is another extension, so the bytes of
// VEX.256.66.0F38.W0 50 /r are spelled out.
func dpbusd(signed, unsigned, sums VecPhysical) {
	s, u, d := uint8(signed.PhysicalIndex()), uint8(unsigned.PhysicalIndex()), uint8(sums.PhysicalIndex())
	const r, x, b, map0F38 = 0x80, 0x40, 0x20, 0x02 // R, X and B are stored inverted
	second := uint8(x | map0F38)
	if d < 8 {
		second |= r
	}
	if s < 8 {
		second |= b
	}
	const length256, prefix66 = 0x04, 0x01
	third := (^u&15)<<3 | length256 | prefix66
	Comment("VPDPBUSD " + signed.Asm() + ", " + unsigned.Asm() + ", " + sums.Asm())
	for _, value := range []uint8{0xc4, second, third, 0x50, 0xc0 | d&7<<3 | s&7} {
		Instruction(&ir.Instruction{Opcode: "BYTE", Operands: []Op{U8(value)}, ISA: []string{"AVXVNNI"}})
	}
}

// shifted leaves the codes of a part in every byte of codes: bits 2*part and up of raw.
func shifted(part int, raw, mask, codes VecPhysical) {
	if part == 0 {
		VPAND(raw, mask, codes)
		return
	}
	VPSRLW(U8(2*part), raw, codes)
	VPAND(codes, mask, codes)
}
