package eval

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
)

// tales is a generation task with prompts and completions of very different lengths.
func tales(t testing.TB) *data.Examples {
	t.Helper()
	task := data.Task{Name: "tales", Kind: data.Generation, Prompt: "{start} and", Completion: " {end}", MaxCompletion: 20}
	set := &data.Dataset{File: "tales.jsonl", Columns: []string{"start"}}
	for i := range 11 {
		set.Rows = append(set.Rows, data.Row{Line: i + 1, Values: []string{strings.Repeat("abcdefg"[i%7:], 1+i%3)}, Completion: " " + strings.Repeat("xyz", 1+(i*5)%6)})
	}
	e, err := task.Tokenize(context.Background(), set, letters{}, data.TokenizeOptions{MaxLength: 48})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The perplexity of completions is that of their tokens one by one behind the prompt, the end token with them, whatever else is in
// the batch.
func TestCompletions(t *testing.T) {
	cfg := tinyConfig()
	store := randomStore(t, cfg)
	plain := newReader(t, cfg, store)
	e := tales(t)
	nll, tokens := 0.0, 0
	for i := range e.Len() {
		end, _ := letters{}.EOS()
		if a := e.Answer(i); a[len(a)-1] != end {
			t.Fatalf("completion %d does not end: %v", i, a)
		}
		for _, p := range plain.next(t, append(slices.Clone(e.Prompt(i)), e.Answer(i)...))[len(e.Prompt(i))-1:] {
			nll -= p
			tokens++
		}
	}
	nll /= float64(tokens)
	for _, rows := range []int{1, 4, 50} {
		c, err := NewCompletions(backendtest.Open(t), cfg, store, rows)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		c.Progress = func(done, total int) { seen = total }
		got, err := c.Perplexity(context.Background(), e)
		if err != nil {
			t.Fatal(err)
		}
		if got.Tokens != tokens || math.Abs(got.NLL-nll) > 1e-5 || math.Abs(got.Perplexity-math.Exp(nll)) > 1e-4*math.Exp(nll) || seen == 0 {
			t.Errorf("%d rows: %+v, want NLL %g of %d tokens", rows, got, nll, tokens)
		}
	}
	cfg.MaxPositions = 20
	c, err := NewCompletions(backendtest.Open(t), cfg, store, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Perplexity(context.Background(), e); err == nil || !strings.Contains(err.Error(), "tales.jsonl") || !strings.Contains(err.Error(), "made for 20") {
		t.Errorf("got %v", err)
	}
}
