// Command _asm writes the amd64 kernels of bitnet/infer/rows: run `go generate` in that package. The order of sums is described there, in
// doc.go.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

var y = []VecPhysical{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15}

func main() {
	ConstraintExpr("!purego")
	for _, s := range []stored{f32, f16, bf16} {
		dots(s)
		spread(s)
	}
	tile()
	blocks("Q8_0", q8_0)
	blocks("Q4_0", q4_0)
	peak()
	features()
	Generate()
}

// function starts one that keeps no pointer it is given.
func function(name, signature, doc string) {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
	Doc(doc)
}

// pointer is what a parameter points at.
func pointer(name string) Mem { return Mem{Base: Load(Param(name), GP64())} }

// constant is a value of four bytes to broadcast.
func constant(name string, value uint32) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	DATA(0, U32(value))
	return m
}

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
		VPXOR(v, v, v)
	}
}

// peak is what benchmarks compare with.
func peak() {
	function("peakAVX2", "func(turns int)", "peakAVX2 does 12 VFMADD of 8 values a turn.")
	turns := Load(Param("turns"), GP64())
	zero(y...)
	loop("turns", turns, func() {
		for i := range 12 {
			VFMADD231PS(Y12, Y13, y[i])
		}
	})
	VZEROUPPER()
	RET()
}

func features() {
	TEXT("features", NOSPLIT, "func() uint32")
	Doc("features are those of the processor that leaf 1 of CPUID puts into ECX.")
	MOVL(U32(1), EAX)
	XORL(ECX, ECX)
	CPUID()
	Store(ECX, ReturnIndex(0))
	RET()
}
