package eval

import (
	"context"
	"errors"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/embedded"
)

func openStories(t *testing.T, threads int) *infer.Model {
	t.Helper()
	m, err := infer.Open(t.Context(), "../embedded/model", infer.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// TestPackedBeside: every measure is the same, bit for bit, whatever number of texts is computed side by side, and progress counts all of them.
func TestPackedBeside(t *testing.T) {
	m := openStories(t, 1)
	task := embedded.Task()
	table, err := task.Read(embedded.Dev())
	if err != nil {
		t.Fatal(err)
	}
	table.Rows = table.Rows[:30]
	examples, err := task.Tokenize(t.Context(), table, m.Tokenizer, data.TokenizeOptions{MaxLength: 64})
	if err != nil {
		t.Fatal(err)
	}
	corpus, err := data.ReadCorpus(t.Context(), []data.File{embedded.Corpus()}, m.Tokenizer, data.CorpusOptions{Length: 50, MaxTokens: 550})
	if err != nil {
		t.Fatal(err)
	}
	measure := func(threads int) (all []any) {
		var counts []int
		p := Packed{openStories(t, threads), func(done, total int) { counts = append(counts, done, total) }}
		scores, err := p.Scores(t.Context(), examples)
		if err != nil {
			t.Fatal(err)
		}
		text, err := p.Perplexity(t.Context(), corpus)
		if err != nil {
			t.Fatal(err)
		}
		completions, err := p.Completions(t.Context(), examples)
		if err != nil {
			t.Fatal(err)
		}
		text.Seconds, completions.Seconds = 0, 0
		return []any{scores, text, completions, counts}
	}
	want := measure(1)
	if n := want[1].(Perplexity).Tokens; n < 400 {
		t.Fatalf("%d tokens predicted, want a text that needs many windows", n)
	}
	for _, threads := range []int{2, 5} {
		if got := measure(threads); !reflect.DeepEqual(got, want) {
			t.Errorf("%d threads: got %v, want %v", threads, got[1:], want[1:])
		}
	}
}

// TestPackedFirstError: the error is that of the first text at fault, even if a later one fails sooner, and all texts in front of it are computed.
func TestPackedFirstError(t *testing.T) {
	p := Packed{Model: openStories(t, 4)}
	first, later := errors.New("text 5"), errors.New("text 6")
	var computed [20]atomic.Bool
	err := p.rows(t.Context(), len(computed), 8, func(_ *infer.Sequence, i int) error {
		switch i {
		case 5:
			time.Sleep(20 * time.Millisecond)
			return first
		case 6:
			return later
		}
		computed[i].Store(true)
		return nil
	})
	if err != first {
		t.Errorf("got %v, want %v", err, first)
	}
	for i := range 5 {
		if !computed[i].Load() {
			t.Errorf("text %d was not computed", i)
		}
	}
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(later)
	if err := p.rows(ended, 3, 8, func(*infer.Sequence, int) error { return nil }); err != later {
		t.Errorf("got %v, want the context's error", err)
	}
}
