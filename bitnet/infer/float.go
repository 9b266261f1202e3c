package infer

import "math"

// Loops in float32. They do each operation in the order of GoMLX's pure-Go backend; see the package comment. Sums run from first to
// last: what runs side by side are different sums. float32(x) around a product keeps the compiler from fusing it with a sum.

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

// addScaled is dst += x * by.
func addScaled(dst, x []float32, by float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] += float32(x[i] * by)
	}
}

func add(dst, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] += x[i]
	}
}

func scale(x []float32, by float32) {
	for i := range x {
		x[i] *= by
	}
}

// rmsNorm is dst = x / sqrt(mean(x²) + eps) * weight (Zhang and Sennrich 2019). dst may be x.
func rmsNorm(dst, x, weight []float32, eps float64) {
	var sum float32
	for _, v := range x {
		sum += float32(v * v)
	}
	mean := sum * float32(1/float64(len(x)))
	factor := 1 / float32(math.Sqrt(float64(mean+float32(eps))))
	dst, weight = dst[:len(x)], weight[:len(x)]
	for i, v := range x {
		dst[i] = v * float32(factor*weight[i])
	}
}

// exp is e^x for x <= 0, with the operations of GoMLX's fused softmax: Cephes' expf (Moshier), x = n·ln2 + g, e^g by a polynomial. It
// is off by 1e-7 and 0 below -88.03.
func exp(x float32) float32 {
	if x < -88.02969187150841 {
		return 0
	}
	n := float32(math.Floor(float64(x)*1.44269504088896341 + 0.5))
	g := float32(x-float32(n*0.693359375)) - float32(n*-2.12194440e-4)
	p := float32(1.9875691500e-4*g) + 1.3981999507e-3
	p = float32(p*g) + 8.3334519073e-3
	p = float32(p*g) + 4.1665795894e-2
	p = float32(p*g) + 1.6666665459e-1
	p = float32(p*g) + 5.0000001201e-1
	return math.Float32frombits(uint32(int32(n)+127)<<23) * (float32(p*float32(g*g)) + g + 1)
}

func sigmoid(x float32) float32 {
	if x >= 0 {
		return float32(1 / (1 + math.Exp(-float64(x))))
	}
	e := math.Exp(float64(x))
	return float32(e / (1 + e))
}

// silu is dst = x·sigmoid(x) · up.
func silu(dst, x, up []float32) {
	for i, v := range x {
		dst[i] = float32(v*sigmoid(v)) * up[i]
	}
}

// geluTanh is dst = gelu(x) · up: x/2·(1 + tanh(u)) with u = sqrt(2/pi)·(x + 0.044715·x³), as x·sigmoid(2u).
func geluTanh(dst, x, up []float32) {
	for i, v := range x {
		u := v + float32(float32(float32(v*v)*v)*0.044715)
		dst[i] = float32(v*sigmoid(u*float32(2*math.Sqrt(2/math.Pi)))) * up[i]
	}
}

// softmax turns scores into weights whose sum is 1.
func softmax(scores []float32) {
	var sum float32
	peak := scores[0]
	for _, s := range scores {
		peak = max(peak, s)
	}
	for i, s := range scores {
		scores[i] = exp(s - peak)
		sum += scores[i]
	}
	scale(scores, 1/sum)
}

// rotate turns each head of x by its angles, pairing the value i with i + dim/2 (Su et al. 2021).
func rotate(x, cos, sin []float32) {
	half := len(cos)
	for ; len(x) > 0; x = x[2*half:] {
		first, second := x[:half], x[half:2*half]
		for i, c := range cos {
			a, b, s := first[i], second[i], sin[i]
			first[i] = float32(a*c) - float32(b*s)
			second[i] = float32(b*c) + float32(a*s)
		}
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
