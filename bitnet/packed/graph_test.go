package packed_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/packed"
	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/bitdistill/bitdistill/internal/golden"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// TestGraph compares with what a model is trained with: on the pure-Go backend codes, scales and products are equal bit for bit, where scales
// follow the sums. (Scales of blocks go into the graph's matrix: there the products are close.)
func TestGraph(t *testing.T) {
	pure, err := backend.Open(backend.Go)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pure.Close)
	r := rand.New(rand.NewPCG(1, 8))
	const tokens = 5
	for _, shape := range [][2]int{{48, 64}, {172, 64}, {64, 172}, {33, 50}, {96, 512}} {
		out, in := shape[0], shape[1]
		w, x := normal(r, out*in, 0.02), normal(r, tokens*in, 3)
		for _, kind := range []bitnet.Weights{bitnet.AbsMean, bitnet.Channel, bitnet.Block, bitnet.BlockPadded} {
			store := model.NewStore()
			if _, err := store.CreateVariable("/weight", tensors.FromFlatDataAndDimensions(w, out, in)); err != nil {
				t.Fatal(err)
			}
			exec, err := model.NewExec(pure.Backend, store, func(scope *model.Scope, x *graph.Node) []*graph.Node {
				a := bitnet.Quantize(x)
				y := bitnet.Linear{Out: out, Weights: kind}.Apply(scope, a)
				codes, scales := bitnet.QuantizeWeights(store.GetVariable("/weight").NodeValue(x.Graph()), kind)
				return []*graph.Node{a.Values, a.Scale, codes, scales, y}
			})
			if err != nil {
				t.Fatal(err)
			}
			outputs, err := exec.Exec(tensors.FromFlatDataAndDimensions(x, tokens, in))
			if err != nil {
				t.Fatal(err)
			}
			var want [5][]float32
			for i, o := range outputs {
				if want[i], err = tensors.CopyFlatData[float32](o); err != nil {
					t.Fatal(err)
				}
			}

			m, err := packed.Quantize(w, out, in, packed.Scaling(kind))
			if err != nil {
				t.Fatal(err)
			}
			a, err := packed.NewActivations(in, tokens)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Quantize(x, 0); err != nil {
				t.Fatal(err)
			}
			y := make([]float32, tokens*out)
			if err := m.Mul(y, a, packed.Span{To: m.Panels()}, packed.Span{To: tokens}); err != nil {
				t.Fatal(err)
			}
			var codes, scales []float32
			for token := range tokens {
				codes, scales = append(codes, widened(a.Codes(token))...), append(scales, a.Scale(token))
			}
			same(t, kind, "codes of activations", codes, want[0])
			same(t, kind, "scales of activations", scales, want[1])
			same(t, kind, "codes of weights", widened(m.Codes(nil)), want[2])
			same(t, kind, "scales of weights", m.Scales(), once(want[3], kind))
			if kind == bitnet.Block || kind == bitnet.BlockPadded {
				golden.Close(t, string(kind)+" products", y, want[4], 1e-6)
			} else {
				same(t, kind, "products", y, want[4])
			}
		}
	}
}

// TestGraphFP16Scales compares quantizers that round their scales, also those that leave float16's range.
func TestGraphFP16Scales(t *testing.T) {
	pure, err := backend.Open(backend.Go)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pure.Close)
	r := rand.New(rand.NewPCG(2, 8))
	const out, in = 33, 50
	for _, deviation := range []float32{1e-6, 7e-5, 0.02, 3, 1e4, 1e6} {
		w := normal(r, out*in, deviation)
		for _, kind := range []bitnet.Weights{bitnet.AbsMean, bitnet.Channel, bitnet.Block, bitnet.BlockPadded} {
			q := bitnet.Quantization{Weights: kind, FP16Scales: true}
			exec, err := graph.NewExec(pure.Backend, func(w *graph.Node) (codes, scale *graph.Node) { return bitnet.QuantizeWeightsAs(w, q) })
			if err != nil {
				t.Fatal(err)
			}
			outputs, err := exec.Call(tensors.FromFlatDataAndDimensions(w, out, in))
			if err != nil {
				t.Fatal(err)
			}
			m, err := packed.QuantizeAs(w, out, in, q)
			if err != nil {
				t.Fatal(err)
			}
			same(t, kind, "codes", widened(m.Codes(nil)), tensors.MustCopyFlatData[float32](outputs[0]))
			same(t, kind, "scales", m.Scales(), once(tensors.MustCopyFlatData[float32](outputs[1]), kind))
			plain, err := packed.Quantize(w, out, in, packed.Scaling(kind))
			if err != nil || slices.Equal(plain.Scales(), m.Scales()) {
				t.Errorf("%s, deviation %g: no scale is rounded (%v)", kind, deviation, err)
			}
		}
	}
}

func normal(r *rand.Rand, n int, deviation float32) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64()) * deviation
	}
	return x
}

// once undoes that the graph repeats scales of blocks for all of their values.
func once(scales []float32, kind bitnet.Weights) (firsts []float32) {
	if kind != bitnet.Block && kind != bitnet.BlockPadded {
		return scales
	}
	for i := 0; i < len(scales); i += bitnet.BlockSize {
		firsts = append(firsts, scales[i])
	}
	return firsts
}

func widened(codes []int8) []float32 {
	x := make([]float32, len(codes))
	for i, c := range codes {
		x[i] = float32(c)
	}
	return x
}

func same(t *testing.T, kind bitnet.Weights, what string, got, want []float32) {
	t.Helper()
	if !slices.Equal(got, want) {
		d, at := golden.MaxDiff(got, want)
		t.Errorf("%s: %s: value %d is off by %g", kind, what, at, d)
	}
}
