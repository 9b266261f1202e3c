package report

import (
	"math"

	"github.com/bitdistill/bitdistill/distill/loss"
)

// relation is the matrix that attention-relation distillation compares: from each token to every other, as [loss.Relations] has
// it, averaged over the relation heads. state is [n, width], row after row, n tokens.
func relation(state []float32, n int, r loss.Relations) [][]float32 {
	width := len(state) / n
	d := width / r.SplitHeads
	mean := make([][]float32, n)
	for i := range mean {
		mean[i] = make([]float32, n)
	}
	vectors := make([][]float64, n)
	for head := range r.SplitHeads {
		for i := range vectors {
			vectors[i] = vector(state[i*width+head*d:][:d], r.Variant)
		}
		for i, row := range mean {
			for j, p := range softmax(products(vectors, i, r.Temperature)) {
				row[j] += float32(p / float64(r.SplitHeads))
			}
		}
	}
	return mean
}

// vector is a token's part of a relation head, scaled so that products of two are the relation's logits at temperature 1.
func vector(x []float32, variant loss.Variant) []float64 {
	squares := 0.0
	for _, v := range x {
		squares += float64(v) * float64(v)
	}
	scale := 1.0
	switch variant {
	case loss.L2:
		if scale = 0; squares > 0 {
			scale = 1 / math.Sqrt(squares)
		}
	case loss.Sqrt:
		scale = math.Pow(float64(len(x)), -0.25)
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = scale * float64(v)
	}
	return out
}

func products(vectors [][]float64, i int, temperature float64) []float64 {
	out := make([]float64, len(vectors))
	for j, v := range vectors {
		for k, x := range vectors[i] {
			out[j] += x * v[k] / temperature
		}
	}
	return out
}

// softmax replaces logits by their probabilities.
func softmax(logits []float64) []float64 {
	most := math.Inf(-1)
	for _, x := range logits {
		most = max(most, x)
	}
	sum := 0.0
	for i, x := range logits {
		logits[i] = math.Exp(x - most)
		sum += logits[i]
	}
	for i := range logits {
		logits[i] /= sum
	}
	return logits
}
