package eval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/distill/eval/overlap"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
	"github.com/gomlx/gomlx/ml/model"
)

// greedy continues a prompt from whole forward passes, one sequence at a time: the tokens in front of the end token.
func (r *reader) greedy(t testing.TB, prompt []int32, most int, end int32) []int32 {
	t.Helper()
	var text []int32
	for range most {
		best, logits := int32(0), r.last(t, append(slices.Clone(prompt), text...))
		for id, x := range logits {
			if x > logits[best] {
				best = int32(id)
			}
		}
		if best == end {
			break
		}
		text = append(text, best)
	}
	return text
}

func newGenerator(t testing.TB, cfg arch.Config, store *model.Store, end int32, rows int) *Generator {
	t.Helper()
	g, err := NewGenerator(backendtest.Open(t), cfg, store, end, rows)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// prompts of several lengths, in no order.
var prompts = [][]int32{{0, 5, 6, 7, 8, 9, 10, 11}, {0, 3}, {0, 20, 21, 22, 23}, {0, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4}, {12}}

// What is generated are the tokens of whole forward passes, each prompt on its own, whatever the batch; and it ends where the model
// says so.
func TestGenerate(t *testing.T) {
	cfg := tinyConfig()
	store := randomStore(t, cfg)
	plain := newReader(t, cfg, store)
	const most = 9
	end, ended := int32(-1), 0
	var want [][]int32
	for _, p := range prompts {
		want = append(want, plain.greedy(t, p, most, end))
	}
	end = want[0][4] // so that one text at least ends early
	for i, p := range prompts {
		if want[i] = plain.greedy(t, p, most, end); len(want[i]) < most {
			ended++
		}
	}
	if ended == len(prompts) {
		t.Fatal("no text runs to its limit")
	}
	for _, rows := range []int{1, 2, 3, 50} {
		g := newGenerator(t, cfg, store, end, rows)
		last := [2]int{}
		g.Progress = func(done, total int) {
			if done < last[0] || done > total {
				t.Errorf("progress %d of %d behind %d", done, total, last[0])
			}
			last = [2]int{done, total}
		}
		for range 2 { // also with the graphs that are there
			last = [2]int{}
			got, err := g.Generate(context.Background(), prompts, most)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(got, want, slices.Equal) {
				t.Errorf("%d rows: %v, want %v", rows, got, want)
			}
			if last[0] != last[1] || last[1] < most {
				t.Errorf("progress ends at %v", last)
			}
		}
	}
}

// A ternary model writes what it writes token by token.
func TestGenerateTernary(t *testing.T) {
	cfg := tinyConfig()
	cfg.Quantization = bitnet.Ternary(bitnet.SubLNOutput)
	store := randomStore(t, cfg)
	plain := newReader(t, cfg, store)
	got, err := newGenerator(t, cfg, store, -1, 1).Generate(context.Background(), prompts[:2], 6)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range prompts[:2] {
		if want := plain.greedy(t, p, 6, -1); !slices.Equal(got[i], want) {
			t.Errorf("%v: %v, want %v", p, got[i], want)
		}
	}
}

// Texts end with the end token, are compared with the whole references, and a limit is one of rows.
func TestComplete(t *testing.T) {
	cfg := tinyConfig()
	store := randomStore(t, cfg)
	plain := newReader(t, cfg, store)
	e := tales(t)
	end, _ := letters{}.EOS()
	decode := func(ids []int32) string {
		var b strings.Builder
		for _, id := range ids {
			b.WriteString(map[bool]string{true: " ", false: string('a' + rune(id)%7)}[id%3 == 0])
		}
		return b.String()
	}
	for _, rows := range []int{0, 4, 400} {
		got, err := newGenerator(t, cfg, store, end, 4).Complete(context.Background(), e, rows, decode)
		if err != nil {
			t.Fatal(err)
		}
		n := e.Len()
		if rows == 4 {
			n = 4
		}
		var texts, references []string
		tokens, ended := 0, 0
		for i := range n {
			ids := plain.greedy(t, e.Prompt(i), 20, end)
			texts, references = append(texts, strings.TrimSpace(decode(ids))), append(references, e.Reference(i))
			tokens += len(ids)
			if len(ids) < 20 {
				ended++
			}
		}
		if !slices.Equal(got.Texts, texts) || got.N != n || got.Tokens != tokens || got.Ended != ended || got.Seconds <= 0 {
			t.Errorf("%d rows: got %+v, want %q with %d tokens, %d ended", rows, got, texts, tokens, ended)
		}
		bleu, err := overlap.CorpusBLEU(texts, references)
		if err != nil {
			t.Fatal(err)
		}
		if rouge, err := overlap.MeanROUGE(texts, references); err != nil || got.ROUGE != rouge || got.BLEU != bleu {
			t.Errorf("BLEU %v and ROUGE %v, want %v and %v (%v)", got.BLEU, got.ROUGE, bleu, rouge, err)
		}
	}
	_, err := newGenerator(t, cfg, store, end, 4).Complete(context.Background(), moods(t, " xy", " ab"), 0, decode)
	if err == nil || !strings.Contains(err.Error(), "classification") {
		t.Errorf("got %v", err)
	}
}

// keeper keeps texts in memory, and ends a context once it has some.
type keeper struct {
	texts  map[int][]int32
	new    int
	enough int
	stop   func()
}

func (k *keeper) Text(row int) ([]int32, bool) {
	ids, ok := k.texts[row]
	return ids, ok
}

func (k *keeper) Keep(row int, ids []int32) error {
	k.texts[row] = ids
	if k.new++; k.new == k.enough {
		k.stop()
	}
	return nil
}

// An evaluation that is stopped again and again goes on from the texts that were finished, and ends with those of one that was not:
// also of a ternary model, whose texts depend on what else is in the batch. What is kept is taken, not computed.
func TestCompleteKept(t *testing.T) {
	cfg := tinyConfig()
	cfg.Quantization = bitnet.Ternary(bitnet.SubLNOutput)
	store := randomStore(t, cfg)
	e := tales(t)
	end, _ := letters{}.EOS()
	decode := func(ids []int32) string {
		return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(ids)), " "), "[]")
	}
	want, err := newGenerator(t, cfg, store, end, 2).Complete(t.Context(), e, 0, decode)
	if err != nil {
		t.Fatal(err)
	}
	k := &keeper{texts: map[int][]int32{}, enough: 3}
	calls := 0
	for done := false; !done && calls < 20; calls++ {
		ctx, cancel := context.WithCancel(t.Context())
		k.new, k.stop = 0, cancel
		g := newGenerator(t, cfg, store, end, 2)
		g.Kept = k
		got, err := g.Complete(ctx, e, 0, decode)
		cancel()
		if done = err == nil; !done {
			if !errors.Is(err, context.Canceled) || k.new == 0 {
				t.Fatalf("%v with %d new texts", err, k.new)
			}
			continue
		}
		if !slices.Equal(got.Texts, want.Texts) || got.BLEU != want.BLEU || got.Tokens != want.Tokens || got.Ended != want.Ended {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if calls < 2 || len(k.texts) != e.Len() {
		t.Errorf("%d calls, %d texts kept of %d", calls, len(k.texts), e.Len())
	}
	k.texts[0] = []int32{3, 4, 5}
	g := newGenerator(t, cfg, store, end, 2)
	g.Kept, k.new = k, 0
	if got, err := g.Complete(t.Context(), e, 0, decode); err != nil || got.Texts[0] != "3 4 5" || k.new != 0 {
		t.Errorf("%v: %q, %d new", err, got.Texts, k.new)
	}
	full := errors.New("the disk is full")
	g.Kept = failing{full}
	if _, err := g.Complete(t.Context(), e, 0, decode); !errors.Is(err, full) {
		t.Errorf("texts that cannot be kept: %v", err)
	}
}

type failing struct{ err error }

func (failing) Text(int) ([]int32, bool)  { return nil, false }
func (f failing) Keep(int, []int32) error { return f.err }

// What cannot be generated is refused, and an interruption ends it between two tokens.
func TestGenerateRefused(t *testing.T) {
	cfg := tinyConfig()
	store := randomStore(t, cfg)
	g := newGenerator(t, cfg, store, 1, 2)
	for want, c := range map[string]struct {
		prompts [][]int32
		most    int
	}{
		"prompt 2 is empty": {[][]int32{{1}, {}}, 3},
		"at least 1":        {[][]int32{{1}}, 0},
		"sequences of 49":   {[][]int32{{1}, make([]int32, 9)}, 40},
		"made for 48":       {[][]int32{{1}}, 48},
	} {
		if _, err := g.Generate(context.Background(), c.prompts, c.most); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if texts, err := g.Generate(context.Background(), nil, 3); err != nil || len(texts) != 0 {
		t.Errorf("no prompts: %v, %v", texts, err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	stop, seen := errors.New("enough"), 0
	g = newGenerator(t, cfg, store, -1, 1)
	g.Progress = func(done, total int) {
		if seen++; seen == 3 {
			cancel(stop)
		}
	}
	if _, err := g.Generate(ctx, prompts[:1], 40); !errors.Is(err, stop) || seen > 4 {
		t.Errorf("got %v after %d steps", err, seen)
	}
}

func TestPadded(t *testing.T) {
	for _, longest := range []int{1, 2, 7, 512} {
		for _, n := range []int{1, 2, 16} {
			lengths := map[int]bool{}
			for length := 1; length <= longest; length++ {
				p := padded(length, longest, n)
				if p < length || p > longest {
					t.Errorf("padded(%d, %d, %d) = %d", length, longest, n, p)
				}
				lengths[p] = true
			}
			if len(lengths) > n {
				t.Errorf("%d lengths up to %d, want at most %d", len(lengths), longest, n)
			}
		}
	}
	if p := padded(1, 16, 2); p != 8 {
		t.Errorf("padded(1, 16, 2) = %d", p)
	}
}

// XLA writes the same texts as the pure-Go backend.
func TestGenerateXLA(t *testing.T) {
	xla := backendtest.XLA(t)
	cfg := tinyConfig()
	cfg.Quantization = bitnet.Ternary(bitnet.SubLNAll)
	want, err := newGenerator(t, cfg, randomStore(t, cfg), 1, 2).Generate(context.Background(), prompts[:2], 12)
	if err != nil {
		t.Fatal(err)
	}
	g, err := NewGenerator(xla, cfg, randomStore(t, cfg), 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if got, err := g.Generate(context.Background(), prompts[:2], 12); err != nil || !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%v, want %v (%v)", got, want, err)
	}
}
