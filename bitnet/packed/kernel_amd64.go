//go:build !purego

package packed

import "golang.org/x/sys/cpu"

// supported are the kernels of this processor, the best one first.
func supported() (all []kernel) {
	x := cpu.X86
	if x.HasAVX2 {
		if x.HasAVX512F && x.HasAVX512VNNI {
			all = append(all, avx512VNNI)
		}
		if x.HasAVXVNNI {
			all = append(all, avxVNNI)
		}
		all = append(all, avx2)
	}
	return append(all, scalar)
}

// gemv puts the products of a panel's groups with one token's codes into sums.
func (k kernel) gemv(sums *[panelRows]int32, panel []byte, codes []int8) {
	n := len(panel) / groupBytes
	_ = codes[4*n-1]
	switch k {
	case avx512VNNI:
		gemvAVX512(&sums[0], &panel[0], &codes[0], n)
	case avxVNNI:
		gemvAVXVNNI(&sums[0], &panel[0], &codes[0], n)
	case avx2:
		gemvAVX2(&sums[0], &panel[0], &codes[0], n)
	default:
		gemvScalar(sums, panel, codes)
	}
}

// tiles reports whether there are loops for several tokens.
func (k kernel) tiles() bool { return k != scalar }

// unpack spreads the codes of up to 64 groups.
func (k kernel) unpack(to *unpacked, panel []byte) {
	n := len(panel) / groupBytes
	if k == avx512VNNI {
		unpackAVX512(&to[0], &panel[0], n)
		return
	}
	unpackAVX2(&to[0], &panel[0], n)
}

// tile adds the products of n unpacked groups with as many tokens as there are sums, 1 to 6, whose codes are stride apart.
func (k kernel) tile(sums [][panelRows]int32, from *unpacked, n int, codes []int8, stride int) {
	_ = codes[(len(sums)-1)*stride+4*n-1]
	switch k {
	case avx512VNNI:
		tileAVX512(&sums[0][0], &from[0], &codes[0], stride, n, len(sums))
	case avxVNNI:
		tileAVXVNNI(&sums[0][0], &from[0], &codes[0], stride, n, len(sums))
	default:
		tileAVX2(&sums[0][0], &from[0], &codes[0], stride, n, len(sums))
	}
}

// maxAbs is the largest magnitude as bits.
func (k kernel) maxAbs(x []float32) uint32 {
	n := len(x) / 8
	if k == scalar || n == 0 {
		return maxAbsScalar(x)
	}
	return max(maxAbsAVX2(&x[0], n), maxAbsScalar(x[8*n:]))
}

// quantize rounds x times factor.
func (k kernel) quantize(codes []int8, x []float32, factor float32) {
	n := len(x) / 32
	if k != scalar && n > 0 {
		_ = codes[32*n-1]
		quantizeAVX2(&codes[0], &x[0], n, factor)
		codes, x = codes[32*n:], x[32*n:]
	}
	quantizeScalar(codes, x, factor)
}

// sum adds up codes.
func (k kernel) sum(codes []int8) int32 {
	n := len(codes) / 32
	if k == scalar || n == 0 {
		return sumScalar(codes)
	}
	return sumAVX2(&codes[0], n) + sumScalar(codes[32*n:])
}

// scale is dst = (sums-offset) * (factor*scales), or adds that to dst.
func (k kernel) scale(dst, scales *[panelRows]float32, sums *[panelRows]int32, offset int32, factor float32, add bool) {
	switch {
	case k == scalar:
		scaleScalar(dst, scales, sums, offset, factor, add)
	case k == avx512VNNI && add:
		addScaledAVX512(&dst[0], &sums[0], &scales[0], offset, factor)
	case k == avx512VNNI:
		scaleAVX512(&dst[0], &sums[0], &scales[0], offset, factor)
	case add:
		addScaledAVX2(&dst[0], &sums[0], &scales[0], offset, factor)
	default:
		scaleAVX2(&dst[0], &sums[0], &scales[0], offset, factor)
	}
}

// peak does n turns of multiply-adds on registers; a turn has that many products.
func (k kernel) peak(n int) (products int) {
	switch k {
	case avx512VNNI:
		peakAVX512(n)
		return 24 * 64
	case avxVNNI:
		peakAVXVNNI(n)
		return 12 * 32
	case avx2:
		peakAVX2(n)
		return 12 * 32
	}
	return peakScalar(n)
}

// read reads all of x.
func (k kernel) read(x []byte) {
	n := len(x) / 256
	if k != scalar && n > 0 {
		readAVX2(&x[0], n)
		x = x[256*n:]
	}
	readScalar(x)
}
