package infer_test

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/internal/archtest"
	"github.com/bitdistill/bitdistill/internal/system"
)

// TestPieces: a text gives the same bits read at once, in pieces, token by token, beside others, and by any number of threads; and so it does
// over the border of what is computed at once.
func TestPieces(t *testing.T) {
	for name, c := range archtest.Variants() {
		c.MaxPositions = 200
		folder, ids := randomFolder(t, c, 7), randomIDs(c, 150, 7)
		m, single := opened(t, folder, infer.Options{Threads: 3}), opened(t, folder, infer.Options{Threads: 1})
		want := rows(flatLogits(t, single, ids), c.VocabSize)
		check := func(how string, position int, got []float32) {
			if !slices.Equal(got, want[position]) {
				t.Fatalf("%s: %s: other logits at position %d", name, how, position)
			}
		}
		for i, logits := range rows(flatLogits(t, m, ids), c.VocabSize) {
			check("three threads", i, logits)
		}
		pieces, beside := sequence(t, m, 200), []*infer.Sequence{sequence(t, m, 200), sequence(t, m, 150), sequence(t, m, 180)}
		at, logits := 0, make([]float32, 2*c.VocabSize)
		for _, n := range []int{7, 1, 2, 80, 50, 3} {
			if err := pieces.Append(t.Context(), ids[at:at+n], logits[:min(n, 2)*c.VocabSize]); err != nil {
				t.Fatal(err)
			}
			at += n
			for i := range min(n, 2) {
				check("in pieces", at-min(n, 2)+i, logits[i*c.VocabSize:][:c.VocabSize])
			}
		}
		if err := beside[1].Append(t.Context(), ids[:5], nil); err != nil {
			t.Fatal(err)
		}
		all := make([]float32, 3*c.VocabSize)
		for i := range 20 {
			if err := m.Step(t.Context(), beside, []int32{ids[i], ids[5+i], ids[i+100]}, all); err != nil {
				t.Fatal(err)
			}
			check("beside others", i, all[:c.VocabSize])
			check("beside others, behind a prompt", 5+i, all[c.VocabSize:][:c.VocabSize])
		}
	}
}

func sequence(t testing.TB, m *infer.Model, capacity int) *infer.Sequence {
	t.Helper()
	s, err := m.NewSequence(capacity)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRead: what a sequence begins with is kept, and what differs is not.
func TestRead(t *testing.T) {
	c := archtest.Tiny(arch.Gemma3, arch.Ternary(arch.SubLNOutput))
	m := opened(t, randomFolder(t, c, 8), infer.Options{})
	s := sequence(t, m, 20)
	for _, prompt := range [][]int32{{1, 2, 3, 4, 5}, {1, 2, 3, 4, 5}, {1, 2, 6, 4, 5, 7}, {1, 2}, {9}} {
		got, err := s.Read(t.Context(), prompt)
		if err != nil {
			t.Fatal(err)
		}
		want, err := m.Logits(t.Context(), prompt)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want[len(prompt)-1]) || s.Len() != len(prompt) {
			t.Errorf("%v: other logits behind %d tokens", prompt, s.Len())
		}
	}
}

// TestNoAllocation: a token costs no memory once a sequence is there.
func TestNoAllocation(t *testing.T) {
	for _, c := range []arch.Config{archtest.Tiny(arch.Gemma3, arch.Ternary(arch.SubLNAll)), archtest.Tiny(arch.Qwen2, arch.Full())} {
		for _, threads := range []int{1, 2} {
			c.MaxPositions = 300
			m := opened(t, randomFolder(t, c, 9), infer.Options{Threads: threads})
			s, logits, ids := sequence(t, m, 300), make([]float32, c.VocabSize), []int32{3}
			if n := testing.AllocsPerRun(200, func() {
				if err := s.Append(context.Background(), ids, logits); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s, %d threads: %v allocations a token", c.Family, threads, n)
			}
		}
	}
}

// TestSideBySide has goroutines share a model whose tasks are big enough for all threads.
func TestSideBySide(t *testing.T) {
	m := opened(t, stories, infer.Options{Threads: 4})
	want := make([][]int32, 4)
	var group sync.WaitGroup
	for round := range 2 {
		for i := range want {
			group.Go(func() {
				prompt := randomIDs(m.Config, 60+i, uint64(i))
				got, err := m.Generate(t.Context(), prompt, infer.GenerateOptions{MaxTokens: 12, Temperature: 1, Seed: 1}, nil)
				if err != nil {
					t.Error(err)
				}
				if round == 0 {
					want[i] = got
				} else if !slices.Equal(got, want[i]) {
					t.Errorf("prompt %d: another text", i)
				}
			})
		}
		if group.Wait(); round == 1 {
			m.Close()
		}
	}
}

func TestRefused(t *testing.T) {
	c := archtest.Tiny(arch.Llama, arch.Full())
	folder := randomFolder(t, c, 1)
	m := opened(t, folder, infer.Options{})
	ctx := t.Context()
	s, whole := sequence(t, m, 4), make([]int32, 33)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	other := opened(t, folder, infer.Options{})
	closed := opened(t, folder, infer.Options{})
	closed.Close()
	logits := make([]float32, c.VocabSize)
	generate := func(prompt []int32, o infer.GenerateOptions) error {
		_, err := m.Generate(ctx, prompt, o, nil)
		return err
	}
	for says, err := range map[string]error{
		"33 tokens, want 1 to 32":                second(m.Logits(ctx, whole)),
		"0 tokens, want 1":                       second(m.NewSequence(0)),
		"5 tokens in a sequence with room for 4": s.Append(ctx, whole[:5], nil),
		"token 1 of 2 is 19, the vocabulary has": s.Append(ctx, []int32{0, 19}, nil),
		"token 0 of 1 is -1":                     s.Append(ctx, []int32{-1}, nil),
		"room for 3 logits behind 1 tokens":      s.Append(ctx, whole[:1], make([]float32, 3)),
		"context canceled":                       s.Append(ended, whole[:1], nil),
		"no tokens; there is nothing to read":    generate(nil, infer.GenerateOptions{MaxTokens: 2}),
		"0 tokens to generate":                   generate(whole[:1], infer.GenerateOptions{}),
		"34 tokens, want 1 to 32":                generate(whole[:30], infer.GenerateOptions{MaxTokens: 5}),
		"the model has no tokenizer":             generate(whole[:3], infer.GenerateOptions{MaxTokens: 2, Stop: []string{"."}}),
		"temperature -1":                         generate(whole[:3], infer.GenerateOptions{MaxTokens: 2, Temperature: -1}),
		"top-k -1":                               generate(whole[:3], infer.GenerateOptions{MaxTokens: 2, TopK: -1}),
		"top-p 2":                                generate(whole[:3], infer.GenerateOptions{MaxTokens: 2, TopP: 2}),
		"candidate 1 is empty":                   second(m.Classify(ctx, whole[:3], [][]int32{{1}, {}})),
		"the model is closed":                    second(closed.Logits(ctx, whole[:3])),
		"-1 threads":                             second(infer.Open(ctx, folder, infer.Options{Threads: -1})),
		"config.json":                            second(infer.Open(ctx, t.TempDir(), infer.Options{})),
		"no such file":                           second(infer.Open(ctx, filepath.Join(folder, "none"), infer.Options{})),
		"sequence 1 is another model's":          m.Step(ctx, []*infer.Sequence{s, sequence(t, other, 3)}, whole[:2], make([]float32, 2*c.VocabSize)),
		"sequence 1 is there twice":              m.Step(ctx, []*infer.Sequence{s, s}, whole[:2], make([]float32, 2*c.VocabSize)),
		"2 tokens and room for 19 logits, 1":     m.Step(ctx, []*infer.Sequence{s}, whole[:2], logits),
		"infer: candidate 0: token 1 of 2 is 77": second(m.Classify(ctx, whole[:3], [][]int32{{1, 77}})),
	} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %s", err, says)
		}
	}
	if _, err := infer.Open(ended, folder, infer.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if s.Len() != 0 {
		t.Errorf("%d tokens were read", s.Len())
	}
}

func second[T any](_ T, err error) error { return err }

// TestHugeContext: a model that claims to be made for more tokens than memory holds is no reason to ask for them.
func TestHugeContext(t *testing.T) {
	c := archtest.Tiny(arch.Families()[0], arch.Full())
	c.MaxPositions = math.MaxInt32
	if limit, known := system.MemoryLimit(); !known || limit > math.MaxInt32*16 {
		t.Skip("THE LIMIT OF A CONTEXT IS NOT TESTED: this machine does not say how much memory it has, or has very much")
	}
	m := opened(t, randomFolder(t, c, 1), infer.Options{})
	if _, err := m.NewSequence(math.MaxInt32); err == nil || !strings.Contains(err.Error(), "memory") {
		t.Errorf("%v, want what it would take", err)
	}
}
