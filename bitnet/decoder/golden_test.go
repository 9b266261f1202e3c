package decoder_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/decoder"
	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/internal/golden"
	"github.com/bitdistill/bitdistill/internal/safetensors"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

const (
	tolerance = 2e-4 // of logits and hidden states, absolute
	stories   = "../../distill/embedded/model"
)

// TestGoldenDecoders compares every decoder of the golden values with transformers, read from both forms of its config.
func TestGoldenDecoders(t *testing.T) {
	tested := 0
	for _, name := range golden.Folders(t, "decoders") {
		for _, form := range []string{"config.json", "config.legacy.json"} {
			t.Run(name+"/"+form, func(t *testing.T) {
				dir := filepath.Join(golden.Dir(t), "decoders", name)
				m, err := loadForm(t, dir, form)
				if err != nil {
					t.Fatal(err)
				}
				tested++
				f := golden.Open(t, "decoders", name, "expected.safetensors")
				checkHidden(t, m, f)
				checkPadded(t, m, f)
				prompt, _ := golden.Ints(t, f, "greedy.prompt")
				want, _ := golden.Ints(t, f, "greedy.output")
				checkGreedy(t, m, prompt, want)
			})
		}
	}
	if tested == 0 {
		t.Error("no golden decoder")
	}
}

// loadForm loads a folder with one of its forms of config.json.
func loadForm(t *testing.T, dir, form string) (*hf.Model, error) {
	t.Helper()
	folder := t.TempDir()
	for from, to := range map[string]string{form: "config.json", "model.safetensors": "model.safetensors"} {
		data, err := os.ReadFile(filepath.Join(dir, from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, to), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return hf.Load(folder)
}

// sequences reads token sequences [batch, length].
func sequences(t *testing.T, f *safetensors.File, name string) [][]int32 {
	t.Helper()
	values, shape := golden.Ints(t, f, name)
	out := make([][]int32, shape[0])
	for i, v := range values {
		out[i/shape[1]] = append(out[i/shape[1]], int32(v))
	}
	return out
}

// checkClose wants all values within tolerance, and logs how close they are.
func checkClose(t *testing.T, what string, got, want []float32) {
	t.Helper()
	d, at := golden.MaxDiff(got, want)
	t.Logf("%s: largest deviation %.2g", what, d)
	if !(d <= tolerance) {
		t.Errorf("%s: element %d is off by %.3g", what, at, d)
	}
}

// checkHidden compares logits and all hidden states of unpadded sequences.
func checkHidden(t *testing.T, m *hf.Model, f *safetensors.File) {
	t.Helper()
	got := run(t, m.Store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		out := decoder.Forward(scope, m.Config, decoder.Inputs{IDs: in[0]}, decoder.Options{Hidden: true})
		return append([]*graph.Node{out.Logits}, out.Hidden...)
	}, sequences(t, f, "input_ids"))
	want, _ := golden.Floats(t, f, "logits")
	checkClose(t, "logits", got[0], want)
	for i, got := range got[1:] {
		want, _ := golden.Floats(t, f, fmt.Sprintf("hidden.%d", i))
		checkClose(t, fmt.Sprintf("hidden %d", i), got, want)
	}
	if more := fmt.Sprintf("hidden.%d", len(got)-1); slices.Contains(f.Names(), more) {
		t.Errorf("no hidden state for %s", more)
	}
}

// checkPadded compares logits and the last hidden state at the real tokens of padded sequences, with the positions of the
// file and with the default ones.
func checkPadded(t *testing.T, m *hf.Model, f *safetensors.File) {
	t.Helper()
	mask, _ := golden.Ints(t, f, "padded.attention_mask")
	got := run(t, m.Store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		inputs := decoder.Inputs{IDs: in[0], Mask: in[1], Positions: in[2]}
		given := decoder.Forward(scope, m.Config, inputs, decoder.Options{Hidden: true})
		inputs.Positions = nil
		counted := decoder.Forward(scope, m.Config, inputs, decoder.Options{Hidden: true})
		n := m.Config.Layers
		return []*graph.Node{given.Logits, given.Hidden[n], counted.Logits, counted.Hidden[n]}
	}, sequences(t, f, "padded.input_ids"), sequences(t, f, "padded.attention_mask"), sequences(t, f, "padded.position_ids"))
	for i, name := range []string{"padded.logits", "padded.last_hidden", "padded.logits", "padded.last_hidden"} {
		want, _ := golden.Floats(t, f, name)
		width := len(want) / len(mask)
		for token, bit := range mask { // zero at padding in the file
			if bit == 0 {
				clear(got[i][token*width : (token+1)*width])
			}
		}
		checkClose(t, fmt.Sprintf("%s, positions given %t", name, i < 2), got[i], want)
	}
}

// checkGreedy continues a prompt with the most likely token, one at a time.
func checkGreedy(t *testing.T, m *hf.Model, prompt, want []int) {
	t.Helper()
	next := executor(t, m.Store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		return []*graph.Node{decoder.Forward(scope, m.Config, decoder.Inputs{IDs: in[0]}, decoder.Options{At: in[1]}).Logits}
	})
	sequence := make([]int32, len(want)) // zeros where nothing is yet: later tokens are not seen
	for i, id := range prompt {
		sequence[i] = int32(id)
	}
	for i := len(prompt); i < len(want); i++ {
		sequence[i] = argmax(next([][]int32{sequence}, [][]int32{{int32(i - 1)}})[0])
		if int(sequence[i]) != want[i] {
			t.Fatalf("greedy token %d is %d, want %d", i, sequence[i], want[i])
		}
	}
}

// TestStories compares a real pretrained model with transformers: logits, hidden states, a greedy continuation and perplexity.
func TestStories(t *testing.T) {
	m, err := hf.Load(stories)
	if err != nil {
		t.Fatal(err)
	}
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
	checkHidden(t, m, golden.Open(t, "stories260K.safetensors"))
	checkGreedy(t, m, want.Prompt, want.Greedy)

	windows := slices.Collect(slices.Chunk(want.IDs, want.Perplexity.Chunk))
	logits := run(t, m.Store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		return []*graph.Node{decoder.Forward(scope, m.Config, decoder.Inputs{IDs: in[0]}, decoder.Options{}).Logits}
	}, windows)[0]
	total, count := 0.0, 0
	for b, window := range rows(logits, want.Perplexity.Chunk*m.Config.VocabSize) {
		predictions := rows(window, m.Config.VocabSize)
		for i, target := range windows[b][1:] {
			total += negativeLogLikelihood(predictions[i], int(target))
			count++
		}
	}
	mean := total / float64(count)
	t.Logf("mean negative log-likelihood %.9f, want %.9f: off by %.2g", mean, want.Perplexity.MeanNLL, mean/want.Perplexity.MeanNLL-1)
	if !(math.Abs(mean/want.Perplexity.MeanNLL-1) <= 1e-5) {
		t.Errorf("mean negative log-likelihood %g, want %g", mean, want.Perplexity.MeanNLL)
	}
}

func negativeLogLikelihood(logits []float32, target int) float64 {
	total := 0.0
	for _, v := range logits {
		total += math.Exp(float64(v))
	}
	return math.Log(total) - float64(logits[target])
}
