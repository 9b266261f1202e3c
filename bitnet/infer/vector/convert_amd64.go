//go:build !purego

package vector

func (k kernel) toHalf(dst []uint16, x []float32) {
	if n := k.eights(len(dst)); n > 0 && k.half {
		_ = x[lanes*n-1]
		toHalfF16C(&dst[0], &x[0], n)
		dst, x = dst[lanes*n:], x[lanes*n:]
	}
	toHalfScalar(dst, x)
}

func (k kernel) fromHalf(dst []float32, x []uint16) {
	if n := k.eights(len(dst)); n > 0 && k.half {
		_ = x[lanes*n-1]
		fromHalfF16C(&dst[0], &x[0], n)
		dst, x = dst[lanes*n:], x[lanes*n:]
	}
	fromHalfScalar(dst, x)
}

func (k kernel) toInt8(dst []int8, x []float32, factor float32) {
	if n := k.eights(len(dst)); n > 0 {
		_ = x[lanes*n-1]
		toInt8AVX2(&dst[0], &x[0], n, factor)
		dst, x = dst[lanes*n:], x[lanes*n:]
	}
	toInt8Scalar(dst, x, factor)
}

func (k kernel) fromInt8(dst []float32, x []int8) {
	if n := k.eights(len(dst)); n > 0 {
		_ = x[lanes*n-1]
		fromInt8AVX2(&dst[0], &x[0], n)
		dst, x = dst[lanes*n:], x[lanes*n:]
	}
	fromInt8Scalar(dst, x)
}

// maxAbs is the largest magnitude as bits.
func (k kernel) maxAbs(x []float32) uint32 {
	n := k.eights(len(x))
	if n == 0 {
		return maxAbsScalar(x)
	}
	return max(maxAbsAVX2(&x[0], n), maxAbsScalar(x[lanes*n:]))
}
