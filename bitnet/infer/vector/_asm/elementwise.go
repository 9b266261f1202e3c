package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// elementwise are loops over eights of values, of which nothing is more than a few instructions.
func elementwise() {
	function("addAVX2", "func(dst, x *float32, eights int)", "is dst += x.")
	overEights(func(at []Mem) {
		VMOVUPS(at[0], Y0)
		VADDPS(at[1], Y0, Y0)
		VMOVUPS(Y0, at[0])
	}, "dst", "x")
	function("multiplyAVX2", "func(dst, x *float32, eights int)", "is dst *= x.")
	overEights(func(at []Mem) {
		VMOVUPS(at[0], Y0)
		VMULPS(at[1], Y0, Y0)
		VMOVUPS(Y0, at[0])
	}, "dst", "x")
	function("scaleAVX2", "func(x *float32, eights int, by float32)", "is x *= by.")
	broadcast("by", Y15)
	overEights(func(at []Mem) {
		VMULPS(at[0], Y15, Y0)
		VMOVUPS(Y0, at[0])
	}, "x")
	function("scaleByAVX2", "func(dst, x, weight *float32, eights int, factor float32)", "is dst = x * (factor*weight).")
	broadcast("factor", Y15)
	overEights(func(at []Mem) {
		VMULPS(at[2], Y15, Y0)
		VMULPS(at[1], Y0, Y0)
		VMOVUPS(Y0, at[0])
	}, "dst", "x", "weight")
}

// overEights writes the rest of a function: body for each eight values of all parameters.
func overEights(body func(at []Mem), parameters ...string) {
	var at []Mem
	for _, p := range parameters {
		at = append(at, pointer(p))
	}
	loop("eights", count("eights"), func() {
		body(at)
		for _, m := range at {
			ADDQ(U8(eight), m.Base)
		}
	})
	end()
}

func rotate() {
	function("rotateAVX2", "func(first, second, cos, sin *float32, eights int)", "is first, second = first*cos - second*sin, second*cos + first*sin.")
	overEights(func(at []Mem) {
		a, b, c, s := Y0, Y1, Y2, Y3
		for i, v := range []VecPhysical{a, b, c, s} {
			VMOVUPS(at[i], v)
		}
		VMULPS(c, a, Y4)
		VMULPS(s, b, Y5)
		VSUBPS(Y5, Y4, Y4)
		VMOVUPS(Y4, at[0])
		VMULPS(c, b, Y4)
		VMULPS(s, a, Y5)
		VADDPS(Y5, Y4, Y4)
		VMOVUPS(Y4, at[1])
	}, "first", "second", "cos", "sin")
}

var (
	noSign = table("noSign", U32(0x7fffffff))
)

func largest() {
	function("maxAVX2", "func(x *float32, eights int) float32", "is the largest of 8*eights values, NaN if one of them is.")
	x, eights := pointer("x"), count("eights")
	VMOVUPS(x, Y0)
	VXORPS(Y1, Y1, Y1)
	loop("eights", eights, func() {
		VMOVUPS(x, Y2)
		VMAXPS(Y2, Y0, Y0)
		VCMPPS(U8(3), Y2, Y2, Y2)
		VORPS(Y2, Y1, Y1) // all bits, a NaN, where one has been
		ADDQ(U8(eight), x.Base)
	})
	VORPS(Y1, Y0, Y0)
	reduce := func(other func()) { // the first operand is what a comparison with a NaN leaves, so both orders are tried
		other()
		VMAXPS(X0, X1, X2)
		VCMPPS(U8(3), X0, X1, X0)
		VORPS(X2, X0, X0)
	}
	reduce(func() { VEXTRACTF128(U8(1), Y0, X1) })
	reduce(func() { VPERMILPS(U8(0b01001110), X0, X1) })
	reduce(func() { VPERMILPS(U8(0b10110001), X0, X1) })
	result, err := ReturnIndex(0).Resolve()
	if err != nil {
		panic(err)
	}
	VMOVSS(X0, result.Addr)
	end()
}

// hasHalf asks the processor; it is bit 29 of the first leaf.
func hasHalf() {
	TEXT("hasHalf", NOSPLIT, "func() bool")
	Doc("hasHalf reports whether there are conversions of float16.")
	MOVL(U32(1), EAX)
	XORL(ECX, ECX)
	CPUID()
	SHRL(U8(29), ECX)
	ANDL(U8(1), ECX)
	Store(ECX.As8L(), ReturnIndex(0))
	RET()
}
