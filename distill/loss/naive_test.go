package loss_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/bitdistill/bitdistill/distill/loss"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// naiveState is [batch][length][width] of one state of one layer.
type naiveState [][][]float64

// naiveRelations is the relation loss as its definition reads, in float64. student and teacher hold Q, K and V of
// layer after layer.
func naiveRelations(r loss.Relations, student, teacher []naiveState, mask [][]bool) float64 {
	tokens, sum := 0, 0.0
	for _, row := range mask {
		tokens += len(kept(row))
	}
	for i := range student {
		for b, row := range mask {
			positions := kept(row)
			for head := range r.SplitHeads {
				s, t := naiveHead(r, student[i][b], positions, head), naiveHead(r, teacher[i][b], positions, head)
				for row := range s {
					p, q := naiveRelation(r, s, row), naiveRelation(r, t, row)
					for j := range p {
						sum += r.Alpha[i%3] * q[j] * math.Log(q[j]/p[j])
					}
				}
			}
		}
	}
	sum /= float64(r.SplitHeads * tokens)
	if r.Normalisation == loss.Reference {
		sum /= float64(len(student) / 3 * r.SplitHeads)
	}
	return sum
}

func kept(mask []bool) (positions []int) {
	for i, keep := range mask {
		if keep {
			positions = append(positions, i)
		}
	}
	return positions
}

// naiveHead cuts one relation head out of the kept positions.
func naiveHead(r loss.Relations, x [][]float64, positions []int, head int) [][]float64 {
	d := len(x[0]) / r.SplitHeads
	var out [][]float64
	for _, p := range positions {
		v, norm := x[p][head*d:(head+1)*d], 0.0
		for _, e := range v {
			norm += e * e
		}
		scale := 1 / math.Sqrt(norm)
		if r.Variant == loss.Sqrt {
			scale = math.Pow(float64(d), -0.25)
		}
		scaled := make([]float64, d)
		for i, e := range v {
			scaled[i] = e * scale
		}
		out = append(out, scaled)
	}
	return out
}

// naiveRelation is one row of a relation.
func naiveRelation(r loss.Relations, vectors [][]float64, row int) []float64 {
	p, sum := make([]float64, len(vectors)), 0.0
	for j := range vectors {
		for i := range vectors[j] {
			p[j] += vectors[row][i] * vectors[j][i]
		}
		p[j] = math.Exp(p[j] / r.Temperature)
		sum += p[j]
	}
	for j := range p {
		p[j] = max(p[j]/sum, 1e-8)
	}
	return p
}

// TestRelationsNaive compares values with the definition and gradients with its finite differences: both ways of
// computing, temperatures at which probabilities reach the floor, weights, two layers, padding on both sides and a
// teacher of another width.
func TestRelationsNaive(t *testing.T) {
	mask := [][]bool{{true, true, true, true, true}, {true, true, true, false, false}, {false, true, true, true, true}}
	for _, r := range []loss.Relations{
		{SplitHeads: 3, Variant: loss.L2, Temperature: 1, Normalisation: loss.Reference},
		{SplitHeads: 2, Variant: loss.L2, Temperature: 5, Normalisation: loss.Algorithm1},
		{SplitHeads: 1, Variant: loss.L2, Temperature: 0.07, Normalisation: loss.Reference},
		{SplitHeads: 3, Variant: loss.Sqrt, Temperature: 1, Normalisation: loss.Algorithm1},
		{SplitHeads: 3, Variant: loss.Sqrt, Temperature: 5, Normalisation: loss.Reference},
		{SplitHeads: 2, Variant: loss.Sqrt, Temperature: 0.1, Normalisation: loss.Algorithm1},
	} {
		r.Alpha = [3]float64{1, 0.5, 2}
		t.Run(fmt.Sprintf("%s/split%d/temperature%g", r.Variant, r.SplitHeads, r.Temperature), func(t *testing.T) {
			compareWithNaive(t, r, mask)
		})
	}
}

func compareWithNaive(t *testing.T, r loss.Relations, mask [][]bool) {
	rng := rand.New(rand.NewPCG(3, 4))
	batch, length, tokens := len(mask), len(mask[0]), 0
	var inputs []*tensors.Tensor
	var naive []naiveState
	for _, width := range []int{12, 6, 6, 12, 6, 6 /* teacher: */, 24, 18, 18, 24, 18, 18} {
		x := random(rng, batch, length, width)
		inputs, naive = append(inputs, x), append(naive, nested(x))
	}
	for _, row := range mask {
		tokens += len(kept(row))
	}
	flags := filled(func(i int) int32 {
		if mask[i/length][i%length] {
			return 1
		}
		return 0
	}, batch, length)
	value, gradients := evaluate(t, func(x []*graph.Node) *graph.Node {
		return r.Loss(states(x[:6]), states(x[6:12]), x[12], x[13])
	}, 6, append(inputs, flags, scalar(float64(tokens)))...)

	near(t, "value", value, naiveRelations(r, naive[:6], naive[6:], mask), 1e-5)
	for i, state := range naive[:6] {
		var want []float64
		for _, sequence := range state {
			for _, vector := range sequence {
				for d := range vector {
					const h = 1e-6
					middle := vector[d]
					vector[d] = middle + h
					up := naiveRelations(r, naive[:6], naive[6:], mask)
					vector[d] = middle - h
					want = append(want, (up-naiveRelations(r, naive[:6], naive[6:], mask))/(2*h))
					vector[d] = middle
				}
			}
		}
		nearAll(t, fmt.Sprintf("gradient of input %d", i), gradients[i], want, 5e-6)
	}
}

func nested(x *tensors.Tensor) naiveState {
	values, dims := floats(x), x.Shape().Dimensions
	out := make(naiveState, dims[0])
	for b := range out {
		out[b] = make([][]float64, dims[1])
		for l := range out[b] {
			out[b][l] = make([]float64, dims[2])
			for d := range out[b][l] {
				out[b][l][d] = float64(values[(b*dims[1]+l)*dims[2]+d])
			}
		}
	}
	return out
}

// TestVocabularyNaive compares cross entropy and logits distillation with their definitions in float64 and their
// gradients with finite differences, with logits far apart in one row.
func TestVocabularyNaive(t *testing.T) {
	const positions, vocabulary = 4, 7
	rng := rand.New(rand.NewPCG(5, 6))
	student, teacher := random(rng, 1, positions, vocabulary), random(rng, 1, positions, vocabulary)
	student = filled(func(i int) float32 {
		if i/vocabulary == 1 {
			return 60 * floats(student)[i]
		}
		return floats(student)[i]
	}, 1, positions, vocabulary)
	targets := []int32{3, 6, loss.Ignored, 0}
	keep := []int32{1, 1, 1, 0}
	l := loss.Logits{Tau: 2, TauSquared: true}
	for name, c := range map[string]struct {
		graph lossFn
		row   func(p, q []float64, row int) float64 // p, q: logarithms of the probabilities
		tau   float64
	}{
		"cross entropy": {
			func(x []*graph.Node) *graph.Node {
				return loss.CrossEntropy(x[0], graph.Const(x[0].Graph(), [][]int32{targets}), x[2])
			},
			func(p, _ []float64, row int) float64 {
				if targets[row] < 0 {
					return 0
				}
				return -p[targets[row]]
			}, 1},
		"logits": {
			func(x []*graph.Node) *graph.Node {
				return l.Loss(x[0], x[1], graph.Const(x[0].Graph(), [][]int32{keep}), x[2])
			},
			func(p, q []float64, row int) (kl float64) {
				for i := range p {
					kl += float64(keep[row]) * 4 * math.Exp(q[i]) * (q[i] - p[i])
				}
				return kl
			}, 2},
	} {
		s, q := nested(student)[0], nested(teacher)[0]
		naive := func() (sum float64) {
			for row := range s {
				sum += c.row(logSoftmax(s[row], c.tau), logSoftmax(q[row], c.tau), row) / 3
			}
			return sum
		}
		value, gradients := evaluate(t, c.graph, 1, student, teacher, scalar(3))
		near(t, name, value, naive(), 1e-5)
		var want []float64
		for _, row := range s {
			for i := range row {
				const h = 1e-6
				middle := row[i]
				row[i] = middle + h
				up := naive()
				row[i] = middle - h
				want = append(want, (up-naive())/(2*h))
				row[i] = middle
			}
		}
		nearAll(t, "gradient of "+name, gradients[0], want, 5e-6)
	}
}

func logSoftmax(x []float64, tau float64) []float64 {
	largest, sum := math.Inf(-1), 0.0
	for _, v := range x {
		largest = max(largest, v/tau)
	}
	for _, v := range x {
		sum += math.Exp(v/tau - largest)
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = v/tau - largest - math.Log(sum)
	}
	return out
}
