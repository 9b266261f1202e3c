package infer_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/infer"
)

// A story goes on, with the likeliest token each time.
func ExampleModel_Generate() {
	ctx := context.Background()
	m, err := infer.Open(ctx, "../../distill/embedded/model", infer.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	bos, _ := m.Tokenizer.BOS()
	prompt := append([]int32{bos}, m.Tokenizer.Encode("Once upon a time")...)
	ids, err := m.Generate(ctx, prompt, infer.GenerateOptions{MaxTokens: 30, Stop: []string{"."}}, nil)
	fmt.Println(m.Tokenizer.Decode(append(prompt, ids...)), err)
	// Output: Once upon a time, there was a little girl named Lily. <nil>
}

// TestDraws: tokens come as often as their probabilities say, computed here from the logits, with what top-k and top-p leave out.
func TestDraws(t *testing.T) {
	m := opened(t, stories, infer.Options{})
	prompt := []int32{1, 403, 407, 261, 378}
	logits, err := m.Logits(t.Context(), prompt[:2])
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]infer.GenerateOptions{
		"temperature": {Temperature: 1.5}, "top-k": {Temperature: 2, TopK: 3}, "top-p": {Temperature: 1, TopP: 0.6},
		"both": {Temperature: 2, TopK: 5, TopP: 0.5}, "greedy": {},
	} {
		want, drawn := probabilities(logits[1], o), map[int32]float64{}
		const n = 2000
		s := sequence(t, m, 3)
		o.MaxTokens = 1
		for o.Seed = range uint64(n) {
			ids, err := s.Generate(t.Context(), prompt[:2], o, nil)
			if err != nil {
				t.Fatal(err)
			}
			drawn[ids[0]] += 1.0 / n
		}
		distance := 0.0
		for id, p := range want {
			distance += math.Abs(p-drawn[int32(id)]) / 2
			if p == 0 && drawn[int32(id)] > 0 {
				t.Errorf("%s: token %d was drawn", name, id)
			}
		}
		if !(distance < 0.08) {
			t.Errorf("%s: frequencies are off by %g", name, distance)
		}
	}
}

// probabilities are what a token is drawn with, by the definitions of temperature, top-k and top-p.
func probabilities(logits []float32, o infer.GenerateOptions) []float64 {
	p := make([]float64, len(logits))
	if o.Temperature == 0 {
		p[argmax(logits)] = 1
		return p
	}
	order := make([]int, len(logits))
	for i, v := range logits {
		order[i], p[i] = i, math.Exp(float64(v)/o.Temperature)
	}
	slices.SortFunc(order, func(a, b int) int { return int(math.Copysign(1, p[b]-p[a])) })
	if o.TopK > 0 {
		for _, i := range order[o.TopK:] {
			p[i] = 0
		}
	}
	normalise := func() {
		sum := 0.0
		for _, v := range p {
			sum += v
		}
		for i := range p {
			p[i] /= sum
		}
	}
	normalise()
	if o.TopP > 0 {
		sum := 0.0
		for _, i := range order {
			if sum >= o.TopP {
				p[i] = 0
			} else {
				sum += p[i]
			}
		}
		normalise()
	}
	return p
}

// TestEnds: a text ends at end tokens, which are left out, at strings, which are not, and where the callback says so.
func TestEnds(t *testing.T) {
	m := opened(t, stories, infer.Options{})
	prompt := []int32{1, 403, 407, 261, 378}
	all, err := m.Generate(t.Context(), prompt, infer.GenerateOptions{MaxTokens: 40}, nil)
	if err != nil || len(all) != 40 {
		t.Fatal(all, err)
	}
	first := slices.Index(all, all[9])
	ended, err := m.Generate(t.Context(), prompt, infer.GenerateOptions{MaxTokens: 40, End: []int32{all[9]}}, nil)
	if err != nil || !slices.Equal(ended, all[:first]) {
		t.Errorf("ended as %v, %v, want %v", ended, err, all[:first])
	}
	stopped, err := m.Generate(t.Context(), prompt, infer.GenerateOptions{MaxTokens: 40, Stop: []string{"Lily"}}, nil)
	text := m.Tokenizer.Decode(stopped)
	if err != nil || !strings.HasSuffix(text, "Lily") || !slices.Equal(stopped, all[:len(stopped)]) {
		t.Errorf("stopped behind %q, %v", text, err)
	}
	var seen []int32
	enough := errors.New("enough")
	got, err := m.Generate(t.Context(), prompt, infer.GenerateOptions{MaxTokens: 40}, func(id int32) error {
		if seen = append(seen, id); len(seen) == 4 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || !slices.Equal(seen, all[:4]) || !slices.Equal(got, seen) {
		t.Errorf("%v, %v, seen %v", got, err, seen)
	}
}

// TestClassify scores answers of one and of several tokens, by the logits of whole texts, with prompts that begin alike.
func TestClassify(t *testing.T) {
	m := opened(t, stories, infer.Options{})
	s := sequence(t, m, 40)
	candidates := [][]int32{{261}, {261, 378}, {403, 407, 261}, {378, 378}}
	for _, prompt := range [][]int32{{1, 403, 407}, {1, 403, 407, 261}, {1, 12, 407}} {
		kept, err := s.Classify(t.Context(), prompt, candidates)
		if err != nil {
			t.Fatal(err)
		}
		alone, err := m.Classify(t.Context(), prompt, candidates)
		if err != nil || !slices.Equal(kept, alone) {
			t.Errorf("%v, %v with a sequence, %v without", err, kept, alone)
		}
		for i, c := range candidates {
			text := slices.Concat(prompt, c)
			logits, err := m.Logits(t.Context(), text)
			if err != nil {
				t.Fatal(err)
			}
			want := -surprise(logits[len(prompt)-1:], text[len(prompt)-1:]) * float64(len(c))
			if !(math.Abs(kept[i]-want) < 1e-5) {
				t.Errorf("%v behind %v: %g, want %g", c, prompt, kept[i], want)
			}
		}
	}
}
