package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func maxAbsAVX2() {
	function("maxAbsAVX2", "func(x *float32, eights int) uint32",
		"maxAbsAVX2 is the largest magnitude of 8*eights values, as bits: they order magnitudes, and put what is no number above all.")
	x, eights := Mem{Base: Load(Param("x"), GP64())}, Load(Param("eights"), GP64())
	VPBROADCASTD(noSign, Y0)
	zero(Y1)
	loop("values", eights, func() {
		VPAND(x, Y0, Y2)
		VPMAXUD(Y2, Y1, Y1)
		ADDQ(U8(32), x.Base)
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

// broadcast repeats a float32 parameter. Loading it as avo does, with an instruction of SSE, would wait for AVX's registers.
func broadcast(name string, to Op) {
	parameter, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(parameter.Addr, to)
}

// inOrder undoes what the packing instructions do, which is by halves of 128 bits.
var inOrder = func() Mem {
	m := GLOBL("inOrder", RODATA|NOPTR)
	for i, from := range []uint32{0, 4, 1, 5, 2, 6, 3, 7} {
		DATA(4*i, U32(from))
	}
	return m
}()

func quantizeAVX2() {
	function("quantizeAVX2", "func(codes *int8, x *float32, thirtytwos int, factor float32)",
		"quantizeAVX2 rounds 32*thirtytwos values times factor, which are at most 127, to even integers.")
	codes, x := Mem{Base: Load(Param("codes"), GP64())}, Mem{Base: Load(Param("x"), GP64())}
	n := Load(Param("thirtytwos"), GP64())
	scale := YMM()
	broadcast("factor", scale)
	order := YMM()
	VMOVDQU(inOrder, order)
	v := []VecVirtual{YMM(), YMM(), YMM(), YMM()}
	loop("values", n, func() {
		for i, v := range v {
			VMULPS(x.Offset(32*i), scale, v)
			VCVTPS2DQ(v, v)
		}
		VPACKSSDW(v[1], v[0], v[0])
		VPACKSSDW(v[3], v[2], v[2])
		VPACKSSWB(v[2], v[0], v[0])
		VPERMD(v[0], order, v[0])
		VMOVDQU(v[0], codes)
		ADDQ(U8(128), x.Base)
		ADDQ(U8(32), codes.Base)
	})
	VZEROUPPER()
	RET()
}

func sumAVX2() {
	function("sumAVX2", "func(codes *int8, thirtytwos int) int32", "sumAVX2 adds up 32*thirtytwos codes.")
	codes, n := Mem{Base: Load(Param("codes"), GP64())}, Load(Param("thirtytwos"), GP64())
	VPBROADCASTD(ones8, Y0)
	VPBROADCASTD(ones16, Y1)
	zero(Y2)
	loop("values", n, func() {
		VPMADDUBSW(codes, Y0, Y3)
		VPMADDWD(Y1, Y3, Y3)
		VPADDD(Y3, Y2, Y2)
		ADDQ(U8(32), codes.Base)
	})
	VEXTRACTI128(U8(1), Y2, X3)
	VPADDD(X3, X2, X2)
	VPSHUFD(U8(0b01001110), X2, X3)
	VPADDD(X3, X2, X2)
	VPSHUFD(U8(0b10110001), X2, X3)
	VPADDD(X3, X2, X2)
	result := GP32()
	VMOVD(X2, result)
	VZEROUPPER()
	Store(result, ReturnIndex(0))
	RET()
}

// scale writes what scales sums, and what adds them scaled, with vectors of some bytes.
func scale(isa string, v []VecPhysical) {
	scaled, added := "scale"+isa, "addScaled"+isa
	for _, f := range []struct {
		name, doc string
		add       bool
	}{
		{scaled, scaled + " is dst = (sums-offset) * (factor*scales) for a panel's 64 rows.", false},
		{added, added + " is dst += (sums-offset) * (factor*scales) for a panel's 64 rows.", true},
	} {
		function(f.name, "func(dst *float32, sums *int32, scales *float32, offset int32, factor float32)", f.doc)
		dst, sums := Mem{Base: Load(Param("dst"), GP64())}, Mem{Base: Load(Param("sums"), GP64())}
		scales := Mem{Base: Load(Param("scales"), GP64())}
		offset := GP32()
		Load(Param("offset"), offset)
		VMOVD(offset, X0)
		VPBROADCASTD(X0, v[0])
		broadcast("factor", v[1])
		size := int(v[0].Size())
		for i := 0; i < tokenSums; i += size {
			scale, sum := v[2], v[3]
			VMULPS(scales.Offset(i), v[1], scale)
			if size == 64 {
				VMOVDQU32(sums.Offset(i), sum)
			} else {
				VMOVDQU(sums.Offset(i), sum)
			}
			VPSUBD(v[0], sum, sum)
			VCVTDQ2PS(sum, sum)
			VMULPS(scale, sum, sum)
			if f.add {
				VADDPS(dst.Offset(i), sum, sum)
			}
			VMOVUPS(sum, dst.Offset(i))
		}
		VZEROUPPER()
		RET()
	}
}

// probes are what benchmarks compare with: the multiply-add of a kernel on registers alone, and reading alone.
func probes() {
	function("peakAVX2", "func(turns int)", "peakAVX2 does 12 multiply-adds of 32 codes a turn as tileAVX2 does them.")
	turns := Load(Param("turns"), GP64())
	zero(y...)
	loop("turns", turns, func() {
		for i := range 12 {
			tmp := y[14+i%2]
			VPMADDUBSW(Y12, Y13, tmp)
			VPADDW(tmp, y[i], y[i])
		}
	})
	VZEROUPPER()
	RET()

	function("peakAVXVNNI", "func(turns int)", "peakAVXVNNI does 12 VPDPBUSD of 32 codes a turn.")
	turns = Load(Param("turns"), GP64())
	zero(y...)
	loop("turns", turns, func() {
		for i := range 12 {
			dpbusd(Y12, Y13, y[i])
		}
	})
	VZEROUPPER()
	RET()

	function("peakAVX512", "func(turns int)", "peakAVX512 does 24 VPDPBUSD of 64 codes a turn.")
	turns = Load(Param("turns"), GP64())
	zero(z...)
	loop("turns", turns, func() {
		for i := range 24 {
			VPDPBUSD(Z24, Z25, z[i])
		}
	})
	VZEROUPPER()
	RET()

	function("readAVX2", "func(x *byte, blocks int)", "readAVX2 reads 256*blocks bytes and does nothing with them.")
	x, blocks := Mem{Base: Load(Param("x"), GP64())}, Load(Param("blocks"), GP64())
	loop("blocks", blocks, func() {
		for i, v := range y[:8] {
			VMOVDQU(x.Offset(32*i), v)
		}
		ADDQ(U32(256), x.Base)
	})
	VZEROUPPER()
	RET()
}
