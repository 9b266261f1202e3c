package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// sums is how many registers of sums a product has, enough that an addition need not wait for the last one.
const sums = 8

// products are those of 1, 2 and 4 rows with blocks of eight columns.
func products() {
	for _, rows := range []int{1, 2, 4} {
		name := fmt.Sprintf("product%dAVX2", rows)
		function(name, "func(dst *float32, dstStride int, x *float32, xStride int, m *float32, mStride, n, blocks int)",
			fmt.Sprintf("adds to %d rows of dst those of x times m, n rows in blocks of eight columns. Strides are in bytes.", rows))
		p := product{rows: rows, dst: pointer("dst"), x: pointer("x"), m: pointer("m"), n: count("n"), blocks: count("blocks"),
			dstStride: count("dstStride"), xStride: count("xStride"), mStride: count("mStride")}
		wide := sums / rows
		Label("wide")
		CMPQ(p.blocks, U8(wide))
		JLT(LabelRef("single"))
		p.write("wide", wide)
		JMP(LabelRef("wide"))
		Label("single")
		TESTQ(p.blocks, p.blocks)
		JZ(LabelRef("end"))
		p.write("single", 1)
		JMP(LabelRef("single"))
		Label("end")
		end()
	}
}

type product struct {
	rows                                   int
	dst, x, m                              Mem
	dstStride, xStride, mStride, n, blocks GPVirtual
}

// strided are addresses of n things a stride apart, and the registers that they are made of.
func strided(base Register, stride Register, n int) (at []Mem, bases []GPVirtual) {
	for i := range n {
		if i%3 == 0 {
			b := GP64()
			if i == 0 {
				MOVQ(base, b)
			} else {
				LEAQ(Mem{Base: bases[i/3-1], Index: stride, Scale: 2}, b)
				ADDQ(stride, b)
			}
			bases = append(bases, b)
		}
		m := Mem{Base: bases[i/3]}
		if i%3 > 0 {
			m.Index, m.Scale = stride, uint8(i%3)
		}
		at = append(at, m)
	}
	return at, bases
}

// write has the sums of some blocks in registers while it goes over the rows of m, and moves on behind the blocks.
func (p product) write(name string, blocks int) {
	acc, weights, x, spare := y[:p.rows*blocks], y[8:8+blocks], Y12, y[13:15]
	dst, _ := strided(p.dst.Base, p.dstStride, p.rows)
	for r, at := range dst {
		for b := range blocks {
			VMOVUPS(at.Offset(eight*b), acc[r*blocks+b])
		}
	}
	from, fromBases := strided(p.x.Base, p.xStride, p.rows)
	m, mBases := strided(p.m.Base, p.mStride, blocks)
	step := func(i int) {
		if p.rows > 1 {
			for b, at := range m {
				VMOVUPS(at.Offset(eight*i), weights[b])
			}
		}
		for r, at := range from {
			VBROADCASTSS(at.Offset(4*i), x)
			for b := range blocks {
				if p.rows > 1 {
					VMULPS(weights[b], x, spare[b%2])
				} else {
					VMULPS(m[b].Offset(eight*i), x, spare[b%2])
				}
				VADDPS(spare[b%2], acc[r*blocks+b], acc[r*blocks+b])
			}
		}
	}
	advance := func(n int) {
		for _, b := range fromBases {
			ADDQ(U8(4*n), b)
		}
		for _, b := range mBases {
			ADDQ(I32(eight*n), b)
		}
	}
	const unroll = 4
	turns, rest := GP64(), GP64()
	MOVQ(p.n, turns)
	MOVQ(p.n, rest)
	SHRQ(U8(2), turns)
	ANDQ(U8(unroll-1), rest)
	loop(name+"_turns", turns, func() {
		for i := range unroll {
			step(i)
		}
		advance(unroll)
	})
	loop(name+"_rest", rest, func() {
		step(0)
		advance(1)
	})
	dst, _ = strided(p.dst.Base, p.dstStride, p.rows)
	for r, at := range dst {
		for b := range blocks {
			VMOVUPS(acc[r*blocks+b], at.Offset(eight*b))
		}
	}
	ADDQ(U32(eight*blocks), p.dst.Base)
	for range blocks {
		ADDQ(p.mStride, p.m.Base)
	}
	SUBQ(U8(blocks), p.blocks)
}

// sumSquares has eight rows side by side. Four columns of them are squared, and turned so that columns are registers: rows 0 to 3 in the lower
// halves, 4 to 7 in the upper ones.
func sumSquares() {
	function("sumSquaresAVX2", "func(dst, x *float32, stride, rows, fours int)",
		"puts the sums of squares of 4*fours values of up to 8 rows of x, stride bytes apart, into dst; those of no row are some other's.")
	dst, from, stride, rows, fours := pointer("dst"), pointer("x"), count("stride"), count("rows"), count("fours")
	var at [8]GPVirtual
	for r := range at {
		at[r] = GP64()
		if r == 0 {
			MOVQ(from.Base, at[0])
			continue
		}
		MOVQ(at[r-1], at[r])
		ADDQ(stride, at[r])
		CMPQ(rows, U8(r))
		CMOVQLE(from.Base, at[r])
	}
	sum, v, t := Y0, y[1:5], y[5:9]
	VXORPS(sum, sum, sum)
	i := from.Base
	XORQ(i, i)
	loop("columns", fours, func() {
		for r := range 4 {
			VMOVUPS(Mem{Base: at[r], Index: i, Scale: 1}, v[r].AsX())
			VINSERTF128(U8(1), Mem{Base: at[r+4], Index: i, Scale: 1}, v[r], v[r])
			VMULPS(v[r], v[r], v[r])
		}
		VUNPCKLPS(v[1], v[0], t[0]) // a0 b0 a1 b1
		VUNPCKHPS(v[1], v[0], t[1]) // a2 b2 a3 b3
		VUNPCKLPS(v[3], v[2], t[2])
		VUNPCKHPS(v[3], v[2], t[3])
		for half := range 2 {
			VUNPCKLPD(t[half+2], t[half], v[0])
			VUNPCKHPD(t[half+2], t[half], v[1])
			VADDPS(v[0], sum, sum)
			VADDPS(v[1], sum, sum)
		}
		ADDQ(U8(16), i)
	})
	VMOVUPS(sum, dst)
	end()
}
