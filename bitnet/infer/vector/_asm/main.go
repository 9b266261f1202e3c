// Command _asm writes the amd64 loops of bitnet/infer/vector: run `go generate` in that package. The order of operations that they keep
// is described there, in doc.go; loops.go has it as Go.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const eight = 32 // bytes of a register of float32

var y = []VecPhysical{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15}

func main() {
	ConstraintExpr("!purego")
	products()
	sumSquares()
	elementwise()
	rotate()
	largest()
	exponential()
	for _, fused := range []bool{false, true} {
		doubles(fused)
		gated("silu", fused, nil)
		gated("gelu", fused, tanhArgument)
	}
	conversions()
	hasHalf()
	Generate()
}

// function starts one that keeps no pointer it is given.
func function(name, signature, doc string) {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
	Doc(name + " " + doc)
}

func pointer(name string) Mem { return Mem{Base: Load(Param(name), GP64())} }

func count(name string) GPVirtual { return Load(Param(name), GP64()).(GPVirtual) }

// broadcast repeats a float32 parameter. Loading it as avo does, with an instruction of SSE, would wait for AVX's registers.
func broadcast(name string, to Op) {
	parameter, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(parameter.Addr, to)
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

func end() {
	VZEROUPPER()
	RET()
}

// table is a constant that fills a register, as operand of an instruction.
func table[T Constant](name string, value T) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for at := 0; at < eight; at += value.Bytes() {
		DATA(at, value)
	}
	return m
}
