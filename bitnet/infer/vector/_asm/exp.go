package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// double is a constant of float64 that fills a register.
func double(name string, value float64) Mem { return table(name, U64(math.Float64bits(value))) }

var (
	log2e     = double("log2e", math.Log2E)
	ln2Upper  = double("ln2Upper", 0.69314718055966295651160180568695068359375)
	ln2Lower  = double("ln2Lower", 0.28235290563031577122588448175013436025525412068e-12)
	sixteenth = double("sixteenth", 1.0/16)
	one       = double("one", 1)
	two       = double("two", 2)
	series    = []Mem{ // from 1/8! to 1/1!, as many digits as math.Exp has
		double("over8", 2.4801587301587301587e-5), double("over7", 1.9841269841269841270e-4), double("over6", 1.3888888888888888889e-3),
		double("over5", 8.3333333333333333333e-3), double("over4", 4.1666666666666666667e-2), double("over3", 1.6666666666666666667e-1),
		double("over2", 0.5), one,
	}
	bias = table("bias", U64(1023))
	// Beyond these what is rounded to float32 is 0 or infinite, and within them a power of two is a normal number.
	least = double("least", -200)
	most  = double("most", 700)
	sign  = double("sign", math.Copysign(0, -1))
)

// exp4 is x = exp(x) for four of float64, with the operations of math.Exp on amd64 in their order: the method of Shibata 2010, a series for
// x reduced to a sixteenth of what is left by powers of two, then squared four times as (1+x)² = 1 + x·(2+x). t are spare.
func exp4(x VecPhysical, t []VecPhysical, lower, upper VecPhysical, fused bool) {
	VMAXPD(x, lower, x) // of a NaN and a number these two leave the first operand
	VMINPD(x, upper, x)
	VMULPD(log2e, x, t[0])
	VCVTPD2DQY(t[0], t[1].AsX())
	VCVTDQ2PD(t[1].AsX(), t[0])
	VPMOVSXDQ(t[1].AsX(), t[1])
	if fused {
		VFNMADD231PD(ln2Upper, t[0], x)
		VFNMADD231PD(ln2Lower, t[0], x)
	} else {
		VMULPD(ln2Upper, t[0], t[2])
		VSUBPD(t[2], x, x)
		VMULPD(ln2Lower, t[0], t[2])
		VSUBPD(t[2], x, x)
	}
	VMULPD(sixteenth, x, x)
	VMOVUPD(series[0], t[0])
	for _, c := range series[1:] {
		if fused {
			VFMADD213PD(c, x, t[0])
		} else {
			VMULPD(x, t[0], t[0])
			VADDPD(c, t[0], t[0])
		}
	}
	VMULPD(t[0], x, x)
	for i := range 4 {
		VADDPD(two, x, t[0])
		if fused && i == 3 {
			VFMADD213PD(one, t[0], x)
			break
		}
		VMULPD(t[0], x, x)
	}
	if !fused {
		VADDPD(one, x, x)
	}
	VPADDQ(bias, t[1], t[1])
	VPSLLQ(U8(52), t[1], t[1])
	VMULPD(t[1], x, x)
}

func variant(name string, fused bool) string {
	if fused {
		return name + "FMA"
	}
	return name + "AVX2"
}

// halves runs body for both halves of eight values, then puts what it has left, float64 in out, together as float32 in to.
func halves(from, to VecPhysical, out [2]VecPhysical, body func(half int)) {
	VCVTPS2PD(from.AsX(), out[0])
	VEXTRACTF128(U8(1), from, out[1].AsX())
	VCVTPS2PD(out[1].AsX(), out[1])
	for half := range 2 {
		body(half)
	}
	VCVTPD2PSY(out[0], to.AsX())
	VCVTPD2PSY(out[1], out[1].AsX())
	VINSERTF128(U8(1), out[1].AsX(), to, to)
}

func exponential(fused bool) {
	function(variant("exp", fused), "func(x *float32, eights int, less float32)", "is x = exp(x - less).")
	broadcast("less", Y15)
	VMOVUPD(least, Y14)
	VMOVUPD(most, Y13)
	overEights(func(at []Mem) {
		VMOVUPS(at[0], Y0)
		VSUBPS(Y15, Y0, Y0)
		out := [2]VecPhysical{Y1, Y2}
		halves(Y0, Y0, out, func(half int) { exp4(out[half], y[3+3*half:], Y14, Y13, fused) })
		VMOVUPS(Y0, at[0])
	}, "x")
}

// doubles are what the others compute with; where float32 is all that is left of them, a comparison would not tell much.
func doubles(fused bool) {
	function(variant("exp64", fused), "func(x *float64, fours int)", "is x = exp(x), for values from -200 to 700.")
	x := pointer("x")
	VMOVUPD(least, Y14)
	VMOVUPD(most, Y13)
	loop("fours", count("fours"), func() {
		VMOVUPD(x, Y0)
		exp4(Y0, y[3:], Y14, Y13, fused)
		VMOVUPD(Y0, x)
		ADDQ(U8(eight), x.Base)
	})
	end()
}

var (
	cubic = table("cubic", U32(math.Float32bits(0.044715)))
	outer = table("outer", U32(math.Float32bits(float32(2*math.Sqrt(2/math.Pi)))))
)

// tanhArgument is u = (v + v³·0.044715) · 2·sqrt(2/pi).
func tanhArgument(v, u VecPhysical) {
	VMULPS(v, v, u)
	VMULPS(v, u, u)
	VMULPS(cubic, u, u)
	VADDPS(u, v, u)
	VMULPS(outer, u, u)
}

// gated is dst = v·sigmoid(u) · up with u = argument(v), or v if there is none: 1 / (1 + exp(-u)) for u of 0 and more, exp(u) / (1 + exp(u))
// below, in float64.
func gated(name string, fused bool, argument func(v, u VecPhysical)) {
	function(variant(name, fused), "func(dst, x, up *float32, eights int)", "is dst = "+name+"(x) * up.")
	VMOVUPD(least, Y14)
	VMOVUPD(most, Y13)
	overEights(func(at []Mem) {
		v, u := Y0, Y15
		VMOVUPS(at[1], v)
		if argument != nil {
			argument(v, u)
		} else {
			VMOVAPS(v, u)
		}
		out := [2]VecPhysical{Y1, Y2}
		halves(u, u, out, func(half int) {
			e, t, negative := out[half], y[3+3*half:], y[9+half]
			VMOVAPD(e, negative)
			VORPD(sign, e, e)
			exp4(e, t, Y14, Y13, fused)
			VADDPD(one, e, t[0])
			VMOVUPD(one, t[1])
			VBLENDVPD(negative, e, t[1], t[1])
			VDIVPD(t[0], t[1], e)
		})
		VMULPS(u, v, v)
		VMULPS(at[2], v, v)
		VMOVUPS(v, at[0])
	}, "dst", "x", "up")
}
