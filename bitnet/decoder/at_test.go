package decoder_test

import (
	"math"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/decoder"
	"github.com/bitdistill/bitdistill/internal/archtest"
	"github.com/bitdistill/bitdistill/internal/golden"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// chosen picks the logits at positions [batch, n] out of all [batch, length, vocab], by another way than Options.At takes.
func chosen(logits, at *graph.Node) *graph.Node {
	length := logits.Shape().Dimensions[1]
	oneHot := graph.OneHot(at, length, logits.DType()) // [batch, n, length]
	return graph.Einsum("bnl,blv->bnv", oneHot, logits)
}

// TestAt holds that Options.At gives the same logits and the same gradients of all weights as choosing from all logits,
// whatever else is asked for at the same time. Positions are unsorted and repeat; one sequence is padded.
func TestAt(t *testing.T) {
	ids := [][]int32{pad([]int32{3, 1, 4, 1, 5, 9}, 0, 0, 0).ids, pad([]int32{2, 7, 1, 8}, 2, 0, 0).ids}
	mask := [][]int32{{1, 1, 1, 1, 1, 1}, {0, 0, 1, 1, 1, 1}}
	at := [][]int32{{5, 0, 3, 3}, {3, 5, 2, 4}}
	name := "model.layers.1.mlp.down_proj"
	options := map[string]decoder.Options{
		"at":               {},
		"at and states":    {States: []int{0, 1}},
		"at and hidden":    {Hidden: true},
		"at and an input":  {LinearInputs: []string{name}},
		"at and all three": {States: []int{1}, LinearInputs: []string{name}, Hidden: true},
	}
	worstLogits, worstGradient := 0.0, 0.0
	for variant, cfg := range archtest.Variants() {
		store := randomWeights(cfg, 6).store(t, cfg)
		tensors := cfg.Tensors()
		// pass returns logits [2, 4, vocab], the gradients of a loss made of them and of taps, and the taps.
		pass := func(opts decoder.Options, early bool) [][]float32 {
			return run(t, store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
				if early {
					opts.At = in[2]
				}
				out := decoder.Forward(scope, cfg, decoder.Inputs{IDs: in[0], Mask: in[1]}, opts)
				if !early {
					out.Logits = chosen(out.Logits, in[2])
				}
				wave := graph.Sin(graph.IotaFull(out.Logits.Graph(), out.Logits.Shape()))
				loss := graph.ReduceAllSum(graph.Mul(out.Logits, wave))
				taps := append([]*graph.Node{}, out.Hidden...)
				for _, layer := range opts.States {
					s := out.States[layer]
					taps = append(taps, s.Q, s.K, s.V)
				}
				if h, ok := out.LinearInputs[name]; ok {
					taps = append(taps, h)
				}
				for _, tap := range taps { // as a loss on states does
					loss = graph.Add(loss, graph.ReduceAllSum(graph.Mul(tap, graph.Sin(graph.IotaFull(tap.Graph(), tap.Shape())))))
				}
				nodes := append([]*graph.Node{out.Logits}, graph.Gradient(loss, variables(scope, loss.Graph(), tensors)...)...)
				return append(nodes, taps...)
			}, ids, mask, at)
		}
		for what, opts := range options {
			t.Run(variant+"/"+what, func(t *testing.T) {
				want, got := pass(opts, false), pass(opts, true)
				if len(got) != len(want) || len(got[0]) != 2*4*cfg.VocabSize {
					t.Fatalf("%d outputs with %d logits, want %d with %d", len(got), len(got[0]), len(want), 2*4*cfg.VocabSize)
				}
				d, _ := golden.MaxDiff(got[0], want[0])
				worstLogits = math.Max(worstLogits, d/largest(want[0]))
				golden.Close(t, "logits", got[0], want[0], 2.5e-7) // of the largest: two roundings of it
				for i, tensor := range tensors {
					d, _ := golden.MaxDiff(got[1+i], want[1+i])
					worstGradient = math.Max(worstGradient, d/largest(want[1+i]))
					golden.Close(t, "gradient of "+tensor.Name, got[1+i], want[1+i], 1e-5)
				}
				for i := 1 + len(tensors); i < len(want); i++ {
					golden.Close(t, "tap", got[i], want[i], 1e-6)
				}
			})
		}
	}
	t.Logf("largest deviation of logits %.2g, of gradients %.2g, of the largest", worstLogits, worstGradient)
}

func largest(values []float32) float64 {
	most := 0.0
	for _, v := range values {
		most = math.Max(most, math.Abs(float64(v)))
	}
	return most
}
