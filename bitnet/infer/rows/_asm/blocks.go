package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	maxTokens  = 4      // that are multiplied at once
	codesBytes = 4 + 64 // of a token's block: scale, 32 codes
	ahead      = 2048   // how many bytes before their use weights are asked for
)

// block is a type of weights: its bytes, and how its codes become a vector of signed ones in order.
type block struct {
	bytes int
	load  func(codes Mem, to VecPhysical)
}

var (
	q8_0 = block{34, func(codes Mem, to VecPhysical) { VMOVDQU(codes, to) }}
	q4_0 = block{18, func(codes Mem, to VecPhysical) {
		VBROADCASTI128(codes, to)
		VPSRLVD(Y14, to, to)
		VPAND(lowNibbles, to, to)
		VPSUBB(Y15, to, to)
	}}
	lowNibbles = repeated("lowNibbles", 0x0f0f0f0f)
	middle     = constant("middle", 0x08080808)
	evenBytes  = constant("evenBytes", 0x00010001)
	halves     = func() Mem { // how far the codes of the lower and of the upper half are shifted
		m := GLOBL("halves", RODATA|NOPTR)
		for i := range 8 {
			DATA(4*i, U32(i/4*4))
		}
		return m
	}()
)

// repeated is a vector of the same dword.
func repeated(name string, value uint32) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 8 {
		DATA(4*i, U32(value))
	}
	return m
}

// blocks writes the product of rows of a type with tokens.
func blocks(name string, b block) {
	name = "blocks" + name
	function(name, "func(dst *float32, weights *byte, codes *float32, blocks, rows, dstPitch, tokens int)",
		name+" puts the products of some rows with 1 to 4 tokens into dst, where tokens are dstPitch values apart.")
	dst, weights := pointer("dst"), pointer("weights")
	rows, count := Load(Param("rows"), GP64()), Load(Param("tokens"), GP64())
	pitch := Load(Param("dstPitch"), GP64())
	SHLQ(U8(2), pitch)
	VPBROADCASTD(evenBytes, Y13)
	VMOVDQU(halves, Y14)
	VPBROADCASTD(middle, Y15)
	for i := 1; i < maxTokens; i++ {
		CMPQ(count, U8(i))
		JEQ(LabelRef(fmt.Sprintf("tokens%d", i)))
	}
	for count := maxTokens; count > 0; count-- {
		Label(fmt.Sprintf("tokens%d", count))
		loop(fmt.Sprintf("rows%d", count), rows, func() { b.row(count, dst, weights, pitch) })
		VZEROUPPER()
		RET()
	}
}

// row is one of the weights. Blocks take turns with two sums, since a sum waits for the one before.
func (b block) row(tokens int, dst, weights Mem, pitch Register) {
	sums := [2][]VecPhysical{y[:tokens], y[4 : 4+tokens]}
	zero(sums[0]...)
	zero(sums[1]...)
	codes := make([]Mem, tokens)
	n := Load(Param("blocks"), GP64())
	size := GP64()
	IMUL3Q(U8(codesBytes), n, size)
	codes[0] = pointer("codes")
	for i := range codes[1:] {
		codes[i+1] = Mem{Base: GP64()}
		LEAQ(Mem{Base: codes[i].Base, Index: size, Scale: 1}, codes[i+1].Base)
	}
	advance := func(blocks int) {
		ADDQ(U8(b.bytes*blocks), weights.Base)
		for _, c := range codes {
			ADDQ(I32(codesBytes*blocks), c.Base)
		}
	}
	pairs := GP64()
	MOVQ(n, pairs)
	SHRQ(U8(1), pairs)
	loop(fmt.Sprintf("pairs%d", tokens), pairs, func() {
		PREFETCHT0(weights.Offset(ahead))
		for i := range 2 {
			b.multiply(weights.Offset(b.bytes*i), codes, codesBytes*i, sums[i])
		}
		advance(2)
	})
	ANDQ(U8(1), n)
	JZ(LabelRef(fmt.Sprintf("even%d", tokens)))
	b.multiply(weights, codes, 0, sums[0])
	advance(1)
	Label(fmt.Sprintf("even%d", tokens))
	to := Mem{Base: GP64()}
	MOVQ(dst.Base, to.Base)
	for t := range tokens {
		VADDPS(sums[1][t], sums[0][t], sums[0][t])
		addAcross(sums[0][t])
		VMOVSS(sums[0][t].AsX(), to)
		ADDQ(pitch, to.Base)
	}
	ADDQ(U8(4), dst.Base)
}

// multiply adds a block's products to the sums of tokens. Codes are multiplied as words: those at even places, then those at odd ones, as a
// token's are stored.
func (b block) multiply(weights Mem, codes []Mem, disp int, sums []VecPhysical) {
	w, scale, tmp := y[8:10], Y10, y[11:13]
	VCVTPH2PS(weights, scale.AsX()) // and what follows, which is not used
	if len(sums) > 1 {
		VBROADCASTSS(scale.AsX(), scale)
	}
	b.load(weights.Offset(2), w[1])
	VPMADDUBSW(w[1], Y13, w[0])
	VPSRAW(U8(8), w[1], w[1])
	for t, sum := range sums {
		c, factor := codes[t].Offset(disp), tmp[1]
		VPMADDWD(c.Offset(4), w[0], tmp[0])
		VPMADDWD(c.Offset(4+32), w[1], tmp[1])
		VPADDD(tmp[1], tmp[0], tmp[0])
		VCVTDQ2PS(tmp[0], tmp[0])
		if len(sums) > 1 {
			VBROADCASTSS(c, factor)
			VMULPS(scale, factor, factor)
		} else {
			VMULSS(c, scale.AsX(), factor.AsX())
			VBROADCASTSS(factor.AsX(), factor)
		}
		VMULPS(factor, tmp[0], tmp[0])
		VADDPS(tmp[0], sum, sum)
	}
}

// addAcross adds up a vector in its first value: halves, halves of them, and the last two.
func addAcross(v VecPhysical) {
	x, tmp := v.AsX(), X11
	VEXTRACTF128(U8(1), v, tmp)
	VADDPS(tmp, x, x)
	VMOVHLPS(x, x, tmp)
	VADDPS(tmp, x, x)
	VMOVSHDUP(x, tmp)
	VADDSS(tmp, x, x)
}
