package gguf

import (
	"fmt"
	"strings"
)

// Type is the element type of a tensor under its number in the file.
type Type uint32

// The types this package reads. Numbers in a block type's name tell the bits
// of a code; Q*_0 have a scale a block, Q*_1 a scale and a minimum, Q*_K blocks
// of 256 with scales of sub-blocks, TQ* and Q2_0 are made for ternary weights.
const (
	F32  Type = 0
	F16  Type = 1
	Q4_0 Type = 2
	Q4_1 Type = 3
	Q5_0 Type = 6
	Q5_1 Type = 7
	Q8_0 Type = 8
	Q2_K Type = 10
	Q3_K Type = 11
	Q4_K Type = 12
	Q5_K Type = 13
	Q6_K Type = 14
	I8   Type = 24
	I16  Type = 25
	I32  Type = 26
	I64  Type = 27
	F64  Type = 28
	BF16 Type = 30
	// TQ1_0 packs five ternary codes into a byte, TQ2_0 four.
	TQ1_0 Type = 34
	TQ2_0 Type = 35
	// Q2_0 has blocks of 64. Some programs write blocks of 128 under the same
	// number; their tensors have another size, and are refused for it.
	Q2_0 Type = 42
)

// format is what there is to know about a type.
type format struct {
	name   string
	block  int                              // values in a block
	bytes  int                              // bytes of a block; 0 if the type cannot be read
	decode func(y []float32, blocks []byte) // decodes whole blocks; nil for integers
}

// formats is the only place that says how large blocks are. Types without a
// size are known by name, so that a refusal can say what a file holds.
var formats = map[Type]format{
	F32:   {"F32", 1, 4, decodeF32},
	F16:   {"F16", 1, 2, decodeF16},
	BF16:  {"BF16", 1, 2, decodeBF16},
	F64:   {"F64", 1, 8, decodeF64},
	Q4_0:  {"Q4_0", 32, 2 + 16, decodeQ4_0},
	Q4_1:  {"Q4_1", 32, 2 + 2 + 16, decodeQ4_1},
	Q5_0:  {"Q5_0", 32, 2 + 4 + 16, decodeQ5_0},
	Q5_1:  {"Q5_1", 32, 2 + 2 + 4 + 16, decodeQ5_1},
	Q8_0:  {"Q8_0", 32, 2 + 32, decodeQ8_0},
	Q2_K:  {"Q2_K", 256, 16 + 64 + 2 + 2, decodeQ2_K},
	Q3_K:  {"Q3_K", 256, 32 + 64 + 12 + 2, decodeQ3_K},
	Q4_K:  {"Q4_K", 256, 2 + 2 + 12 + 128, decodeQ4_K},
	Q5_K:  {"Q5_K", 256, 2 + 2 + 12 + 32 + 128, decodeQ5_K},
	Q6_K:  {"Q6_K", 256, 128 + 64 + 16 + 2, decodeQ6_K},
	TQ1_0: {"TQ1_0", 256, 48 + 4 + 2, decodeTQ1_0},
	TQ2_0: {"TQ2_0", 256, 64 + 2, decodeTQ2_0},
	Q2_0:  {"Q2_0", 64, 2 + 16, decodeQ2_0},
	I8:    {"I8", 1, 1, nil},
	I16:   {"I16", 1, 2, nil},
	I32:   {"I32", 1, 4, nil},
	I64:   {"I64", 1, 8, nil},

	// 31 to 38 are gone from mainline, but for the ternary types; bitnet.cpp has I2_S at 36.
	4: {name: "Q4_2"}, 5: {name: "Q4_3"}, 9: {name: "Q8_1"}, 15: {name: "Q8_K"},
	16: {name: "IQ2_XXS"}, 17: {name: "IQ2_XS"}, 18: {name: "IQ3_XXS"}, 19: {name: "IQ1_S"},
	20: {name: "IQ4_NL"}, 21: {name: "IQ3_S"}, 22: {name: "IQ2_S"}, 23: {name: "IQ4_XS"}, 29: {name: "IQ1_M"},
	31: {name: "Q4_0_4_4"}, 32: {name: "Q4_0_4_8"}, 33: {name: "Q4_0_8_8"}, 36: {name: "I2_S"},
	37: {name: "IQ4_NL_4_8"}, 38: {name: "IQ4_NL_8_8"}, 39: {name: "MXFP4"}, 40: {name: "NVFP4"}, 41: {name: "Q1_0"},
}

// String is the name of the type, also of some that cannot be read.
func (t Type) String() string {
	if f, ok := formats[t]; ok {
		return f.name
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// BlockSize is the number of values in a block, 0 if the type cannot be read.
// Blocks run along rows: a row is a whole number of them.
func (t Type) BlockSize() int { return formats[t].block }

// BlockBytes is the number of bytes of a block, 0 if the type cannot be read.
func (t Type) BlockBytes() int { return formats[t].bytes }

// IsFloat reports whether Dequantize knows the type. The others are integers.
func (t Type) IsFloat() bool { return formats[t].decode != nil }

// floats lists the types that Dequantize knows, as error messages show them.
var floats = []Type{F32, F16, BF16, F64, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, Q2_0, TQ1_0, TQ2_0}

func names(types []Type) string {
	var all []string
	for _, t := range types {
		all = append(all, t.String())
	}
	return strings.Join(all, ", ")
}

// Dequantize decodes blocks of type t into dst, which must have room for
// exactly their values. Scales that are not finite give values that are not.
//
// Products are rounded to float32 before a minimum is taken off, as in the
// reference implementation, on every machine.
func Dequantize(t Type, dst []float32, blocks []byte) error {
	f := formats[t]
	switch {
	case f.decode == nil:
		return fmt.Errorf("gguf: %s cannot be turned into float32; the types that can are %s", t, names(floats))
	case len(blocks)%f.bytes != 0:
		return fmt.Errorf("gguf: %d bytes of %s: not whole blocks of %d", len(blocks), t, f.bytes)
	case len(dst) != len(blocks)/f.bytes*f.block:
		return fmt.Errorf("gguf: %d bytes of %s hold %d values, there is room for %d", len(blocks), t, len(blocks)/f.bytes*f.block, len(dst))
	}
	f.decode(dst, blocks)
	return nil
}
