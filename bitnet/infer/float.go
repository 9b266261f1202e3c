package infer

import "math"

// Loops in plain Go; those of package vector are the others. They do each operation in the order of GoMLX's pure-Go backend; see the package
// comment. float32(x) around a product keeps the compiler from fusing it with a sum.

// dots puts the products of rows [n, len(x)] with x into dst, n values.
func dots(dst, rows, x []float32) {
	width := len(x)
	i := 0
	for ; i+4 <= len(dst); i += 4 {
		a, b := rows[i*width:][:width], rows[(i+1)*width:][:width]
		c, d := rows[(i+2)*width:][:width], rows[(i+3)*width:][:width]
		var sa, sb, sc, sd float32
		for k, v := range x {
			sa += float32(v * a[k])
			sb += float32(v * b[k])
			sc += float32(v * c[k])
			sd += float32(v * d[k])
		}
		dst[i], dst[i+1], dst[i+2], dst[i+3] = sa, sb, sc, sd
	}
	for ; i < len(dst); i++ {
		var sum float32
		for k, w := range rows[i*width:][:width] {
			sum += float32(x[k] * w)
		}
		dst[i] = sum
	}
}

// logSum is the logarithm of the sum of exp(logits), in float64.
func logSum(logits []float32) float64 {
	peak := float64(logits[0])
	for _, v := range logits {
		peak = max(peak, float64(v))
	}
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - peak)
	}
	return peak + math.Log(sum)
}

// largest is the index of the largest value, the first of equal ones.
func largest(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}
