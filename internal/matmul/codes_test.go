package matmul_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
	"github.com/bitdistill/bitdistill/internal/matmul"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// On XLA, products of int8 codes with ternary ones in bfloat16 are exact. Gradients are those of float32 unless they may be rounded;
// then they are off by no more than bfloat16 is, 2^-8 of an operand.
func TestCodesInBFloat16(t *testing.T) {
	const m, k, n = 33, 1537, 45 // sums need more digits than bfloat16 has
	b := backendtest.XLA(t)
	rng := rand.New(rand.NewPCG(5, 6))
	fill := func(rows, cols int, f func() float32) *tensors.Tensor {
		values := make([]float32, rows*cols)
		for i := range values {
			values[i] = f()
		}
		return tensors.FromFlatDataAndDimensions(values, rows, cols)
	}
	codes := fill(m, k, func() float32 { return float32(rng.IntN(255) - 127) })
	weights := fill(k, n, func() float32 { return float32(rng.IntN(3) - 1) })
	upstream := fill(m, n, func() float32 { return float32(rng.NormFloat64()) })
	product := func(rounded bool) [3][]float32 {
		exec, err := graph.NewExec(b, func(x, w, up *graph.Node) []*graph.Node {
			y := matmul.Codes(x, w, rounded)
			return append([]*graph.Node{y}, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, up)), x, w)...)
		})
		if err != nil {
			t.Fatal(err)
		}
		outs, err := exec.Call(codes, weights, upstream)
		if err != nil {
			t.Fatal(err)
		}
		var all [3][]float32
		for i, o := range outs {
			all[i] = tensors.MustCopyFlatData[float32](o)
		}
		return all
	}
	t.Setenv("BITDISTILL_BFLOAT16", "off")
	want := product(true)
	t.Setenv("BITDISTILL_BFLOAT16", "on")
	exact, rounded := product(false), product(true)
	for i, w := range want[0] {
		if exact[0][i] != w || rounded[0][i] != w || w != float32(math.Round(float64(w))) {
			t.Fatalf("entry %d: %g and %g in bfloat16, %g in float32", i, exact[0][i], rounded[0][i], w)
		}
	}
	for which := 1; which < 3; which++ {
		var differs bool
		var largest float64
		for _, w := range want[which] {
			largest = max(largest, math.Abs(float64(w)))
		}
		for i, w := range want[which] {
			if d := math.Abs(float64(exact[which][i] - w)); d > 1e-5*largest {
				t.Fatalf("gradient %d, entry %d: %g, want %g", which, i, exact[which][i], w)
			}
			d := math.Abs(float64(rounded[which][i] - w))
			differs = differs || d > 1e-5*largest
			if d > largest/128 {
				t.Fatalf("rounded gradient %d, entry %d: %g, want %g", which, i, rounded[which][i], w)
			}
		}
		if !differs {
			t.Errorf("gradient %d is not rounded", which)
		}
	}
}
