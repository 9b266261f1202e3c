// Command _asm writes the amd64 kernels of bitnet/packed: run `go generate` in that package. The layout of panels and the arithmetic that
// keeps every sum exact are described there, in doc.go and kernel.go.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	parts     = 4  // parts of 16 rows in a panel
	group     = 64 // bytes of a panel for four columns, and of an unpacked part for as many
	block     = 64 // groups that are unpacked at once, and whose products int16 holds the sum of
	partBytes = block * group
	tokenSums = 256 // bytes of the sums of a token: 64 rows of int32
)

func main() {
	ConstraintExpr("!purego")
	gemvAVX2()
	gemvAVXVNNI()
	gemvAVX512()
	unpackAVX2()
	unpackAVX512()
	tile256("tileAVX2", false)
	tile256("tileAVXVNNI", true)
	tile512()
	maxAbsAVX2()
	quantizeAVX2()
	sumAVX2()
	scale("AVX2", y)
	scale("AVX512", z)
	probes()
	Generate()
}

// function starts one that keeps no pointer it is given.
func function(name, signature, doc string) {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
	Doc(doc)
}

// constant is a value of four bytes to broadcast.
func constant(name string, value uint32) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	DATA(0, U32(value))
	return m
}

var (
	lowBits = constant("lowBits", 0x03030303)
	ones8   = constant("ones8", 0x01010101)
	ones16  = constant("ones16", 0x00010001)
	noSign  = constant("noSign", 0x7fffffff)
)

// loop runs body, which itself moves on what it reads, count times; count is used up.
func loop(name string, count Op, body func()) {
	TESTQ(count, count)
	JZ(LabelRef(name + "_end"))
	Label(name)
	body()
	DECQ(count)
	JNZ(LabelRef(name))
	Label(name + "_end")
}

func zero(vectors ...VecPhysical) {
	for _, v := range vectors {
		if v.Size() == 64 {
			VPXORD(v, v, v)
		} else {
			VPXOR(v, v, v)
		}
	}
}
