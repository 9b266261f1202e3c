package matmul_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
	"github.com/bitdistill/bitdistill/internal/golden"
	"github.com/bitdistill/bitdistill/internal/matmul"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

func run(t *testing.T, fn func(in []*graph.Node) []*graph.Node, inputs ...any) [][]float32 {
	t.Helper()
	exec, err := graph.NewExec(backendtest.Open(t), fn)
	if err != nil {
		t.Fatal(err)
	}
	outs, err := exec.Call(inputs...)
	if err != nil {
		t.Fatal(err)
	}
	all := make([][]float32, len(outs))
	for i, o := range outs {
		if all[i], err = tensors.CopyFlatData[float32](o); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// matrices are a batch of [rows, cols] ones.
type matrices struct {
	dims       []int // with the batch axes
	batch      int
	rows, cols int
	values     []float64
}

func zeros(batch []int, rows, cols int) matrices {
	m := matrices{dims: append(append([]int{}, batch...), rows, cols), batch: 1, rows: rows, cols: cols}
	for _, n := range batch {
		m.batch *= n
	}
	m.values = make([]float64, m.batch*rows*cols)
	return m
}

func random(rng *rand.Rand, batch []int, rows, cols int) matrices {
	m := zeros(batch, rows, cols)
	for i := range m.values {
		m.values[i] = float64(float32(rng.NormFloat64()))
	}
	return m
}

func (m matrices) float32s() []float32 {
	out := make([]float32, len(m.values))
	for i, v := range m.values {
		out[i] = float32(v)
	}
	return out
}

func (m matrices) tensor() *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(m.float32s(), m.dims...)
}

func (m matrices) transposed() matrices {
	out := zeros(m.dims[:len(m.dims)-2], m.cols, m.rows)
	for i := range m.values {
		b, r, c := i/(m.rows*m.cols), i/m.cols%m.rows, i%m.cols
		out.values[(b*m.cols+c)*m.rows+r] = m.values[i]
	}
	return out
}

func (m matrices) times(o matrices) matrices {
	out := zeros(m.dims[:len(m.dims)-2], m.rows, o.cols)
	for b := range m.batch {
		for r := range m.rows {
			for c := range o.cols {
				for k := range m.cols {
					out.values[(b*m.rows+r)*o.cols+c] += m.values[(b*m.rows+r)*m.cols+k] * o.values[(b*o.rows+k)*o.cols+c]
				}
			}
		}
	}
	return out
}

func (m matrices) plus(o matrices) matrices {
	out := zeros(m.dims[:len(m.dims)-2], m.rows, m.cols)
	for i := range m.values {
		out.values[i] = m.values[i] + o.values[i]
	}
	return out
}

// sizes are odd, of one, and such that either operand of a gradient is the smaller one.
var sizes = []struct {
	batch   []int
	m, k, n int
}{
	{nil, 3, 5, 7}, {nil, 1, 9, 1}, {nil, 1, 1, 13}, {nil, 13, 1, 1}, {nil, 33, 65, 17}, {nil, 2, 31, 67}, {nil, 67, 3, 2},
	{[]int{1}, 5, 3, 9}, {[]int{3}, 3, 5, 7}, {[]int{5}, 1, 17, 1}, {[]int{2}, 19, 33, 35}, {[]int{7}, 21, 3, 2}, {[]int{2, 3}, 5, 3, 7},
}

// TestMul compares the product and both gradients with plain loops.
func TestMul(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, s := range sizes {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			a, b, d := random(rng, s.batch, s.m, s.k), random(rng, s.batch, s.k, s.n), random(rng, s.batch, s.m, s.n)
			out := run(t, func(in []*graph.Node) []*graph.Node {
				y := matmul.Mul(in[0], in[1])
				loss := graph.ReduceAllSum(graph.Mul(y, in[2]))
				return append([]*graph.Node{y, matmul.Transpose(in[0])}, graph.Gradient(loss, in[0], in[1])...)
			}, a.tensor(), b.tensor(), d.tensor())
			golden.Close(t, "product", out[0], a.times(b).float32s(), 1e-6)
			golden.Close(t, "transpose", out[1], a.transposed().float32s(), 0)
			golden.Close(t, "gradient of a", out[2], d.times(b.transposed()).float32s(), 1e-6)
			golden.Close(t, "gradient of b", out[3], a.transposed().times(d).float32s(), 1e-6)
		})
	}
}

// TestGradientsTwice has what a product remembers between output and inputs not get mixed up: x is in a product with itself
// and in one with the result, and two losses in one graph have gradients of their own, whichever is taken first.
func TestGradientsTwice(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, batch := range [][]int{nil, {3}} {
		const n = 5
		x, w := random(rng, batch, n, n), random(rng, batch, n, n)
		c, d := random(rng, batch, n, n), random(rng, batch, n, n)
		out := run(t, func(in []*graph.Node) []*graph.Node {
			x, w, c, d := in[0], in[1], in[2], in[3]
			square := matmul.Mul(x, x)
			y := matmul.Mul(square, matmul.Mul(x, w)) // x·x·x·w
			first := graph.ReduceAllSum(graph.Mul(y, c))
			second := graph.ReduceAllSum(graph.Mul(square, d))
			grads := append(graph.Gradient(first, x, w), graph.Gradient(second, x)...)
			grads = append(grads, graph.Gradient(graph.Add(first, second), x)...)
			return append(grads, graph.Gradient(first, x)...)
		}, x.tensor(), w.tensor(), c.tensor(), d.tensor())

		xt, wt := x.transposed(), w.transposed()
		dSquare, dRight := c.times(x.times(w).transposed()), x.times(x).transposed().times(c)
		square := func(d matrices) matrices { return d.times(xt).plus(xt.times(d)) } // of sum(x·x*d)
		first, second := square(dSquare).plus(dRight.times(wt)), square(d)
		golden.Close(t, "first loss, x", out[0], first.float32s(), 2e-6)
		golden.Close(t, "first loss, w", out[1], xt.times(dRight).float32s(), 2e-6)
		golden.Close(t, "second loss, x", out[2], second.float32s(), 2e-6)
		golden.Close(t, "both, x", out[3], first.plus(second).float32s(), 2e-6)
		golden.Close(t, "first loss again, x", out[4], first.float32s(), 2e-6)
	}
}

// TestConstantOperands has gradients stop where they should.
func TestConstantOperands(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	a, b := random(rng, nil, 3, 5), random(rng, nil, 5, 7)
	out := run(t, func(in []*graph.Node) []*graph.Node {
		y := matmul.Mul(graph.StopGradient(in[0]), in[1])
		return graph.Gradient(graph.ReduceAllSum(y), in[0], in[1])
	}, a.tensor(), b.tensor())
	golden.Close(t, "stopped", out[0], make([]float32, 15), 0)
	ones := zeros(nil, 3, 7)
	for i := range ones.values {
		ones.values[i] = 1
	}
	golden.Close(t, "other", out[1], a.transposed().times(ones).float32s(), 1e-6)
}
