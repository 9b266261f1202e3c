package loss_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// lossFn is a loss of its inputs.
type lossFn = func(x []*graph.Node) *graph.Node

// evaluate returns the loss and its gradients with respect to the first wrt inputs.
func evaluate(t testing.TB, f lossFn, wrt int, inputs ...*tensors.Tensor) (float64, [][]float32) {
	t.Helper()
	exec, err := graph.NewExec(backendtest.Open(t), func(x []*graph.Node) []*graph.Node {
		l := f(x)
		return append([]*graph.Node{l}, graph.Gradient(l, x[:wrt]...)...)
	})
	if err != nil {
		t.Fatal(err)
	}
	outputs, err := exec.Call(anys(inputs)...)
	if err != nil {
		t.Fatal(err)
	}
	var gradients [][]float32
	for _, o := range outputs[1:] {
		gradients = append(gradients, tensors.MustCopyFlatData[float32](o))
	}
	return float64(tensors.MustCopyFlatData[float32](outputs[0])[0]), gradients
}

func anys(ts []*tensors.Tensor) []any {
	out := make([]any, len(ts))
	for i, t := range ts {
		out[i] = t
	}
	return out
}

// filled returns the tensor whose flat entry i is f(i).
func filled[T float32 | int32](f func(i int) T, dims ...int) *tensors.Tensor {
	n := 1
	for _, d := range dims {
		n *= d
	}
	values := make([]T, n)
	for i := range values {
		values[i] = f(i)
	}
	return tensors.FromFlatDataAndDimensions(values, dims...)
}

// random returns normally distributed values.
func random(rng *rand.Rand, dims ...int) *tensors.Tensor {
	return filled(func(int) float32 { return float32(rng.NormFloat64()) }, dims...)
}

func ones(dims ...int) *tensors.Tensor { return filled(func(int) float32 { return 1 }, dims...) }

func scalar(v float64) *tensors.Tensor { return tensors.FromValue(float32(v)) }

func floats(t *tensors.Tensor) []float32 { return tensors.MustCopyFlatData[float32](t) }

// near fails the test unless got is want up to a relative tolerance.
func near(t testing.TB, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*math.Abs(want)) {
		t.Errorf("%s: %.9g, want %.9g (relative difference %.2g, allowed %.2g)", what, got, want, math.Abs(got-want)/math.Abs(want), tolerance)
	}
}

// nearAll fails the test unless all entries of got are those of want up to tolerance times the largest of want.
func nearAll[W float32 | float64](t testing.TB, what string, got []float32, want []W, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d entries, want %d", what, len(got), len(want))
		return
	}
	var largest, worst float64
	at := 0
	for i := range want {
		largest = max(largest, math.Abs(float64(want[i])))
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= worst) {
			worst, at = d, i
		}
	}
	if !(worst <= tolerance*largest) {
		t.Errorf("%s: entry %d is %g, want %g; difference %.2g of the largest, %g (allowed %.2g)",
			what, at, got[at], want[at], worst/largest, largest, tolerance)
	}
}
