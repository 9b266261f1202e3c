//go:build !purego

package vector

import (
	"math"

	"golang.org/x/sys/cpu"
)

// supported are the kernels of this processor, the best one first.
func supported() (all []kernel) {
	if cpu.X86.HasAVX2 {
		k := kernel{avx2: true, half: hasHalf(), exp: fusedExp}
		if cpu.X86.HasFMA && k.expIsGo() {
			all = append(all, k)
		}
		k.exp = plainExp
		if k.expIsGo() {
			all = append(all, k)
		}
		k.exp = goExp
		all = append(all, k)
	}
	return append(all, scalar)
}

// expIsGo tries values of which many differ in the last bit if operations are fused or not.
func (k kernel) expIsGo() bool {
	var x, want [512]float64
	for i := range x {
		x[i] = -float64(i) * float64(i) / 1500
		want[i] = math.Exp(x[i])
	}
	k.exp64(x[:])
	return x == want
}

// exp64 is exp of a multiple of four values.
func (k kernel) exp64(x []float64) {
	if k.exp == fusedExp {
		exp64FMA(&x[0], len(x)/lanes*2)
	} else {
		exp64AVX2(&x[0], len(x)/lanes*2)
	}
}

// eights is how many registers values fill, none if this kernel has no use for them.
func (k kernel) eights(n int) int {
	if !k.avx2 {
		return 0
	}
	return n / lanes
}

func (k kernel) add(dst, x []float32) {
	if n := k.eights(len(dst)); n > 0 {
		_ = x[lanes*n-1]
		addAVX2(&dst[0], &x[0], n)
		dst, x = dst[lanes*n:], x[lanes*n:]
	}
	addScalar(dst, x)
}

func (k kernel) multiply(dst, x []float32) {
	if n := k.eights(len(dst)); n > 0 {
		_ = x[lanes*n-1]
		multiplyAVX2(&dst[0], &x[0], n)
		dst, x = dst[lanes*n:], x[lanes*n:]
	}
	multiplyScalar(dst, x)
}

func (k kernel) scale(x []float32, by float32) {
	if n := k.eights(len(x)); n > 0 {
		scaleAVX2(&x[0], n, by)
		x = x[lanes*n:]
	}
	scaleScalar(x, by)
}

func (k kernel) divide(dst, x []float32, by float32) {
	if n := k.eights(len(dst)); n > 0 {
		_ = x[lanes*n-1]
		divideAVX2(&dst[0], &x[0], n, by)
		dst, x = dst[lanes*n:], x[lanes*n:]
	}
	divideScalar(dst, x, by)
}

func (k kernel) scaleBy(dst, x, weight []float32, factor float32) {
	if n := k.eights(len(dst)); n > 0 {
		_, _ = x[lanes*n-1], weight[lanes*n-1]
		scaleByAVX2(&dst[0], &x[0], &weight[0], n, factor)
		dst, x, weight = dst[lanes*n:], x[lanes*n:], weight[lanes*n:]
	}
	scaleByScalar(dst, x, weight, factor)
}

// sumSquares are those of rows [rows, width], up to eight of them.
func (k kernel) sumSquares(dst *[lanes]float32, x []float32, width, rows int) {
	fours := width / 4
	if !k.avx2 || fours == 0 {
		sumSquaresScalar(dst, x, 0, width, rows)
		return
	}
	_ = x[rows*width-1]
	sumSquaresAVX2(&dst[0], &x[0], 4*width, rows, fours)
	sumSquaresScalar(dst, x, 4*fours, width, rows)
}

func (k kernel) rotate(first, second, cos, sin []float32) {
	if n := k.eights(len(cos)); n > 0 {
		_, _, _ = first[lanes*n-1], second[lanes*n-1], sin[lanes*n-1]
		rotateAVX2(&first[0], &second[0], &cos[0], &sin[0], n)
		first, second, cos, sin = first[lanes*n:], second[lanes*n:], cos[lanes*n:], sin[lanes*n:]
	}
	rotateScalar(first, second, cos, sin)
}

func (k kernel) max(x []float32) float32 {
	n := k.eights(len(x))
	if n == 0 {
		return maxScalar(x)
	}
	peak := maxAVX2(&x[0], n)
	for _, v := range x[lanes*n:] {
		peak = max(peak, v)
	}
	return peak
}

func (k kernel) exponential(x []float32, less float32) {
	if k.exp == goExp {
		expScalar(x, less)
		return
	}
	n := len(x) / lanes
	k.exps(x[:lanes*n], less)
	if rest := x[lanes*n:]; len(rest) > 0 { // math.Exp would take longer than eight at once
		var all [lanes]float32
		copy(all[:], rest)
		k.exps(all[:], less)
		copy(rest, all[:])
	}
}

// exps is exponential for a multiple of eight values.
func (k kernel) exps(x []float32, less float32) {
	switch {
	case len(x) == 0:
	case k.exp == fusedExp:
		expFMA(&x[0], len(x)/lanes, less)
	default:
		expAVX2(&x[0], len(x)/lanes, less)
	}
}

func (k kernel) silu(dst, x, up []float32) {
	n := k.eights(len(dst))
	if k.exp == goExp || n == 0 {
		siluScalar(dst, x, up)
		return
	}
	_, _ = x[lanes*n-1], up[lanes*n-1]
	if k.exp == fusedExp {
		siluFMA(&dst[0], &x[0], &up[0], n)
	} else {
		siluAVX2(&dst[0], &x[0], &up[0], n)
	}
	siluScalar(dst[lanes*n:], x[lanes*n:], up[lanes*n:])
}

func (k kernel) gelu(dst, x, up []float32) {
	n := k.eights(len(dst))
	if k.exp == goExp || n == 0 {
		geluScalar(dst, x, up)
		return
	}
	_, _ = x[lanes*n-1], up[lanes*n-1]
	if k.exp == fusedExp {
		geluFMA(&dst[0], &x[0], &up[0], n)
	} else {
		geluAVX2(&dst[0], &x[0], &up[0], n)
	}
	geluScalar(dst[lanes*n:], x[lanes*n:], up[lanes*n:])
}

func (k kernel) product(dst, x Rows, m Blocks) {
	if !k.avx2 {
		productScalar(dst, x, m)
		return
	}
	if m.Rows == 0 || m.Count == 0 || dst.Count == 0 {
		return
	}
	_ = m.Values[(m.Count-1)*m.Stride+lanes*m.Rows-1]
	_, _ = dst.Values[(dst.Count-1)*dst.Stride+lanes*m.Count-1], x.Values[(dst.Count-1)*x.Stride+m.Rows-1]
	for row := 0; row < dst.Count; {
		product, n := product1AVX2, 1
		switch left := dst.Count - row; {
		case left >= 4:
			product, n = product4AVX2, 4
		case left >= 2:
			product, n = product2AVX2, 2
		}
		product(&dst.Values[row*dst.Stride], 4*dst.Stride, &x.Values[row*x.Stride], 4*x.Stride, &m.Values[0], 4*m.Stride, m.Rows, m.Count)
		row += n
	}
}
