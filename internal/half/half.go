// Package half converts between float32 and the two floats of 16 bits that model files hold: IEEE half precision and bfloat16. Files
// and their element types belong to their readers.
package half

import "math"

// ToFloat32 converts an IEEE half-precision code, exactly.
func ToFloat32(h uint16) float32 {
	abs := uint32(h&0x7fff) << 13
	if abs >= 0x7c00<<13 { // infinities and NaNs keep their payload
		abs |= 0x7f800000
	} else { // the exponent's bias differs by 112; subnormals come out right as well
		abs = math.Float32bits(math.Float32frombits(abs) * 0x1p112)
	}
	return math.Float32frombits(uint32(h&0x8000)<<16 | abs)
}

// FromFloat32 rounds to the nearest half, ties to even; what is too large becomes an infinity.
func FromFloat32(x float32) uint16 {
	bits := math.Float32bits(x)
	sign, abs := uint16(bits>>16)&0x8000, bits&0x7fffffff
	switch {
	case abs > 0x7f800000: // NaN
		return sign | 0x7e00
	case abs >= 0x47800000: // 2^16 and above
		return sign | 0x7c00
	case abs < 0x38800000: // below 2^-14: a multiple of 2^-24; 1024 of them are the smallest normal
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(abs))*(1<<24)))
	}
	abs -= (127 - 15) << 23
	abs += 0xfff + abs>>13&1
	return sign | uint16(abs>>13)
}

// BFloatToFloat32 converts a bfloat16 code, exactly.
func BFloatToFloat32(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// BFloatFromFloat32 rounds to the nearest bfloat16, ties to even; what is too large becomes an infinity.
func BFloatFromFloat32(x float32) uint16 {
	bits := math.Float32bits(x)
	if bits&0x7fffffff > 0x7f800000 { // NaN: rounding could carry into an infinity
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
