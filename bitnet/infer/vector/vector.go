package vector

import "math"

const lanes = 8 // values side by side

// Add is dst += x.
func Add(dst, x []float32) { active.add(dst, x) }

// Multiply is dst *= x.
func Multiply(dst, x []float32) { active.multiply(dst, x) }

// Scale is x *= by.
func Scale(x []float32, by float32) { active.scale(x, by) }

// RMSNorm is dst = x / sqrt(mean(x²) + eps) * weight for each row of x [rows, len(weight)] (Zhang and Sennrich 2019). dst may be x.
func RMSNorm(dst, x, weight []float32, eps float64) {
	width := len(weight)
	var sums [lanes]float32
	for len(x) > 0 {
		rows := min(lanes, len(x)/width)
		active.sumSquares(&sums, x, width, rows)
		for r := range rows {
			mean := sums[r] * float32(1/float64(width))
			factor := 1 / float32(math.Sqrt(float64(mean+float32(eps))))
			active.scaleBy(dst[r*width:][:width], x[r*width:][:width], weight, factor)
		}
		dst, x = dst[rows*width:], x[rows*width:]
	}
}

// Rotate turns each head of x [heads, 2*len(cos)] by its angles, pairing the value i with i + len(cos) (Su et al. 2021).
func Rotate(x, cos, sin []float32) {
	half := len(cos)
	for ; len(x) > 0; x = x[2*half:] {
		active.rotate(x[:half], x[half:2*half], cos, sin)
	}
}

// SiLU is dst = x·sigmoid(x) · up.
func SiLU(dst, x, up []float32) { active.silu(dst, x, up) }

// GELUTanh is dst = gelu(x) · up: x/2·(1 + tanh(u)) with u = sqrt(2/pi)·(x + 0.044715·x³), as x·sigmoid(2u).
func GELUTanh(dst, x, up []float32) { active.gelu(dst, x, up) }

// Weigh turns scores, at least one, into exp(scores - max(scores)): the weights of a softmax that are not yet divided by their sum.
func Weigh(scores []float32) { active.exponential(scores, active.max(scores)) }

// SumGroup is how many rows Sum adds up side by side: a sum waits for each of its additions.
const SumGroup = 4

// Sum adds up rows, which may differ in length.
func Sum(rows *[SumGroup][]float32) (sums [SumGroup]float32) {
	n := min(len(rows[0]), len(rows[1]), len(rows[2]), len(rows[3]))
	a, b, c, d := rows[0][:n], rows[1][:n], rows[2][:n], rows[3][:n]
	var sa, sb, sc, sd float32
	for i, v := range a {
		sa += v
		sb += b[i]
		sc += c[i]
		sd += d[i]
	}
	sums = [SumGroup]float32{sa, sb, sc, sd}
	for i, row := range rows {
		for _, v := range row[n:] {
			sums[i] += v
		}
	}
	return sums
}

// Rows are vectors whose beginnings are Stride values apart.
type Rows struct {
	Values        []float32
	Stride, Count int
}

// Lanes is the number of columns of a block.
const Lanes = lanes

// Blocks is a matrix of Rows rows and Count blocks of eight columns. The block b is Values[b*Stride:], [Rows][8].
type Blocks struct {
	Values              []float32
	Stride, Rows, Count int
}

// AddProduct is dst += x·m for vectors x of m.Rows values, dst.Count of them. Each sum goes on in dst, from the first row of m to the
// last, so that a product may be computed in pieces. dst has room for all columns of m.
func AddProduct(dst, x Rows, m Blocks) { active.product(dst, x, m) }

// ToHalf rounds to float16, what is too large to the largest there is.
func ToHalf(dst []uint16, x []float32) { active.toHalf(dst, x) }

// FromHalf is dst = x as float32.
func FromHalf(dst []float32, x []uint16) { active.fromHalf(dst, x) }

// ToInt8 rounds x to multiples of the scale that it returns, a 127th of the largest magnitude: an error of at most half of it. What has
// an infinity or a NaN has a scale that is none either.
func ToInt8(dst []int8, x []float32) (scale float32) {
	peak := math.Float32frombits(active.maxAbs(x))
	factor := 127 / peak
	switch {
	case !(peak <= math.MaxFloat32):
		clear(dst)
		return float32(math.NaN())
	case factor > math.MaxFloat32:
		clear(dst)
		return 0
	}
	active.toInt8(dst, x, factor)
	return peak / 127
}

// FromInt8 is dst = x as float32.
func FromInt8(dst []float32, x []int8) { active.fromInt8(dst, x) }
