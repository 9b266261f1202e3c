package infer_test

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/internal/golden"
	"github.com/bitdistill/bitdistill/internal/safetensors"
)

const tolerance = 2e-4 // of logits and hidden states, absolute

// TestGoldenDecoders compares every decoder of the golden values with transformers.
func TestGoldenDecoders(t *testing.T) {
	for _, name := range golden.Folders(t, "decoders") {
		t.Run(name, func(t *testing.T) {
			m := opened(t, filepath.Join(golden.Dir(t), "decoders", name), infer.Options{Threads: 2})
			f := golden.Open(t, "decoders", name, "expected.safetensors")
			checkExpected(t, m, f)
			prompt, _ := golden.Ints(t, f, "greedy.prompt")
			want, _ := golden.Ints(t, f, "greedy.output")
			checkGreedy(t, m, prompt, want)
		})
	}
}

// checkExpected compares logits and all hidden states.
func checkExpected(t *testing.T, m *infer.Model, f *safetensors.File) {
	t.Helper()
	ids, shape := golden.Ints(t, f, "input_ids")
	logits, _ := golden.Floats(t, f, "logits")
	length := shape[1]
	for b := range shape[0] {
		text := int32s(ids[b*length : (b+1)*length])
		part := func(x []float32) []float32 { return x[b*len(x)/shape[0]:][:len(x)/shape[0]] }
		checkClose(t, "logits", flatLogits(t, m, text), part(logits))
		hidden, err := m.Hidden(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		for i, h := range hidden {
			want, _ := golden.Floats(t, f, fmt.Sprintf("hidden.%d", i))
			checkClose(t, fmt.Sprintf("hidden %d", i), h, part(want))
		}
		if more := fmt.Sprintf("hidden.%d", len(hidden)); slices.Contains(f.Names(), more) {
			t.Errorf("no hidden state for %s", more)
		}
	}
}

func checkClose(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if d, at := golden.MaxDiff(got, want); !(d <= tolerance) {
		t.Errorf("%s: value %d is off by %.3g", what, at, d)
	}
}

func checkGreedy(t *testing.T, m *infer.Model, prompt, want []int) {
	t.Helper()
	got, err := m.Generate(t.Context(), int32s(prompt), infer.GenerateOptions{MaxTokens: len(want) - len(prompt)}, nil)
	if err != nil || !slices.Equal(got, int32s(want[len(prompt):])) {
		t.Errorf("greedy %v, %v, want %v", got, err, want[len(prompt):])
	}
}

func int32s(x []int) []int32 {
	all := make([]int32, len(x))
	for i, v := range x {
		all[i] = int32(v)
	}
	return all
}

// TestStories compares a real pretrained model with transformers: logits, hidden states, a greedy continuation and perplexity.
func TestStories(t *testing.T) {
	m := opened(t, stories, infer.Options{})
	var want struct {
		IDs        []int32 `json:"ids_2048"`
		Prompt     []int   `json:"prompt_ids"`
		Greedy     []int   `json:"greedy_ids"`
		Perplexity struct {
			Chunk   int     `json:"chunk"`
			MeanNLL float64 `json:"mean_nll_float64"`
		} `json:"perplexity"`
	}
	golden.JSON(t, &want, "stories260K.json")
	checkExpected(t, m, golden.Open(t, "stories260K.safetensors"))
	checkGreedy(t, m, want.Prompt, want.Greedy)
	total, chunks := 0.0, 0
	for window := range slices.Chunk(want.IDs, want.Perplexity.Chunk) {
		logits, err := m.Logits(t.Context(), window)
		if err != nil {
			t.Fatal(err)
		}
		total += surprise(logits, window)
		chunks++
	}
	if mean := total / float64(chunks); !(math.Abs(mean/want.Perplexity.MeanNLL-1) <= 1e-5) {
		t.Errorf("mean negative log-likelihood %g, want %g", mean, want.Perplexity.MeanNLL)
	}
}
