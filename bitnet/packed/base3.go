package packed

import "fmt"

// tritsPerByte are the base-3 digits that fit into a byte: 3^5 = 243.
const tritsPerByte = 5

// PackBase3 appends codes -1, 0 and 1 to dst, five a byte (1.6 bits each): the sum of (code+1)*3^i, i from 0 to 4, missing ones taken
// as digit 0. It is a form for storage only; any other code is an error.
func PackBase3(dst []byte, codes []int8) ([]byte, error) {
	for first := 0; first < len(codes); first += tritsPerByte {
		digits := codes[first:min(first+tritsPerByte, len(codes))]
		var b uint8
		for i := len(digits) - 1; i >= 0; i-- {
			if digits[i] < -1 || digits[i] > 1 {
				return nil, fmt.Errorf("packed: code %d is %d; want -1, 0 or 1", first+i, digits[i])
			}
			b = 3*b + uint8(digits[i]+1)
		}
		dst = append(dst, b)
	}
	return dst, nil
}

// UnpackBase3 appends n codes to dst that [PackBase3] has packed. There must be as many bytes as n codes make, and none may be one that
// packing does not make.
func UnpackBase3(dst []int8, packed []byte, n int) ([]int8, error) {
	if n < 0 || len(packed) != n/tritsPerByte+min(n%tritsPerByte, 1) {
		return nil, fmt.Errorf("packed: %d bytes in base 3 are not those of %d codes", len(packed), n)
	}
	for at, b := range packed {
		for range min(tritsPerByte, n-at*tritsPerByte) {
			dst = append(dst, int8(b%3)-1)
			b /= 3
		}
		if b != 0 {
			return nil, fmt.Errorf("packed: byte %d is %#x, which codes in base 3 do not make", at, packed[at])
		}
	}
	return dst, nil
}
