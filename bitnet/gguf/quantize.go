package gguf

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/bitdistill/bitdistill/internal/half"
)

// encoding is how values become blocks of a type.
type encoding struct {
	below  float64 // what finite magnitudes must be less than; from there on a value or a scale would become infinite
	encode func(blocks []byte, x []float32)
}

// halfBelow is the least number that rounds to an infinity of half precision.
const halfBelow = 65520

// encodings are the types that Quantize knows, which all are among formats.
var encodings = map[Type]encoding{
	F32:   {math.Inf(1), encodeF32},
	F16:   {halfBelow, encodeF16},
	BF16:  {0x1.ffp127, encodeBF16},
	Q8_0:  {127 * halfBelow, encodeQ8_0},
	Q4_0:  {8 * halfBelow, encodeQ4_0},
	TQ1_0: {halfBelow, encodeTQ1_0},
	TQ2_0: {halfBelow, encodeTQ2_0},
	Q2_0:  {halfBelow, encodeQ2_0},
}

// encodable lists them as error messages show them.
var encodable = []Type{F32, F16, BF16, Q8_0, Q4_0, TQ1_0, TQ2_0, Q2_0}

// Quantize encodes src into blocks of type t, one of F32, F16, BF16, Q8_0,
// Q4_0, TQ1_0, TQ2_0 and Q2_0; blocks must have room for exactly them. It gives
// the bits of the reference implementation: F16 and BF16 round to nearest, ties
// to even; the others have a scale a block in half precision, the largest
// magnitude over 127 (Q8_0), the value of largest magnitude over -8 (Q4_0), or
// the largest magnitude (the ternary types), and codes rounded to nearest.
//
// The ternary types lose nothing of a matrix of -D, 0 and D, as long as half
// precision holds D and no block is without a D.
//
// A finite value too large for the type is an error, as is an infinity or a NaN
// where blocks have a scale; NaNs become another NaN in half precision. After
// an error blocks holds nothing of use.
func Quantize(t Type, blocks []byte, src []float32) error {
	f, e := formats[t], encodings[t]
	switch {
	case e.encode == nil:
		return fmt.Errorf("gguf: float32 values cannot be encoded as %s; the types that can be are %s", t, names(encodable))
	case len(src)%f.block != 0:
		return fmt.Errorf("gguf: %d values: not whole blocks of %d, as %s has", len(src), f.block, t)
	case len(blocks) != len(src)/f.block*f.bytes:
		return fmt.Errorf("gguf: %d values of %s need %d bytes, there is room for %d", len(src), t, len(src)/f.block*f.bytes, len(blocks))
	}
	for i, v := range src {
		abs := math.Abs(float64(v))
		if abs < e.below || f.block == 1 && (v != v || math.IsInf(abs, 1)) {
			continue
		}
		return fmt.Errorf("gguf: value %d is %v, which %s cannot hold", i, v, t)
	}
	e.encode(blocks, src)
	return nil
}

func encodeF32(b []byte, x []float32) {
	for i, v := range x {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
	}
}

func encodeF16(b []byte, x []float32) {
	for i, v := range x {
		binary.LittleEndian.PutUint16(b[2*i:], half.FromFloat32(v))
	}
}

func encodeBF16(b []byte, x []float32) {
	for i, v := range x {
		binary.LittleEndian.PutUint16(b[2*i:], half.BFloatFromFloat32(v))
	}
}

func encodeQ8_0(b []byte, x []float32) {
	for ; len(x) > 0; x, b = x[32:], b[34:] {
		d := float32(math.Abs(float64(extreme(x[:32])))) / 127
		putHalf(b, d)
		q, inverse := (*[32]byte)(b[2:]), inverse(d)
		for j, v := range (*[32]float32)(x) {
			q[j] = byte(round(v * inverse))
		}
	}
}

func encodeQ4_0(b []byte, x []float32) {
	for ; len(x) > 0; x, b = x[32:], b[18:] {
		d := extreme(x[:32]) / -8
		putHalf(b, d)
		q, inverse := (*[16]byte)(b[2:]), inverse(d)
		code := func(v float32) byte { return byte(min(float32(v*inverse)+8.5, 15)) }
		for j := range q {
			q[j] = code(x[j]) | code(x[j+16])<<4
		}
	}
}

func encodeQ2_0(b []byte, x []float32) {
	var codes [64]byte
	for ; len(x) > 0; x, b = x[64:], b[18:] {
		putHalf(b, ternaryCodes(codes[:], x))
		q := (*[16]byte)(b[2:])
		for j := range q {
			q[j] = codes[4*j] | codes[4*j+1]<<2 | codes[4*j+2]<<4 | codes[4*j+3]<<6
		}
	}
}

func encodeTQ2_0(b []byte, x []float32) {
	var codes [256]byte
	for ; len(x) > 0; x, b = x[256:], b[66:] {
		putHalf(b[64:], ternaryCodes(codes[:], x))
		for n := range 2 {
			c, q := codes[128*n:], (*[32]byte)(b[32*n:])
			for j := range q {
				q[j] = c[j] | c[j+32]<<2 | c[j+64]<<4 | c[j+96]<<6
			}
		}
	}
}

// encodeTQ1_0 makes a number of five digits, or of four and a zero, and of it
// the least fraction of 256 whose digits these are; see decodeTQ1_0.
func encodeTQ1_0(b []byte, x []float32) {
	var codes [256]byte
	for ; len(x) > 0; x, b = x[256:], b[54:] {
		putHalf(b[52:], ternaryCodes(codes[:], x))
		rest := codes[:]
		for _, g := range tq1Groups {
			for j := range g.bytes {
				number := 0
				for n := range 5 {
					number *= 3
					if n < g.codes {
						number += int(rest[n*g.bytes+j])
					}
				}
				b[g.from+j] = byte((number*256 + 242) / 243)
			}
			rest = rest[g.bytes*g.codes:]
		}
	}
}

// ternaryCodes sets codes to 0, 1 and 2 for the multiples -1, 0 and 1 of the
// scale that as many of the values are next to, and returns the scale.
func ternaryCodes(codes []byte, x []float32) (scale float32) {
	x = x[:len(codes)]
	d := float32(math.Abs(float64(extreme(x))))
	inverse := inverse(d)
	for j, v := range x {
		codes[j] = byte(round(v*inverse) + 1)
	}
	return d
}

// extreme is the first value of the largest magnitude.
func extreme(x []float32) float32 {
	var best, most float32
	for i, v := range x {
		if abs := math.Float32frombits(math.Float32bits(v) &^ (1 << 31)); i == 0 || abs > most {
			best, most = v, abs
		}
	}
	return best
}

// inverse is 1/d, or 0 where that is infinite: such a scale is 0 in half
// precision, whatever the codes are.
func inverse(d float32) float32 {
	if v := 1 / d; v-v == 0 {
		return v
	}
	return 0
}

// round rounds to nearest, ties away from zero.
func round(v float32) int {
	if v < 0 {
		return int(float64(v) - 0.5)
	}
	return int(float64(v) + 0.5)
}

func putHalf(b []byte, v float32) { binary.LittleEndian.PutUint16(b, half.FromFloat32(v)) }
