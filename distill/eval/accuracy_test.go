package eval

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
)

// Scores are the summed log-probabilities of each label's answer behind the prompt, whether that is one token or more,
// and whatever else is in the batch.
func TestAccuracy(t *testing.T) {
	cfg := tinyConfig()
	store := randomStore(t, cfg)
	plain := newReader(t, cfg, store)
	for name, answers := range map[string][]string{
		"single tokens":             {"x", "y", "z"},
		"several tokens":            {" bad", " good", " so so"},
		"one and several, prefixes": {"a", "ab", "abc"},
	} {
		t.Run(name, func(t *testing.T) {
			e := moods(t, answers...)
			want, right := make([][]float64, e.Len()), 0
			for i := range want {
				best := 0
				for label, answer := range e.Answers {
					logProbs := plain.next(t, append(slices.Clone(e.Prompt(i)), answer...))
					sum := 0.0
					for _, p := range logProbs[len(e.Prompt(i))-1:] {
						sum += p
					}
					want[i] = append(want[i], sum)
					if sum > want[i][best] {
						best = label
					}
				}
				if best == e.Label(i) {
					right++
				}
			}
			for _, rows := range []int{1, 4, 50} {
				c, err := NewClassifier(backendtest.Open(t), cfg, store, rows)
				if err != nil {
					t.Fatal(err)
				}
				got, err := c.Accuracy(context.Background(), e)
				if err != nil {
					t.Fatal(err)
				}
				checkAccuracy(t, got, want, float64(right)/float64(e.Len()))
			}
		})
	}
}

func checkAccuracy(t *testing.T, got Accuracy, want [][]float64, share float64) {
	t.Helper()
	n := float64(len(want))
	if got.N != len(want) || got.Accuracy != share || math.Abs(got.Stderr-math.Sqrt(share*(1-share)/n)) > 1e-12 || got.Seconds <= 0 {
		t.Errorf("got %+v, want a share of %g", got, share)
	}
	for i, scores := range want {
		for label, s := range scores {
			if d := math.Abs(got.Scores[i][label] - s); !(d < 1e-4) {
				t.Errorf("example %d, label %d: score %g, want %g", i, label, got.Scores[i][label], s)
			}
		}
		if got.Scores[i][got.Predictions[i]] != slices.Max(got.Scores[i]) {
			t.Errorf("example %d: predicted %d of scores %g", i, got.Predictions[i], got.Scores[i])
		}
	}
}

// An evaluation says how far it is and ends with its context.
func TestProgressAndCancel(t *testing.T) {
	cfg := tinyConfig()
	c, err := NewClassifier(backendtest.Open(t), cfg, randomStore(t, cfg), 2)
	if err != nil {
		t.Fatal(err)
	}
	e := moods(t, "x", "y")
	var seen []int
	c.Progress = func(done, total int) {
		if total != 7 {
			t.Errorf("total %d, want 7 batches of 13 rows", total)
		}
		seen = append(seen, done)
	}
	if _, err := c.Accuracy(context.Background(), e); err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(seen) || len(seen) == 0 || seen[len(seen)-1] != 7 {
		t.Errorf("progress %v", seen)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	reason := errors.New("enough")
	c.Progress = func(int, int) { cancel(reason) }
	if _, err := c.Accuracy(ctx, e); !errors.Is(err, reason) {
		t.Errorf("got %v", err)
	}
}

// Sequences longer than the model was made for are refused.
func TestTooLong(t *testing.T) {
	cfg := tinyConfig()
	cfg.MaxPositions = 30
	c, err := NewClassifier(backendtest.Open(t), cfg, randomStore(t, cfg), 2)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Accuracy(context.Background(), moods(t, "x", "y"))
	if err == nil || !strings.Contains(err.Error(), "moods.tsv") || !strings.Contains(err.Error(), "made for 30") {
		t.Errorf("got %v", err)
	}
	l, err := NewLanguageModel(backendtest.Open(t), cfg, randomStore(t, cfg), 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = l.Perplexity(context.Background(), &data.Corpus{Length: 31}); err == nil || !strings.Contains(err.Error(), "made for 30") {
		t.Errorf("got %v", err)
	}
}
