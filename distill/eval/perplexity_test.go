package eval

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/embedded"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
	"github.com/bitdistill/bitdistill/internal/golden"
)

// Perplexity is exp of the mean over all tokens of all windows but their first, whatever the batch size.
func TestPerplexity(t *testing.T) {
	cfg := tinyConfig()
	store := randomStore(t, cfg)
	plain := newReader(t, cfg, store)
	text := data.InMemory("text.txt", []byte("once upon a time there was a dog<|endoftext|>"+strings.Repeat("the quick brown fox jumps over it ", 4)))
	corpus, err := data.ReadCorpus(context.Background(), []data.File{text}, letters{}, data.CorpusOptions{Length: 12})
	if err != nil {
		t.Fatal(err)
	}
	nll, tokens := 0.0, 0
	for i := range corpus.Len() {
		window, err := corpus.Window(i)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range plain.next(t, window) {
			nll -= p
			tokens++
		}
	}
	nll /= float64(tokens)
	for _, rows := range []int{1, 3, 64} {
		l, err := NewLanguageModel(backendtest.Open(t), cfg, store, rows)
		if err != nil {
			t.Fatal(err)
		}
		batches := 0
		l.Progress = func(int, int) { batches++ }
		got, err := l.Perplexity(context.Background(), corpus)
		if err != nil {
			t.Fatal(err)
		}
		if got.Tokens != tokens || got.Tokens != corpus.Len()*11 || math.Abs(got.NLL-nll) > 1e-5 || math.Abs(got.Perplexity-math.Exp(nll)) > 1e-4*math.Exp(nll) || batches == 0 {
			t.Errorf("%d rows: %+v, want NLL %g of %d tokens", rows, got, nll, tokens)
		}
	}
}

// With a stride, every token but the text's first is predicted once, from the window that reaches furthest back among those
// that begin a multiple of the stride into the text: the sliding window that the documentation of transformers describes.
func TestStride(t *testing.T) {
	cfg := tinyConfig()
	store := randomStore(t, cfg)
	plain := newReader(t, cfg, store)
	text := data.InMemory("text.txt", []byte(strings.Repeat("the quick brown fox jumps over it ", 2)))
	l, err := NewLanguageModel(backendtest.Open(t), cfg, store, 3)
	if err != nil {
		t.Fatal(err)
	}
	perplexity := func(length, stride int) (Perplexity, error) {
		corpus, err := data.ReadCorpus(context.Background(), []data.File{text}, letters{}, data.CorpusOptions{Length: length, Stride: stride, Whole: true})
		if err != nil {
			return Perplexity{}, err
		}
		return l.Perplexity(context.Background(), corpus)
	}
	whole, err := data.ReadCorpus(context.Background(), []data.File{text}, letters{}, data.CorpusOptions{Length: 69, Whole: true})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := whole.Window(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]int{{12, 5}, {12, 1}, {12, 12}, {40, 7}, {40, 29}, {48, 30}} {
		length, stride := c[0], c[1]
		nll, tokens := 0.0, 0
		for begin, last := 0, 0; last < len(ids); begin += stride {
			end := min(begin+length, len(ids))
			for i, p := range plain.next(t, ids[begin:end]) {
				if begin+i+1 >= last { // predicts token begin+i+1
					nll -= p
					tokens++
				}
			}
			last = end
		}
		got, err := perplexity(length, stride)
		if err != nil {
			t.Fatal(err)
		}
		if got.Tokens != tokens || math.Abs(got.NLL-nll/float64(tokens)) > 1e-5 || stride < length && tokens != len(ids)-1 {
			t.Errorf("length %d, stride %d: %+v, want NLL %g of %d tokens", length, stride, got, nll/float64(tokens), tokens)
		}
	}
	for _, stride := range []int{-1, 13} {
		if _, err := perplexity(12, stride); err == nil || !strings.Contains(err.Error(), "stride") {
			t.Errorf("stride %d: got %v", stride, err)
		}
	}
}

// numbers takes a text of token ids, so that a corpus can be made of given ids.
type numbers struct{ letters }

func (numbers) Encode(text string) []int32 {
	var ids []int32
	for word := range strings.FieldsSeq(text) {
		id, err := strconv.Atoi(word)
		if err != nil {
			panic(err)
		}
		ids = append(ids, int32(id))
	}
	return ids
}
func (numbers) BOS() (int32, bool) { return 0, false }

// The perplexity of the embedded model on golden ids is that of transformers.
func TestPerplexityOfStories(t *testing.T) {
	var want struct {
		IDs        []int `json:"ids_2048"`
		Perplexity struct {
			Chunk       int
			Predictions int
			NLL         float64 `json:"mean_nll_float64"`
			Perplexity  float64 `json:"perplexity_float64"`
		}
	}
	golden.JSON(t, &want, "stories260K.json")
	dir := t.TempDir()
	if err := embedded.Model(dir); err != nil {
		t.Fatal(err)
	}
	m, err := hf.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	text := data.InMemory("ids.txt", []byte(strings.Trim(fmt.Sprint(want.IDs), "[]")))
	corpus, err := data.ReadCorpus(context.Background(), []data.File{text}, numbers{}, data.CorpusOptions{Length: want.Perplexity.Chunk, Whole: true})
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLanguageModel(backendtest.Open(t), m.Config, m.Store, 3)
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.Perplexity(context.Background(), corpus)
	if err != nil {
		t.Fatal(err)
	}
	if got.Tokens != want.Perplexity.Predictions || math.Abs(got.NLL/want.Perplexity.NLL-1) > 1e-5 || math.Abs(got.Perplexity/want.Perplexity.Perplexity-1) > 1e-5 {
		t.Errorf("got %+v, want %+v", got, want.Perplexity)
	}
	t.Logf("relative difference %.1g", got.Perplexity/want.Perplexity.Perplexity-1)
}
