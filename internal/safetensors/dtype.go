package safetensors

import (
	"fmt"
	"math"
	"strings"
)

// DType is an element type under its name in the header.
type DType string

// The element types this package knows. All are stored little-endian.
const (
	F16  DType = "F16"  // IEEE 754 half precision
	BF16 DType = "BF16" // the upper half of a float32
	F32  DType = "F32"
	F64  DType = "F64"
	I8   DType = "I8"
	I16  DType = "I16"
	I32  DType = "I32"
	I64  DType = "I64"
	U8   DType = "U8"
	U16  DType = "U16"
	U32  DType = "U32"
	U64  DType = "U64"
	Bool DType = "BOOL" // one byte, 0 or 1
)

// known lists the dtypes in the order error messages show them.
var known = []DType{F32, F16, BF16, F64, I8, I16, I32, I64, U8, U16, U32, U64, Bool}

// Size returns the bytes of one element, or 0 for an unknown dtype.
func (d DType) Size() int {
	switch d {
	case I8, U8, Bool:
		return 1
	case F16, BF16, I16, U16:
		return 2
	case F32, I32, U32:
		return 4
	case F64, I64, U64:
		return 8
	}
	return 0
}

// IsFloat reports whether Float32s can read the dtype.
func (d DType) IsFloat() bool { return d == F32 || d == F16 || d == BF16 || d == F64 }

func knownNames() string {
	names := make([]string, len(known))
	for i, d := range known {
		names[i] = string(d)
	}
	return strings.Join(names, ", ")
}

// maxRank bounds the number of axes. Model weights have at most five.
const maxRank = 8

// byteSize returns the bytes of a tensor, or an error when the dimensions are
// negative, too many, or their product overflows. Zeros do not hide an
// overflow of the others: code that multiplies in another order must be safe.
func byteSize(d DType, shape []int) (int, error) {
	if len(shape) > maxRank {
		return 0, fmt.Errorf("%d dimensions, at most %d are supported", len(shape), maxRank)
	}
	size, empty := d.Size(), false
	for axis, n := range shape {
		switch {
		case n < 0:
			return 0, fmt.Errorf("dimension %d is %d, want 0 or more", axis, n)
		case n == 0:
			empty = true
		case size > math.MaxInt/n:
			return 0, fmt.Errorf("size of %v overflows", shape)
		default:
			size *= n
		}
	}
	if empty {
		return 0, nil
	}
	return size, nil
}
