package gguf

import (
	"encoding/binary"
	"math"

	"github.com/bitdistill/bitdistill/internal/half"
)

// The functions here and in kquant.go decode whole blocks; Dequantize has
// checked the lengths. float32(x) around a product keeps the compiler, on
// machines that can, from fusing it with a sum, which would round differently.

// halfAt is the half-precision number in b[0:2].
func halfAt(b []byte) float32 { return half.ToFloat32(binary.LittleEndian.Uint16(b)) }

func decodeF32(y []float32, b []byte) {
	for i := range y {
		y[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
}

func decodeF16(y []float32, b []byte) {
	for i := range y {
		y[i] = half.ToFloat32(binary.LittleEndian.Uint16(b[2*i:]))
	}
}

func decodeBF16(y []float32, b []byte) {
	for i := range y {
		y[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
	}
}

// decodeF64 rounds to float32.
func decodeF64(y []float32, b []byte) {
	for i := range y {
		y[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])))
	}
}

// decodeQ8_0: scale, 32 signed bytes.
func decodeQ8_0(y []float32, b []byte) {
	for ; len(b) > 0; y, b = y[32:], b[34:] {
		d, out := halfAt(b), (*[32]float32)(y)
		for j, q := range (*[32]byte)(b[2:]) {
			out[j] = d * float32(int8(q))
		}
	}
}

// decodeQ4_0: scale, 32 codes around 8, the first half of them in the low bits.
func decodeQ4_0(y []float32, b []byte) {
	for ; len(b) > 0; y, b = y[32:], b[18:] {
		d, out := halfAt(b), (*[32]float32)(y)
		for j, q := range (*[16]byte)(b[2:]) {
			out[j] = d * float32(int32(q&15)-8)
			out[j+16] = d * float32(int32(q>>4)-8)
		}
	}
}

// decodeQ4_1: scale, minimum, 32 codes as in Q4_0 but from 0.
func decodeQ4_1(y []float32, b []byte) {
	for ; len(b) > 0; y, b = y[32:], b[20:] {
		d, m, out := halfAt(b), halfAt(b[2:]), (*[32]float32)(y)
		for j, q := range (*[16]byte)(b[4:]) {
			out[j] = float32(d*float32(int32(q&15))) + m
			out[j+16] = float32(d*float32(int32(q>>4))) + m
		}
	}
}

// decodeQ5_0: scale, the 32 codes' fifth bits, their low bits as in Q4_0; codes
// around 16.
func decodeQ5_0(y []float32, b []byte) {
	for ; len(b) > 0; y, b = y[32:], b[22:] {
		d, out := halfAt(b), (*[32]float32)(y)
		high := binary.LittleEndian.Uint32(b[2:])
		for j, q := range (*[16]byte)(b[6:]) {
			out[j] = d * float32(int32(uint32(q&15)|high<<4&16)-16)
			out[j+16] = d * float32(int32(uint32(q>>4)|high>>12&16)-16)
			high >>= 1
		}
	}
}

// decodeQ5_1: scale, minimum, codes as in Q5_0 but from 0.
func decodeQ5_1(y []float32, b []byte) {
	for ; len(b) > 0; y, b = y[32:], b[24:] {
		d, m, out := halfAt(b), halfAt(b[2:]), (*[32]float32)(y)
		high := binary.LittleEndian.Uint32(b[4:])
		for j, q := range (*[16]byte)(b[8:]) {
			out[j] = float32(d*float32(int32(uint32(q&15)|high<<4&16))) + m
			out[j+16] = float32(d*float32(int32(uint32(q>>4)|high>>12&16))) + m
			high >>= 1
		}
	}
}

// decodeQ2_0: scale, 64 codes of two bits in order, the first in the lowest
// bits; 0 to 3 stand for -1, 0, 1, 2.
func decodeQ2_0(y []float32, b []byte) {
	for ; len(b) > 0; y, b = y[64:], b[18:] {
		levels, out := ternary(halfAt(b)), (*[64]float32)(y)
		for j, q := range (*[16]byte)(b[2:]) {
			out[4*j] = levels[q&3]
			out[4*j+1] = levels[q>>2&3]
			out[4*j+2] = levels[q>>4&3]
			out[4*j+3] = levels[q>>6]
		}
	}
}

// decodeTQ2_0: 64 bytes of four codes, then the scale. Each half of the bytes
// holds 128 values: 32 in the lowest bits, the next 32 in the bits above.
func decodeTQ2_0(y []float32, b []byte) {
	for ; len(b) > 0; y, b = y[256:], b[66:] {
		levels := ternary(halfAt(b[64:]))
		for n := range 2 {
			out := (*[128]float32)(y[128*n:])
			for j, q := range (*[32]byte)(b[32*n:]) {
				out[j] = levels[q&3]
				out[j+32] = levels[q>>2&3]
				out[j+64] = levels[q>>4&3]
				out[j+96] = levels[q>>6]
			}
		}
	}
}

// tq1Groups are the bytes of a block of TQ1_0 and the codes in each of them.
var tq1Groups = [...]struct{ from, bytes, codes int }{{0, 32, 5}, {32, 16, 5}, {48, 4, 4}}

// decodeTQ1_0: 32, 16 and 4 bytes, then the scale. A byte holds five codes
// (those of the last group four), as digits to base 3 of a fraction of 256: the
// leading digit is what times three carries out of the byte.
func decodeTQ1_0(y []float32, b []byte) {
	for ; len(b) > 0; b = b[54:] {
		levels := ternary(halfAt(b[52:]))
		for _, g := range tq1Groups {
			for j, q := range b[g.from : g.from+g.bytes] {
				for n := range g.codes {
					digit := uint16(q) * 3
					y[n*g.bytes+j] = levels[digit>>8]
					q = byte(digit)
				}
			}
			y = y[g.bytes*g.codes:]
		}
	}
}

// ternary gives the values of the codes 0 to 3 at scale d.
func ternary(d float32) [4]float32 { return [4]float32{d * -1, d * 0, d, d * 2} }
