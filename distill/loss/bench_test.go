package loss_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/bitdistill/bitdistill/distill/loss"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// BenchmarkRelations is one layer's relation loss with its gradients at the size of a small classifier's training step:
// where probabilities cannot reach their floor, and where they can, which is the loss as it reads with derived gradients.
func BenchmarkRelations(b *testing.B) {
	const batch, length, qWidth, kvWidth = 32, 64, 64, 32
	rng := rand.New(rand.NewPCG(1, 2))
	var inputs []*tensors.Tensor
	for range 2 {
		for _, width := range []int{qWidth, kvWidth, kvWidth} {
			inputs = append(inputs, random(rng, batch, length, width))
		}
	}
	for name, temperature := range map[string]float64{"bounded": 1, "floored": 0.1} {
		r := loss.Relations{SplitHeads: loss.DefaultSplitHeads(kvWidth), Variant: loss.L2, Normalisation: loss.Reference,
			Temperature: temperature, Alpha: [3]float64{1, 1, 1}}
		b.Run(fmt.Sprintf("%s/split%d", name, r.SplitHeads), func(b *testing.B) {
			benchmark(b, inputs, func(x []*graph.Node) []*graph.Node {
				g := x[0].Graph()
				l := r.Loss([]loss.State{{Q: x[0], K: x[1], V: x[2]}}, []loss.State{{Q: x[3], K: x[4], V: x[5]}},
					graph.Const(g, ones(batch, length)), graph.Const(g, float32(batch*length)))
				return append(graph.Gradient(l, x[:3]...), l)
			})
		})
	}
}

// BenchmarkVocabulary is cross entropy and logits distillation, with gradients, on all positions of a small model.
func BenchmarkVocabulary(b *testing.B) {
	const batch, length, vocabulary = 16, 128, 512
	rng := rand.New(rand.NewPCG(1, 2))
	logits := []*tensors.Tensor{random(rng, batch, length, vocabulary), random(rng, batch, length, vocabulary)}
	b.Run("CrossEntropy", func(b *testing.B) {
		benchmark(b, logits[:1], func(x []*graph.Node) []*graph.Node {
			g := x[0].Graph()
			targets := graph.ConvertDType(graph.Const(g, ones(batch, length)), dtypes.Int32)
			return graph.Gradient(loss.CrossEntropy(x[0], targets, graph.Const(g, float32(batch*length))), x[0])
		})
	})
	b.Run("Logits", func(b *testing.B) {
		benchmark(b, logits, func(x []*graph.Node) []*graph.Node {
			g := x[0].Graph()
			l := loss.Logits{Tau: 5, TauSquared: true}
			return graph.Gradient(l.Loss(x[0], x[1], graph.Const(g, ones(batch, length)), graph.Const(g, float32(batch*length))), x[0])
		})
	})
}

func benchmark(b *testing.B, inputs []*tensors.Tensor, f func([]*graph.Node) []*graph.Node) {
	exec := graph.MustNewExec(backendtest.Open(b), f)
	run := func() {
		for _, out := range exec.MustCall(anys(inputs)...) {
			out.MustFinalizeAll()
		}
	}
	run() // compiles
	for b.Loop() {
		run()
	}
}
