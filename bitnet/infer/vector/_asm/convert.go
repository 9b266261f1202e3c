package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

var (
	mostHalf  = table("mostHalf", U32(math.Float32bits(65504)))
	leastHalf = table("leastHalf", U32(math.Float32bits(-65504)))
)

// conversions are those of what is stored in fewer bits, and what scales are made of.
func conversions() {
	function("fromHalfF16C", "func(dst *float32, x *uint16, eights int)", "is dst = x.")
	convert(16, func(dst, x Mem) {
		VCVTPH2PS(x, Y0)
		VMOVUPS(Y0, dst)
	}, false)
	function("toHalfF16C", "func(dst *uint16, x *float32, eights int)", "is dst = x, kept within what float16 has.")
	VMOVUPS(leastHalf, Y14)
	VMOVUPS(mostHalf, Y15)
	convert(16, func(dst, x Mem) {
		VMOVUPS(x, Y0)
		VMAXPS(Y0, Y14, Y0)
		VMINPS(Y0, Y15, Y0)
		VCVTPS2PH(U8(0), Y0, dst)
	}, true)
	function("fromInt8AVX2", "func(dst *float32, x *int8, eights int)", "is dst = x.")
	convert(8, func(dst, x Mem) {
		VPMOVSXBD(x, Y0)
		VCVTDQ2PS(Y0, Y0)
		VMOVUPS(Y0, dst)
	}, false)
	function("toInt8AVX2", "func(dst *int8, x *float32, eights int, factor float32)", "rounds x times factor, at most 127, to even.")
	broadcast("factor", Y15)
	convert(8, func(dst, x Mem) {
		VMULPS(x, Y15, Y0)
		VCVTPS2DQ(Y0, Y0)
		VEXTRACTI128(U8(1), Y0, X1)
		VPACKSSDW(X1, X0, X0)
		VPACKSSWB(X0, X0, X0)
		VMOVQ(X0, dst)
	}, true)
	function("maxAbsAVX2", "func(x *float32, eights int) uint32",
		"is the largest magnitude, as bits: they order magnitudes, and put what is no number above all.")
	x, eights := pointer("x"), count("eights")
	VMOVUPS(noSign, Y0)
	VPXOR(Y1, Y1, Y1)
	loop("eights", eights, func() {
		VPAND(x, Y0, Y2)
		VPMAXUD(Y2, Y1, Y1)
		ADDQ(U8(eight), x.Base)
	})
	VEXTRACTI128(U8(1), Y1, X2)
	VPMAXUD(X2, X1, X1)
	VPSHUFD(U8(0b01001110), X1, X2)
	VPMAXUD(X2, X1, X1)
	VPSHUFD(U8(0b10110001), X1, X2)
	VPMAXUD(X2, X1, X1)
	result := GP32()
	VMOVD(X1, result)
	VZEROUPPER()
	Store(result, ReturnIndex(0))
	RET()
}

// convert is overEights where eight of the narrow type are bytes, and the others float32.
func convert(bytes int, body func(dst, x Mem), narrow bool) {
	dst, x := pointer("dst"), pointer("x")
	to, from := eight, bytes
	if narrow {
		to, from = bytes, eight
	}
	loop("eights", count("eights"), func() {
		body(dst, x)
		ADDQ(U8(to), dst.Base)
		ADDQ(U8(from), x.Base)
	})
	end()
}
