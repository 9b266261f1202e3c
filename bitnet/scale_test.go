package bitnet_test

import (
	"math"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// TestRoundScale goes through all normal numbers of float16, the middles between them, and what is next to those.
func TestRoundScale(t *testing.T) {
	var all []float32 // in their order, so that an even index has an even mantissa
	for exponent := -14; exponent <= 15; exponent++ {
		for mantissa := range 1024 {
			all = append(all, float32(math.Ldexp(1+float64(mantissa)/1024, exponent)))
		}
	}
	var in, want []float32
	add := func(x, rounded float32) { in, want = append(in, x), append(want, rounded) }
	for i, x := range all {
		add(x, x)
		if i+1 < len(all) {
			middle := (x + all[i+1]) / 2
			add(middle, all[i+i%2])
			add(math.Nextafter32(middle, 0), x)
			add(math.Nextafter32(middle, math.MaxFloat32), all[i+1])
		}
	}
	for _, x := range []float32{0, 1e-30, bitnet.ScaleFloor, 6e-5} { // subnormal in float16
		add(x, all[0])
	}
	for _, x := range []float32{65505, 65520, 1e30, math.MaxFloat32} {
		add(x, all[len(all)-1])
	}
	got := run(t, func(x *graph.Node) []*graph.Node { return []*graph.Node{bitnet.RoundScale(x)} }, tensors.FromFlatDataAndDimensions(in, len(in)))[0]
	for i := range in {
		if got[i] != want[i] {
			t.Fatalf("%g (%d): got %g, want %g", in[i], i, got[i], want[i])
		}
	}
}

// TestFP16Scales holds the rounded quantizers against the plain ones: nearly the same scale, the same codes where no weight is near
// a threshold, and the same gradient.
func TestFP16Scales(t *testing.T) {
	const rows, cols = 3, 300
	w := make([]float32, rows*cols)
	for i := range w {
		w[i] = 0.01 * float32(i%17-8) * (1 + 0.001*float32(i/cols))
	}
	for _, kind := range []bitnet.Weights{bitnet.AbsMean, bitnet.Channel, bitnet.Block, bitnet.BlockPadded} {
		outs := run(t, func(w *graph.Node) []*graph.Node {
			var all []*graph.Node
			for _, rounded := range []bool{false, true} {
				codes, scale := bitnet.QuantizeWeightsAs(w, bitnet.Quantization{Weights: kind, FP16Scales: rounded})
				product := graph.Mul(codes, scale)
				all = append(all, codes, scale, graph.Gradient(graph.ReduceAllSum(graph.Mul(product, graph.AddScalar(graph.StopGradient(w), 1))), w)[0])
			}
			return all
		}, tensors.FromFlatDataAndDimensions(w, rows, cols))
		for i := range outs[1] {
			plain, rounded := outs[1][i], outs[4][i]
			if bits := math.Float32bits(rounded); bits&(1<<13-1) != 0 || rounded < 1.0/(1<<14) {
				t.Fatalf("%s: %g is no normal number of float16", kind, rounded)
			}
			if d := math.Abs(float64(rounded-plain)) / float64(plain); d > 1.0/2048 {
				t.Errorf("%s: scale %g, rounded %g", kind, plain, rounded)
			}
		}
		for i := range w {
			if outs[0][i] != outs[3][i] {
				t.Errorf("%s: code %d is %g, rounded %g", kind, i, outs[0][i], outs[3][i])
			}
			if math.Abs(float64(outs[2][i]-outs[5][i])) > 1e-6 || math.Abs(float64(outs[5][i]-(1+w[i]))) > 1e-6 {
				t.Errorf("%s: gradient %d is %g, rounded %g, want %g", kind, i, outs[2][i], outs[5][i], 1+w[i])
			}
		}
	}
}

// TestFP16ScalesOfLinear checks that a linear multiplies with rounded scales.
func TestFP16ScalesOfLinear(t *testing.T) {
	w := tensors.FromFlatDataAndDimensions([]float32{0.3, -0.2, 0.7, 0.11}, 2, 2)
	exec, err := graph.NewExec(backendtest.Open(t), func(w *graph.Node) []*graph.Node {
		_, scale := bitnet.Linear{Out: 2, Weights: bitnet.AbsMean, FP16Scales: true}.Freeze(w)
		return []*graph.Node{scale}
	})
	if err != nil {
		t.Fatal(err)
	}
	outs, err := exec.Call(w)
	if err != nil {
		t.Fatal(err)
	}
	if got := floats(t, outs[0])[0]; got != 0.327392578125 { // struct.pack('e', 0.3275) in Python
		t.Errorf("scale %v", got)
	}
}
