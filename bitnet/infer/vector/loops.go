package vector

import (
	"math"

	"github.com/bitdistill/bitdistill/internal/half"
)

// The loops in Go. float32(x) around a product keeps the compiler from fusing it with a sum.

func addScalar(dst, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] += x[i]
	}
}

func multiplyScalar(dst, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] *= x[i]
	}
}

func scaleScalar(x []float32, by float32) {
	for i := range x {
		x[i] *= by
	}
}

func scaleByScalar(dst, x, weight []float32, factor float32) {
	x, weight = x[:len(dst)], weight[:len(dst)]
	for i, v := range x {
		dst[i] = v * float32(factor*weight[i])
	}
}

// sumSquaresScalar goes on with the sums of rows [rows, width] from a column on.
func sumSquaresScalar(dst *[lanes]float32, x []float32, column, width, rows int) {
	if column == 0 {
		clear(dst[:])
	}
	for r := range rows {
		sum := dst[r]
		for _, v := range x[r*width:][column:width] {
			sum += float32(v * v)
		}
		dst[r] = sum
	}
}

func rotateScalar(first, second, cos, sin []float32) {
	for i, c := range cos {
		a, b, s := first[i], second[i], sin[i]
		first[i] = float32(a*c) - float32(b*s)
		second[i] = float32(b*c) + float32(a*s)
	}
}

func maxScalar(x []float32) float32 {
	peak := x[0]
	for _, v := range x {
		peak = max(peak, v)
	}
	return peak
}

func expScalar(x []float32, less float32) {
	for i, v := range x {
		x[i] = exp(v - less)
	}
}

// exp is e^x within 1e-7, with the operations of GoMLX's fused softmax: Cephes' expf (Moshier), x = n·ln2 + g, e^g by a polynomial. Below
// -88.03 it is 0, above 88.03 1.7e38.
func exp(x float32) float32 {
	const limit = 88.02969187150841 // 127·ln2
	switch {
	case x > limit:
		return 1.7014117331926442990585209174225846272e38
	case x < -limit:
		return 0
	}
	n := float32(math.Floor(float64(float64(x)*math.Log2E) + 0.5))
	g := x - float32(n*0.693359375) - float32(n*-2.12194440e-4) // ln2 in two parts
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

func siluScalar(dst, x, up []float32) {
	x, up = x[:len(dst)], up[:len(dst)]
	for i, v := range x {
		dst[i] = float32(v*sigmoid(v)) * up[i]
	}
}

func geluScalar(dst, x, up []float32) {
	x, up = x[:len(dst)], up[:len(dst)]
	for i, v := range x {
		u := v + float32(float32(float32(v*v)*v)*0.044715)
		dst[i] = float32(v*sigmoid(u*float32(2*math.Sqrt(2/math.Pi)))) * up[i]
	}
}

func productScalar(dst, x Rows, m Blocks) {
	for r := range dst.Count {
		from := x.Values[r*x.Stride:][:m.Rows]
		for b := range m.Count {
			sums := (*[lanes]float32)(dst.Values[r*dst.Stride+lanes*b:])
			values := m.Values[b*m.Stride:][:lanes*m.Rows]
			for i, v := range from {
				for c, w := range values[lanes*i:][:lanes] {
					sums[c] += float32(v * w)
				}
			}
		}
	}
}

const mostHalf = 65504

func toHalfScalar(dst []uint16, x []float32) {
	x = x[:len(dst)]
	for i, v := range x {
		dst[i] = half.FromFloat32(min(max(v, -mostHalf), mostHalf))
	}
}

func fromHalfScalar(dst []float32, x []uint16) {
	x = x[:len(dst)]
	for i, v := range x {
		dst[i] = half.ToFloat32(v)
	}
}

func toInt8Scalar(dst []int8, x []float32, factor float32) {
	x = x[:len(dst)]
	for i, v := range x {
		dst[i] = int8(math.RoundToEven(float64(v * factor)))
	}
}

func fromInt8Scalar(dst []float32, x []int8) {
	x = x[:len(dst)]
	for i, v := range x {
		dst[i] = float32(v)
	}
}

func maxAbsScalar(x []float32) (bits uint32) {
	for _, v := range x {
		bits = max(bits, math.Float32bits(v)&math.MaxInt32)
	}
	return bits
}
