package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const maxTile = 6 // tokens that are multiplied at once

const tileSignature = "func(sums *int32, unpacked *byte, codes *int8, stride, groups, tokens int)"

func unpackAVX2() {
	function("unpackAVX2", "func(unpacked, panel *byte, groups int)",
		"unpackAVX2 spreads the codes of a panel's columns: a byte a code, part by part, each of 64 groups of which the first are filled.")
	unpacked, panel := Mem{Base: Load(Param("unpacked"), GP64())}, Mem{Base: Load(Param("panel"), GP64())}
	groups := Load(Param("groups"), GP64())
	VPBROADCASTD(lowBits, Y0)
	loop("columns", groups, func() {
		PREFETCHT0(panel.Offset(block * group)) // of the next columns, which come from memory while these are multiplied
		for half, raw := range y[1:3] {
			VMOVDQU(panel.Offset(32*half), raw)
			for part := range parts {
				tmp := y[3+part]
				shifted(part, raw, Y0, tmp)
				VMOVDQU(tmp, unpacked.Offset(partBytes*part+32*half))
			}
		}
		ADDQ(U8(group), panel.Base)
		ADDQ(U8(group), unpacked.Base)
	})
	VZEROUPPER()
	RET()
}

func unpackAVX512() {
	function("unpackAVX512", "func(unpacked, panel *byte, groups int)", "unpackAVX512 is unpackAVX2 with AVX-512.")
	unpacked, panel := Mem{Base: Load(Param("unpacked"), GP64())}, Mem{Base: Load(Param("panel"), GP64())}
	groups := Load(Param("groups"), GP64())
	VPBROADCASTD(lowBits, Z0)
	loop("columns", groups, func() {
		PREFETCHT0(panel.Offset(block * group))
		raw := Z1
		VMOVDQU32(panel, raw)
		for part := range parts {
			codes := z[2+part]
			if part == 0 {
				VPANDD(raw, Z0, codes)
			} else {
				VPSRLD(U8(2*part), raw, codes)
				VPANDD(codes, Z0, codes)
			}
			VMOVDQU32(codes, unpacked.Offset(partBytes*part))
		}
		ADDQ(U8(group), panel.Base)
		ADDQ(U8(group), unpacked.Base)
	})
	VZEROUPPER()
	RET()
}

// tile are the arguments of a product of unpacked columns with some tokens.
type tile struct {
	sums, unpacked Mem
	codes          Register
	stride, groups Register
	first, fourth  GPVirtual // of the tokens, moved on with the columns
}

func loadTile() tile {
	return tile{
		sums: Mem{Base: Load(Param("sums"), GP64())}, unpacked: Mem{Base: Load(Param("unpacked"), GP64())},
		codes: Load(Param("codes"), GP64()), stride: Load(Param("stride"), GP64()), groups: Load(Param("groups"), GP64()),
		first: GP64(), fourth: GP64(),
	}
}

// rewind goes back to the first column.
func (t tile) rewind() {
	MOVQ(t.codes, t.first)
	LEAQ(Mem{Base: t.first, Index: t.stride, Scale: 2}, t.fourth)
	ADDQ(t.stride, t.fourth)
}

// code is four columns of a token, i groups on.
func (t tile) code(token, i int) Mem {
	base := t.first
	if token >= 3 {
		base, token = t.fourth, token-3
	}
	m := Mem{Base: base, Disp: 4 * i}
	if token > 0 {
		m.Index, m.Scale = t.stride, uint8(token)
	}
	return m
}

// unrolled runs body for every group, unroll of them a turn.
func (t tile) unrolled(name string, unroll int, weights Register, body func(i int)) {
	turns, rest := GP64(), GP64()
	MOVQ(t.groups, turns)
	MOVQ(t.groups, rest)
	SHRQ(U8(log2(unroll)), turns)
	ANDQ(U8(unroll-1), rest)
	advance := func(n int) {
		ADDQ(I32(group*n), weights)
		ADDQ(U8(4*n), t.first)
		ADDQ(U8(4*n), t.fourth)
	}
	loop(name, turns, func() {
		for i := range unroll {
			body(i)
		}
		advance(unroll)
	})
	loop(name+"_rest", rest, func() {
		body(0)
		advance(1)
	})
}

func log2(n int) (bits int) {
	for ; n > 1; n /= 2 {
		bits++
	}
	return bits
}

// byTokens writes body for every number of tokens that a tile may have.
func byTokens(body func(tokens int)) {
	count := Load(Param("tokens"), GP64())
	for n := 1; n < maxTile; n++ {
		CMPQ(count, U8(n))
		JEQ(LabelRef(fmt.Sprintf("tokens%d", n)))
	}
	for n := maxTile; n > 0; n-- {
		Label(fmt.Sprintf("tokens%d", n))
		body(n)
		VZEROUPPER()
		RET()
	}
}

// tile256 takes the four parts one after another, each as two vectors.
func tile256(name string, vnni bool) {
	function(name, tileSignature, name+" adds the products of unpacked columns with 1 to 6 tokens to their sums, 64 a token.")
	t := loadTile()
	byTokens(func(tokens int) {
		acc, weights, token, tmp := y[:2*tokens], y[12:14], Y14, Y15
		part := GP64()
		MOVQ(U32(parts), part)
		loop(fmt.Sprintf("part%d", tokens), part, func() {
			zero(acc...)
			t.rewind()
			columns := Mem{Base: GP64()}
			MOVQ(t.unpacked.Base, columns.Base)
			t.unrolled(fmt.Sprintf("columns%d", tokens), 4, columns.Base, func(i int) {
				VMOVDQU(columns.Offset(group*i), weights[0])
				VMOVDQU(columns.Offset(group*i+32), weights[1])
				for n := range tokens {
					a := acc[2*n : 2*n+2]
					VPBROADCASTD(t.code(n, i), token)
					if vnni {
						dpbusd(token, weights[0], a[0])
						dpbusd(token, weights[1], a[1])
						continue
					}
					VPMADDUBSW(token, weights[0], tmp)
					VPADDW(tmp, a[0], a[0])
					VPMADDUBSW(token, weights[1], token)
					VPADDW(token, a[1], a[1])
				}
			})
			if !vnni {
				VPBROADCASTD(ones16, tmp)
			}
			for i, a := range acc {
				sums := t.sums.Offset(tokenSums*(i/2) + 32*(i%2))
				if !vnni {
					VPMADDWD(tmp, a, a)
				}
				VPADDD(sums, a, a)
				VMOVDQU(a, sums)
			}
			ADDQ(U32(partBytes), t.unpacked.Base)
			ADDQ(U8(64), t.sums.Base)
		})
	})
}

// tile512 takes the four parts side by side, each as one vector.
func tile512() {
	function("tileAVX512", tileSignature, "tileAVX512 is tileAVX2 with AVX-512 VNNI.")
	t := loadTile()
	byTokens(func(tokens int) {
		acc, weights, token := z[:4*tokens], z[24:28], z[28:30]
		zero(acc...)
		t.rewind()
		t.unrolled(fmt.Sprintf("columns%d", tokens), 2, t.unpacked.Base, func(i int) {
			for part, w := range weights {
				VMOVDQU32(t.unpacked.Offset(partBytes*part+group*i), w)
			}
			for n := range tokens {
				c := token[n%2]
				VPBROADCASTD(t.code(n, i), c)
				for part, w := range weights {
					VPDPBUSD(c, w, acc[4*n+part])
				}
			}
		})
		for i, a := range acc {
			sums := t.sums.Offset(tokenSums*(i/parts) + 64*(i%parts))
			VPADDD(sums, a, a)
			VMOVDQU32(a, sums)
		}
	})
}
