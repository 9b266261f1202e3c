package infer

import (
	"context"
	"fmt"
	"math"
)

// Classify scores candidates by the log-probability of their whole token sequences behind a prompt. The prompt is read once.
func (m *Model) Classify(ctx context.Context, prompt []int32, candidates [][]int32) ([]float64, error) {
	longest := 1
	for _, c := range candidates {
		longest = max(longest, len(c))
	}
	s, err := m.NewSequence(len(prompt) + longest - 1)
	if err != nil {
		return nil, err
	}
	return s.Classify(ctx, prompt, candidates)
}

// Classify is [Model.Classify] in a sequence that is there already: of a prompt it computes what differs from the prompt before.
func (s *Sequence) Classify(ctx context.Context, prompt []int32, candidates [][]int32) ([]float64, error) {
	for i, c := range candidates {
		if len(c) == 0 {
			return nil, fmt.Errorf("infer: candidate %d is empty", i)
		}
		if err := s.fits(len(prompt) + len(c) - 1); err != nil {
			return nil, err
		}
		if err := s.model.known(c); err != nil {
			return nil, fmt.Errorf("infer: candidate %d: %w", i, err)
		}
	}
	logits, err := s.Read(ctx, prompt)
	if err != nil {
		return nil, err
	}
	scores := make([]float64, len(candidates))
	total := logSum(logits)
	for i, c := range candidates { // the first tokens all at once: longer candidates overwrite the logits
		scores[i] = float64(logits[c[0]]) - total
	}
	for i, c := range candidates {
		for j, next := range c[1:] {
			if err := s.Append(ctx, c[j:j+1], s.logits); err != nil {
				return nil, err
			}
			scores[i] += float64(s.logits[next]) - logSum(s.logits)
		}
		s.Truncate(len(prompt))
	}
	return scores, nil
}

// logSum is the logarithm of the sum of exp(logits), in float64.
func logSum(logits []float32) float64 {
	peak := float64(logits[0])
	for _, v := range logits {
		peak = max(peak, float64(v))
	}
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - peak)
	}
	return peak + math.Log(sum)
}
