package bitnet_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
	"github.com/bitdistill/bitdistill/internal/golden"
	"github.com/bitdistill/bitdistill/internal/safetensors"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// load reads a golden tensor.
func load(t testing.TB, f *safetensors.File, name string) *tensors.Tensor {
	t.Helper()
	values, shape := golden.Floats(t, f, name)
	return tensors.FromFlatDataAndDimensions(values, shape...)
}

func floats(t testing.TB, x *tensors.Tensor) []float32 {
	t.Helper()
	values, err := tensors.CopyFlatData[float32](x)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func run(t testing.TB, fn func(x *graph.Node) []*graph.Node, x *tensors.Tensor) [][]float32 {
	t.Helper()
	exec, err := graph.NewExec(backendtest.Open(t), fn)
	if err != nil {
		t.Fatal(err)
	}
	outs, err := exec.Call(x)
	if err != nil {
		t.Fatal(err)
	}
	all := make([][]float32, len(outs))
	for i, o := range outs {
		all[i] = floats(t, o)
	}
	return all
}

func checkCodes(t *testing.T, what string, got []float32, want []int) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d codes, want %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i] != float32(want[i]) {
			t.Fatalf("%s: code %d is %g, want %d", what, i, got[i], want[i])
		}
	}
}

// quantizers maps the names of the golden files to ours.
var quantizers = map[string]bitnet.Weights{"absmean": bitnet.AbsMean, "channel": bitnet.Channel, "block256": bitnet.BlockPadded}

func TestWeightQuantizersGolden(t *testing.T) {
	f := golden.Open(t, "quant.safetensors")
	tested := 0
	for _, name := range f.Names() {
		name, ok := strings.CutPrefix(name, "weight.")
		if !ok {
			continue
		}
		w := load(t, f, "weight."+name)
		for prefix, kind := range quantizers {
			key := prefix + "." + name
			want, _ := golden.Ints(t, f, key+".codes")
			scale, _ := golden.Floats(t, f, key+".scale")
			got := run(t, func(x *graph.Node) []*graph.Node {
				c, s := bitnet.QuantizeWeights(x, kind)
				return []*graph.Node{c, s}
			}, w)
			checkCodes(t, key, got[0], want)
			// Our scale is spread over the values for blocks: take one of each run.
			s := got[1]
			if kind == bitnet.BlockPadded {
				s = nil
				for i := 0; i < len(got[1]); i += bitnet.BlockSize {
					s = append(s, got[1][i])
				}
			}
			golden.Close(t, key+".scale", s, scale, 1e-6)
			tested++
		}
	}
	if tested == 0 {
		t.Fatal("no golden weights found")
	}
}

func TestActivationQuantizerGolden(t *testing.T) {
	f := golden.Open(t, "quant.safetensors")
	tested := 0
	for _, name := range f.Names() {
		if !strings.HasPrefix(name, "act.") || strings.HasSuffix(name, ".codes") || strings.HasSuffix(name, ".scale") {
			continue
		}
		want, _ := golden.Ints(t, f, name+".codes")
		scale, _ := golden.Floats(t, f, name+".scale")
		got := run(t, func(x *graph.Node) []*graph.Node {
			a := bitnet.Quantize(x)
			return []*graph.Node{a.Values, graph.MulScalar(a.Scale, 127)}
		}, load(t, f, name))
		checkCodes(t, name, got[0], want)
		for i := range scale { // scales of one tensor differ by many orders of magnitude: compare each on its own
			golden.Close(t, name+".scale", got[1][i:i+1], scale[i:i+1], 1e-6)
		}
		tested++
	}
	if tested == 0 {
		t.Fatal("no golden activations found")
	}
}

// linearCase is an entry of the golden file's metadata: name, batch shape, in, out, SubLN, bias, quantizer.
type linearCase struct {
	name        string
	subln, bias bool
	quantizer   bitnet.Weights
	out         int
}

func linearCases(t *testing.T, f *safetensors.File) []linearCase {
	var raw [][7]any
	if err := json.Unmarshal([]byte(f.Metadata()["cases"]), &raw); err != nil {
		t.Fatal(err)
	}
	var cases []linearCase
	for _, r := range raw {
		kind, ok := quantizers[r[6].(string)]
		if !ok {
			t.Fatalf("golden case %v: unknown quantizer", r)
		}
		cases = append(cases, linearCase{r[0].(string), r[4].(bool), r[5].(bool), kind, int(r[3].(float64))})
	}
	if len(cases) == 0 {
		t.Fatal("no golden cases")
	}
	return cases
}

func TestBitLinearGolden(t *testing.T) {
	f := golden.Open(t, "bitlinear.safetensors")
	for _, c := range linearCases(t, f) {
		t.Run(c.name, func(t *testing.T) {
			store := model.NewStore()
			create := func(path, name string) {
				if _, err := store.CreateVariable(path, load(t, f, c.name+"."+name)); err != nil {
					t.Fatal(err)
				}
			}
			create("/weight", "w")
			if c.subln {
				create("/norm/weight", "gamma")
			}
			if c.bias {
				create("/bias", "bias")
			}
			exec, err := model.NewExec(backendtest.Open(t), store, func(scope *model.Scope, x, dy *graph.Node) []*graph.Node {
				h := x
				if c.subln {
					h = bitnet.RMSNorm(scope.At("norm"), x, 1e-8)
				}
				a := bitnet.Quantize(h)
				y := bitnet.Linear{Out: c.out, Weights: c.quantizer, Bias: c.bias}.Apply(scope, a)
				wrt := []*graph.Node{x, store.GetVariable("/weight").NodeValue(x.Graph())}
				if c.subln {
					wrt = append(wrt, store.GetVariable("/norm/weight").NodeValue(x.Graph()))
				}
				if c.bias {
					wrt = append(wrt, store.GetVariable("/bias").NodeValue(x.Graph()))
				}
				grads := graph.Gradient(graph.ReduceAllSum(graph.Mul(y, dy)), wrt...)
				return append([]*graph.Node{y, h, a.Values}, grads...)
			})
			if err != nil {
				t.Fatal(err)
			}
			outs, err := exec.Exec(load(t, f, c.name+".x"), load(t, f, c.name+".dy"))
			if err != nil {
				t.Fatal(err)
			}
			check := func(i int, name string, tol float64) {
				want, _ := golden.Floats(t, f, c.name+"."+name)
				golden.Close(t, name, floats(t, outs[i]), want, tol)
			}
			check(0, "y", 1e-6)
			if c.subln {
				check(1, "normed", 1e-6)
			}
			codes, _ := golden.Ints(t, f, c.name+".x_codes")
			checkCodes(t, "x_codes", floats(t, outs[2]), codes)
			check(3, "dx", 1e-6)
			check(4, "dw", 1e-6)
			next := 5
			if c.subln {
				check(next, "dgamma", 1e-6)
				next++
			}
			if c.bias {
				check(next, "dbias", 1e-6)
			}
		})
	}
}

func TestRMSNormGolden(t *testing.T) {
	f := golden.Open(t, "bitlinear.safetensors")
	tested := 0
	for tag, eps := range map[string]float64{"rms_eps1e-8": 1e-8, "rms_eps1e-5": 1e-5} {
		if !slices.Contains(f.Names(), tag+".x") {
			continue
		}
		tested++
		store := model.NewStore()
		if _, err := store.CreateVariable("/weight", load(t, f, tag+".weight")); err != nil {
			t.Fatal(err)
		}
		exec, err := model.NewExec(backendtest.Open(t), store, func(scope *model.Scope, x, dy *graph.Node) []*graph.Node {
			y := bitnet.RMSNorm(scope, x, eps)
			w := store.GetVariable("/weight").NodeValue(x.Graph())
			return append([]*graph.Node{y}, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, dy)), x, w)...)
		})
		if err != nil {
			t.Fatal(err)
		}
		outs, err := exec.Exec(load(t, f, tag+".x"), load(t, f, tag+".dy"))
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range []string{"y", "dx", "dweight"} {
			want, _ := golden.Floats(t, f, tag+"."+name)
			golden.Close(t, tag+"."+name, floats(t, outs[i]), want, 1e-6)
		}
	}
	if tested == 0 {
		t.Fatal("no golden norms found")
	}
}

// TestBlockUsesExactMean checks the default block quantizer, whose last incomplete run has the mean of its own values,
// against a plain loop.
func TestBlockUsesExactMean(t *testing.T) {
	const rows, cols = 7, 53 // 371 values: one whole run and one of 115
	w := make([]float32, rows*cols)
	for i := range w {
		w[i] = float32(math.Sin(float64(3*i))) * float32(1+i/200)
	}
	got := run(t, func(x *graph.Node) []*graph.Node {
		c, s := bitnet.QuantizeWeights(x, bitnet.Block)
		return []*graph.Node{c, s}
	}, tensors.FromFlatDataAndDimensions(slices.Clone(w), rows, cols))
	for start := 0; start < len(w); start += bitnet.BlockSize {
		end := min(start+bitnet.BlockSize, len(w))
		sum := 0.0
		for _, v := range w[start:end] {
			sum += math.Abs(float64(v))
		}
		scale := sum / float64(end-start)
		for i := start; i < end; i++ {
			if math.Abs(float64(got[1][i])/scale-1) > 1e-6 {
				t.Fatalf("value %d: scale %g, want %g", i, got[1][i], scale)
			}
			code := math.Max(-1, math.Min(1, math.RoundToEven(float64(w[i])/scale)))
			if float64(got[0][i]) != code {
				t.Fatalf("value %d: code %g, want %g", i, got[0][i], code)
			}
		}
	}
}

// TestForwardIsExact holds the promise that a BitLinear's output is an exact integer sum times the scales, for the widest
// sums the package comment allows for: every product is +127 or -127.
func TestForwardIsExact(t *testing.T) {
	const in, out = 8192, 3
	w, x := make([]float32, out*in), make([]float32, in)
	for i := range x {
		x[i] = float32(1 - 2*(i%2))
	}
	want := [out]int{}
	for o := range out {
		for i := range in {
			w[o*in+i] = float32(1 - 2*((i+o*i/7)%2))
			want[o] += int(w[o*in+i]) * 127 * int(x[i])
		}
	}
	store := model.NewStore()
	if _, err := store.CreateVariable("/weight", tensors.FromFlatDataAndDimensions(w, out, in)); err != nil {
		t.Fatal(err)
	}
	exec, err := model.NewExec(backendtest.Open(t), store, func(scope *model.Scope, x *graph.Node) *graph.Node {
		a := bitnet.Quantize(x)
		y := bitnet.Linear{Out: out, Weights: bitnet.AbsMean}.Apply(scope, a)
		return graph.Div(y, a.Scale) // all scales of weights are 1 here
	})
	if err != nil {
		t.Fatal(err)
	}
	outs, err := exec.Exec(tensors.FromFlatDataAndDimensions(x, 1, in))
	if err != nil {
		t.Fatal(err)
	}
	for o, v := range floats(t, outs[0]) {
		if math.Abs(float64(v)-float64(want[o])) > 1e-6*math.Abs(float64(want[o])) {
			t.Errorf("row %d: %v, want %d", o, v, want[o])
		}
	}
}

// TestResidualPathGivesNoGradient shows what the package comment says of "quantized product plus a residual path": the
// weights get a gradient of exactly zero, and the input one that does not depend on the weights at all, while the
// straight-through form gives both.
func TestResidualPathGivesNoGradient(t *testing.T) {
	x := []float32{0.3, -1.2, 0.7, 2.0, 0.1, -0.4}
	w := []float32{0.5, -0.2, 0.9, -1.1, 0.4, 0.05, 0.7, 0.3, -0.6}
	grads := func(w []float32, straightThrough bool) (dx, dw []float32) {
		exec, err := graph.NewExec(backendtest.Open(t), func(x, w *graph.Node) []*graph.Node {
			codes, scale := bitnet.QuantizeWeights(w, bitnet.AbsMean)
			a := bitnet.Quantize(x)
			y := graph.Mul(graph.MatMul(a.Values, graph.Transpose(graph.Mul(codes, scale), 0, 1)), a.Scale)
			if !straightThrough {
				y = graph.Add(graph.StopGradient(y), graph.Sub(x, graph.StopGradient(x)))
			}
			return graph.Gradient(graph.ReduceAllSum(graph.Mul(y, y)), x, w)
		})
		if err != nil {
			t.Fatal(err)
		}
		outs, err := exec.Call(tensors.FromFlatDataAndDimensions(x, 2, 3), tensors.FromFlatDataAndDimensions(w, 3, 3))
		if err != nil {
			t.Fatal(err)
		}
		return floats(t, outs[0]), floats(t, outs[1])
	}
	nonzero := func(v []float32) bool { return slices.ContainsFunc(v, func(v float32) bool { return v != 0 }) }

	if _, dw := grads(w, false); nonzero(dw) {
		t.Errorf("residual form: dL/dW = %v, expected the zero gradient this test documents", dw)
	}
	dx, dw := grads(w, true)
	if !nonzero(dw) || !nonzero(dx) {
		t.Errorf("straight-through form: dL/dX = %v, dL/dW = %v, want both nonzero", dx, dw)
	}
	// L = sum(Y²), so G = 2Y. Under the residual form dL/dX is G itself; the straight-through one is G·Q(W).
	residual, _ := grads(w, false)
	if d, _ := golden.MaxDiff(residual, dx); d < 1e-3 {
		t.Errorf("both forms give dL/dX = %v; the example shows nothing", dx)
	}
}
