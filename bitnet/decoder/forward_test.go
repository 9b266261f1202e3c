package decoder_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/decoder"
	"github.com/bitdistill/bitdistill/internal/archtest"
	"github.com/bitdistill/bitdistill/internal/golden"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// TestForwardAgainstNaive compares logits and everything that can be tapped with plain float64 loops, on a sequence with
// holes at both ends and positions of its own.
func TestForwardAgainstNaive(t *testing.T) {
	const length = 7
	mask := []int32{0, 1, 1, 1, 1, 1, 0}
	positions := []int32{0, 0, 1, 2, 3, 5, 5}
	isReal := make([]bool, length)
	for i := range mask {
		isReal[i] = mask[i] == 1
	}
	worst := 0.0
	for name, cfg := range archtest.AllVariants() {
		t.Run(name, func(t *testing.T) {
			n, ids, logits := clearCase(t, cfg, length, isReal, positions)
			var inputs []string
			for _, tensor := range cfg.Tensors() {
				if tensor.Kind == arch.Linear {
					inputs = append(inputs, tensor.Name[:len(tensor.Name)-len(".weight")])
				}
			}
			layers := make([]int, cfg.Layers)
			for i := range layers {
				layers[i] = i
			}
			out := run(t, n.weights.store(t, cfg), func(scope *model.Scope, in []*graph.Node) []*graph.Node {
				out := decoder.Forward(scope, cfg, decoder.Inputs{IDs: in[0], Mask: in[1], Positions: in[2]},
					decoder.Options{States: layers, LinearInputs: inputs, Hidden: true})
				checkShapes(t, cfg, out, inputs, 1, length)
				nodes := append([]*graph.Node{out.Logits}, out.Hidden...)
				for _, i := range layers {
					nodes = append(nodes, out.States[i].Q, out.States[i].K, out.States[i].V)
				}
				for _, name := range inputs {
					nodes = append(nodes, out.LinearInputs[name])
				}
				return nodes
			}, [][]int32{ids}, [][]int32{mask}, [][]int32{positions})

			check := func(what string, want [][]float64) {
				t.Helper()
				width := len(want[0])
				for i, got := range rows(out[0], width) {
					if isReal[i] {
						d, _ := golden.MaxDiff(got, float32s(want[i]))
						worst = math.Max(worst, d)
						if d > 2e-5 {
							t.Errorf("%s: off by %.3g at position %d", what, d, i)
						}
					}
				}
				out = out[1:]
			}
			check("logits", logits)
			for i, want := range n.hidden {
				check(fmt.Sprintf("hidden %d", i), want)
			}
			for _, i := range layers {
				check(fmt.Sprintf("layer %d queries", i), n.q[i])
				check(fmt.Sprintf("layer %d keys", i), n.k[i])
				check(fmt.Sprintf("layer %d values", i), n.v[i])
			}
			for _, name := range inputs {
				check("input of "+name, n.inputs[name])
			}
		})
	}
	t.Logf("largest deviation %.2g", worst)
}

func checkShapes(t *testing.T, cfg arch.Config, out decoder.Outputs, inputs []string, batch, length int) {
	t.Helper()
	check := func(what string, x *graph.Node, width int) {
		t.Helper()
		if err := x.Shape().CheckDims(batch, length, width); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	check("logits", out.Logits, cfg.VocabSize)
	if len(out.Hidden) != cfg.Layers+1 {
		t.Fatalf("%d hidden states of %d layers", len(out.Hidden), cfg.Layers)
	}
	for _, h := range out.Hidden {
		check("hidden", h, cfg.HiddenSize)
	}
	for _, s := range out.States {
		check("queries", s.Q, cfg.Heads*cfg.HeadDim)
		check("keys", s.K, cfg.KVHeads*cfg.HeadDim)
		check("values", s.V, cfg.KVHeads*cfg.HeadDim)
	}
	if len(out.LinearInputs) != len(inputs) {
		t.Errorf("inputs of %d linears, want %d", len(out.LinearInputs), len(inputs))
	}
	for _, tensor := range cfg.Tensors() {
		if tensor.Kind == arch.Linear {
			check(tensor.Name, out.LinearInputs[tensor.Name[:len(tensor.Name)-len(".weight")]], tensor.Dims[1])
		}
	}
}

// TestNothingIsTappedUnasked holds that a plain forward pass returns logits alone.
func TestNothingIsTappedUnasked(t *testing.T) {
	cfg := archtest.Tiny(arch.Llama, bitnet.Full())
	run(t, randomWeights(cfg, 1).store(t, cfg), func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		out := decoder.Forward(scope, cfg, decoder.Inputs{IDs: in[0]}, decoder.Options{})
		if len(out.States)+len(out.LinearInputs)+len(out.Hidden) != 0 {
			t.Errorf("got %v", out)
		}
		return []*graph.Node{out.Logits}
	}, randomIDs(cfg, 1, 3, 1))
}

// TestGradientAgainstNaive compares the gradient of every tensor, along a random direction, with the difference quotient of
// plain float64 loops. Quantization is frozen in them, so that their derivative is the straight-through one.
func TestGradientAgainstNaive(t *testing.T) {
	const length, step = 6, 1e-5
	isReal := []bool{true, true, true, true, true, false}
	worst := 0.0
	for name, cfg := range archtest.AllVariants() {
		t.Run(name, func(t *testing.T) {
			n, ids, _ := clearCase(t, cfg, length, isReal, nil)
			rng := rand.New(rand.NewPCG(1, 3))
			coefficients := make([]float64, length*cfg.VocabSize) // of the logits in the loss
			for i := range coefficients[:(length-1)*cfg.VocabSize] {
				coefficients[i] = rng.NormFloat64()
			}
			tensors := cfg.Tensors()
			grads := run(t, n.weights.store(t, cfg), func(scope *model.Scope, in []*graph.Node) []*graph.Node {
				out := decoder.Forward(scope, cfg, decoder.Inputs{IDs: in[0], Mask: in[1]}, decoder.Options{})
				loss := graph.ReduceAllSum(graph.Mul(graph.Reshape(out.Logits, -1), in[2]))
				return graph.Gradient(loss, variables(scope, in[0].Graph(), tensors)...)
			}, [][]int32{ids}, [][]int32{{1, 1, 1, 1, 1, 0}}, float32s(coefficients))

			n.frozen = true
			loss := func() float64 { return dot(slices.Concat(n.forward(ids, isReal, nil)...), coefficients) }
			for i, tensor := range tensors {
				values := n.weights[tensor.Name]
				direction := make([]float64, len(values))
				want, got, size := 0.0, 0.0, 0.0
				for j := range values {
					direction[j] = rng.NormFloat64()
					got += float64(grads[i][j]) * direction[j]
					size += math.Abs(float64(grads[i][j]) * direction[j])
				}
				base := slices.Clone(values)
				for _, sign := range []float64{1, -1} {
					for j := range values {
						values[j] = base[j] + sign*step*direction[j]
					}
					want += sign * loss() / (2 * step)
				}
				copy(values, base)
				deviation := math.Abs(got-want) / size
				worst = math.Max(worst, deviation)
				if !(deviation < 1e-5) { // also where the gradient is zero everywhere
					t.Errorf("%s: derivative %g, want %g: off by %.3g", tensor.Name, got, want, deviation)
				}
			}
		})
	}
	t.Logf("largest deviation %.2g", worst)
}

// variables of the tensors as nodes.
func variables(scope *model.Scope, g *graph.Graph, tensors []arch.Tensor) []*graph.Node {
	var nodes []*graph.Node
	for _, tensor := range tensors {
		nodes = append(nodes, scope.Store().GetVariable(tensor.Path()).NodeValue(g))
	}
	return nodes
}
