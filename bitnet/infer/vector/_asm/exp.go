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

// The registers of a few exponentials side by side, which each have to wait for the last of their operations.
var (
	power                        = y[:4]  // x, then its exponential
	result                       = y[4:8] // of the series
	doubling                     = y[8:12]
	spare1, spare2, lower, upper = Y12, Y13, Y14, Y15
)

func loadLimits() {
	VMOVUPD(least, lower)
	VMOVUPD(most, upper)
}

// exponentials is x = exp(x) for the first n registers of four float64, with the operations of math.Exp on amd64 in their order: the method of
// Shibata 2010, a series for x reduced to a sixteenth of what is left by powers of two, then squared four times as (1+x)² = 1 + x·(2+x).
func exponentials(n int, fused bool) {
	each := func(do func(x, t, k VecPhysical)) {
		for i := range n {
			do(power[i], result[i], doubling[i])
		}
	}
	each(func(x, t, k VecPhysical) {
		VMAXPD(x, lower, x) // of a NaN and a number these two leave the first operand
		VMINPD(x, upper, x)
		VMULPD(log2e, x, t)
	})
	each(func(_, t, k VecPhysical) { VCVTPD2DQY(t, k.AsX()) })
	each(func(_, t, k VecPhysical) { VCVTDQ2PD(k.AsX(), t) })
	each(func(_, _, k VecPhysical) { VPMOVSXDQ(k.AsX(), k) })
	for _, part := range []Mem{ln2Upper, ln2Lower} {
		each(func(x, t, _ VecPhysical) {
			if fused {
				VFNMADD231PD(part, t, x)
				return
			}
			VMULPD(part, t, spare1)
			VSUBPD(spare1, x, x)
		})
	}
	each(func(x, t, _ VecPhysical) {
		VMULPD(sixteenth, x, x)
		VMOVUPD(series[0], t)
	})
	for _, c := range series[1:] {
		if fused {
			each(func(x, t, _ VecPhysical) { VFMADD213PD(c, x, t) })
			continue
		}
		each(func(x, t, _ VecPhysical) { VMULPD(x, t, t) })
		each(func(_, t, _ VecPhysical) { VADDPD(c, t, t) })
	}
	each(func(x, t, _ VecPhysical) { VMULPD(t, x, x) })
	for i := range 4 {
		each(func(x, t, _ VecPhysical) { VADDPD(two, x, t) })
		if fused && i == 3 {
			each(func(x, t, _ VecPhysical) { VFMADD213PD(one, t, x) })
			break
		}
		each(func(x, t, _ VecPhysical) { VMULPD(t, x, x) })
	}
	if !fused {
		each(func(x, _, _ VecPhysical) { VADDPD(one, x, x) })
	}
	each(func(x, _, k VecPhysical) {
		VPADDQ(bias, k, k)
		VPSLLQ(U8(52), k, k)
		VMULPD(k, x, x)
	})
}

func variant(name string, fused bool) string {
	if fused {
		return name + "FMA"
	}
	return name + "AVX2"
}

// overSixteens writes the rest of a function: body for two registers of float32 of all parameters at a time, and for one at the end.
func overSixteens(body func(at []Mem, eights int), parameters ...string) {
	var at []Mem
	for _, p := range parameters {
		at = append(at, pointer(p))
	}
	advance := func(eights int) {
		for _, m := range at {
			ADDQ(U8(eight*eights), m.Base)
		}
	}
	n, pairs := count("eights"), GP64()
	MOVQ(n, pairs)
	SHRQ(U8(1), pairs)
	ANDQ(U8(1), n)
	loop("pairs", pairs, func() {
		body(at, 2)
		advance(2)
	})
	loop("last", n, func() {
		body(at, 1)
		advance(1)
	})
	end()
}

// widen puts eight of float32 into two registers of power.
func widen(from VecPhysical, i int) {
	VCVTPS2PD(from.AsX(), power[2*i])
	VEXTRACTF128(U8(1), from, from.AsX())
	VCVTPS2PD(from.AsX(), power[2*i+1])
}

// narrow takes them back.
func narrow(to VecPhysical, i int) {
	low, high := power[2*i], power[2*i+1]
	VCVTPD2PSY(low, to.AsX())
	VCVTPD2PSY(high, high.AsX())
	VINSERTF128(U8(1), high.AsX(), to, to)
}

// single is a constant of float32 that fills a register.
func single(name string, value float32) Mem { return table(name, U32(math.Float32bits(value))) }

// exponential is Cephes' expf as expScalar has it: x = n·ln2 + g, n found in float64, e^g by a polynomial.
func exponential() {
	function("expAVX2", "func(x *float32, eights int, less float32)", "is x = exp(x - less).")
	least, most := single("leastSingle", -88.02969187150841), single("mostSingle", 88.02969187150841)
	large, unit, exponent := single("large", 1.7014117331926442990585209174225846272e38), single("unit", 1), table("exponent", U32(127))
	half, upper, lower := double("half", 0.5), single("ln2UpperSingle", 0.693359375), single("ln2LowerSingle", -2.12194440e-4)
	var series []Mem
	for i, c := range []float32{1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1} {
		series = append(series, single(string(rune('a'+i))+"Single", c))
	}
	broadcast("less", Y15)
	overEights(func(at []Mem) {
		v, n, high, g, p, t := Y0, Y1, Y2, Y3, Y4, Y5
		VMOVUPS(at[0], v)
		VSUBPS(Y15, v, v)
		VCVTPS2PD(v.AsX(), n)
		VEXTRACTF128(U8(1), v, high.AsX())
		VCVTPS2PD(high.AsX(), high)
		for _, x := range []VecPhysical{n, high} {
			VMULPD(log2e, x, x)
			VADDPD(half, x, x)
			VROUNDPD(U8(9), x, x) // down
		}
		VCVTPD2PSY(n, n.AsX())
		VCVTPD2PSY(high, high.AsX())
		VINSERTF128(U8(1), high.AsX(), n, n)
		VMULPS(upper, n, t)
		VSUBPS(t, v, g)
		VMULPS(lower, n, t)
		VSUBPS(t, g, g)
		VMOVUPS(series[0], p)
		for _, c := range series[1:] {
			VMULPS(g, p, p)
			VADDPS(c, p, p)
		}
		VMULPS(g, g, t)
		VMULPS(t, p, p)
		VADDPS(g, p, p)
		VADDPS(unit, p, p)
		VCVTTPS2DQ(n, n)
		VPADDD(exponent, n, n)
		VPSLLD(U8(23), n, n)
		VMULPS(p, n, p)
		VCMPPS(U8(0x1e), most, v, t) // greater
		VBLENDVPS(t, large, p, p)
		VCMPPS(U8(0x11), least, v, t) // less
		VANDNPS(p, t, p)
		VMOVUPS(p, at[0])
	}, "x")
}

// doubles are what the others compute with; where float32 is all that is left of them, a comparison would not tell much.
func doubles(fused bool) {
	function(variant("exp64", fused), "func(x *float64, fours int)", "is x = exp(x), for values from -200 to 700.")
	x := pointer("x")
	loadLimits()
	loop("fours", count("fours"), func() {
		VMOVUPD(x, power[0])
		exponentials(1, fused)
		VMOVUPD(power[0], x)
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
	loadLimits()
	overSixteens(func(at []Mem, eights int) {
		for i := range eights {
			v, u := result[i], doubling[i]
			VMOVUPS(at[1].Offset(eight*i), v)
			if argument != nil {
				argument(v, u)
				v = u
			}
			widen(v, i)
		}
		for i := range 2 * eights {
			VORPD(sign, power[i], power[i])
		}
		exponentials(2*eights, fused)
		for i := range 2 * eights {
			e, sum, over := power[i], result[i], doubling[i]
			VADDPD(one, e, sum)
			VPMOVSXDQ(at[1].Offset(eight/2*i), spare1) // of x, whose sign u has
			VMOVUPD(one, over)
			VBLENDVPD(spare1, e, over, over)
			VDIVPD(sum, over, e)
		}
		for i := range eights {
			v := result[i]
			narrow(v, i)
			VMULPS(at[1].Offset(eight*i), v, v)
			VMULPS(at[2].Offset(eight*i), v, v)
			VMOVUPS(v, at[0].Offset(eight*i))
		}
	}, "dst", "x", "up")
}
