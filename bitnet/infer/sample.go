package infer

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// sampler draws tokens.
type sampler struct {
	o       GenerateOptions
	random  *rand.Rand
	choices []choice // room for the vocabulary
}

type choice struct {
	id          int32
	probability float64
}

func newSampler(o GenerateOptions, vocab int) (*sampler, error) {
	switch {
	case !(o.Temperature >= 0) || math.IsInf(o.Temperature, 1):
		return nil, fmt.Errorf("infer: temperature %g, want 0 or more", o.Temperature)
	case o.TopK < 0:
		return nil, fmt.Errorf("infer: top-k %d, want 0 or more", o.TopK)
	case !(o.TopP >= 0 && o.TopP <= 1):
		return nil, fmt.Errorf("infer: top-p %g, want 0 to 1", o.TopP)
	}
	s := &sampler{o: o, random: rand.New(rand.NewPCG(o.Seed, 0))}
	if o.Temperature > 0 {
		s.choices = make([]choice, 0, vocab)
	}
	return s, nil
}

// next draws a token; ok is false if logits are no numbers.
func (s *sampler) next(logits []float32) (id int32, ok bool) {
	best := largest(logits)
	if v := logits[best]; !(v-v == 0) || math.IsNaN(float64(logits[0])) {
		return 0, false
	}
	if s.o.Temperature == 0 {
		return int32(best), true
	}
	total := s.weigh(logits, float64(logits[best]))
	if !(total > 0) { // one of them is a NaN
		return 0, false
	}
	at := s.random.Float64() * total
	for _, c := range s.choices {
		if at -= c.probability; at < 0 {
			return c.id, true
		}
	}
	return s.choices[len(s.choices)-1].id, true // rounding has left a little
}

// weigh lists what may be drawn, the likeliest first where that matters, and returns the sum of what it may be drawn with.
func (s *sampler) weigh(logits []float32, peak float64) (total float64) {
	s.choices = s.choices[:0]
	for id, v := range logits {
		p := math.Exp((float64(v) - peak) / s.o.Temperature)
		s.choices = append(s.choices, choice{int32(id), p})
		total += p
	}
	nucleus := s.o.TopP > 0 && s.o.TopP < 1
	if !nucleus && (s.o.TopK == 0 || s.o.TopK >= len(s.choices)) {
		return total
	}
	slices.SortFunc(s.choices, func(a, b choice) int {
		return cmp.Or(cmp.Compare(b.probability, a.probability), cmp.Compare(a.id, b.id))
	})
	if s.o.TopK > 0 && s.o.TopK < len(s.choices) {
		s.choices, total = s.choices[:s.o.TopK], 0
		for _, c := range s.choices {
			total += c.probability
		}
	}
	if nucleus {
		sum := 0.0
		for i, c := range s.choices {
			if sum += c.probability; sum >= s.o.TopP*total {
				s.choices, total = s.choices[:i+1], sum
				break
			}
		}
	}
	return total
}

// largest is the index of the largest value, the first of equal ones.
func largest(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}
