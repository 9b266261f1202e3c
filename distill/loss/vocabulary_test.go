package loss_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/bitdistill/bitdistill/distill/loss"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// In parts or in one, values and gradients are those of the losses on all logits, whose gradients automatic differentiation carries
// to hidden states and matrix.
func TestVocabularyInParts(t *testing.T) {
	const batch, positions, hidden, wide, vocabulary = 2, 7, 6, 9, 31
	rng := rand.New(rand.NewPCG(3, 4))
	inputs := []*tensors.Tensor{
		random(rng, batch, positions, hidden), random(rng, vocabulary, hidden), // student
		random(rng, batch, positions, wide), random(rng, vocabulary, wide), // teacher
		filled(func(i int) int32 { return []int32{loss.Ignored, 3, 30, 0}[i%4] }, batch, positions),
		filled(func(i int) int32 { return []int32{1, 0, 1}[i%3] }, batch, positions),
		scalar(11), scalar(9),
	}
	distil := loss.Logits{Tau: 2, TauSquared: true}
	logits := func(hidden, weight *graph.Node) *graph.Node {
		flat := graph.Reshape(hidden, batch*positions, -1)
		return graph.Reshape(graph.DotGeneral(flat, []int{1}, nil, weight, []int{1}, nil), batch, positions, vocabulary)
	}
	for _, lambda := range []float64{0, 3} {
		want, wantGradients := evaluate(t, func(x []*graph.Node) *graph.Node {
			student := logits(x[0], x[1])
			total := loss.CrossEntropy(student, x[4], x[6])
			if lambda > 0 {
				total = graph.Add(total, graph.MulScalar(distil.Loss(student, logits(x[2], x[3]), x[5], x[7]), lambda))
			}
			return total
		}, 4, inputs...)
		for _, parts := range []int{1, 2, 5, batch * positions, 3 * batch * positions} {
			got, gradients := evaluate(t, func(x []*graph.Node) *graph.Node {
				v := loss.Vocabulary{Distil: distil, Lambda: lambda, Parts: parts}
				total, ce, ld := v.Loss(loss.Head{Hidden: x[0], Weight: x[1]}, &loss.Head{Hidden: x[2], Weight: x[3]},
					loss.Targets{IDs: x[4], Keep: x[5], Count: x[6], KeptCount: x[7]})
				// ce and ld have no gradient: one that leaked would double it.
				return graph.Add(total, graph.MulScalar(graph.Sub(graph.Add(ce, graph.MulScalar(ld, lambda)), graph.StopGradient(total)), 1000))
			}, 4, inputs...)
			name := fmt.Sprintf("lambda %g, %d parts", lambda, parts)
			near(t, name, got, want, 1e-3) // 1000 times the rounding of the difference
			for i, of := range []string{"hidden", "weight", "teacher's hidden", "teacher's weight"} {
				if i < 2 {
					nearAll(t, name+": gradient of "+of, gradients[i], wantGradients[i], 1e-6)
				} else if sumAbs(gradients[i]) != 0 {
					t.Errorf("%s: the %s have a gradient", name, of)
				}
			}
		}
	}
}
