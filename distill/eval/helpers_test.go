package eval

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/decoder"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// letters has a token for each letter, 2 + its place in the alphabet; space is 30. 0 is in front of texts, 1 behind.
type letters struct{}

func (letters) Encode(text string) []int32 {
	var ids []int32
	for _, c := range text {
		if c == ' ' {
			ids = append(ids, 30)
		} else {
			ids = append(ids, 2+c-'a')
		}
	}
	return ids
}
func (letters) BOS() (int32, bool) { return 0, true }
func (letters) EOS() (int32, bool) { return 1, true }
func (letters) Pad() int32         { return 29 }

// tinyConfig is a decoder for letters. In full precision: padding changes the last bit of an activation, and that an int8 code.
func tinyConfig() arch.Config {
	return arch.Config{
		Family: arch.Qwen3, VocabSize: 31, HiddenSize: 16, IntermediateSize: 24, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 4,
		MaxPositions: 48, NormEps: 1e-5, RopeTheta: 1e4, Quantization: bitnet.Full(),
	}
}

func randomStore(t testing.TB, cfg arch.Config) *model.Store {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	store := model.NewStore()
	for _, tensor := range cfg.Tensors() {
		values := make([]float32, tensor.Size())
		for i := range values {
			values[i] = float32(1 + rng.NormFloat64()/4)
			if len(tensor.Dims) > 1 {
				values[i] = float32(2 * rng.NormFloat64() / math.Sqrt(float64(tensor.Dims[1])))
			}
		}
		if _, err := store.CreateVariable(tensor.Path(), tensors.FromFlatDataAndDimensions(values, tensor.Dims...)); err != nil {
			t.Fatal(err)
		}
	}
	return store
}

// reader gives log-probabilities of every next token, one sequence at a time and without padding, from the decoder's
// logits by a plain float64 softmax.
type reader struct {
	exec *model.Exec
}

func newReader(t testing.TB, cfg arch.Config, store *model.Store) *reader {
	t.Helper()
	exec, err := model.NewExec(backendtest.Open(t), store, func(scope *model.Scope, ids *graph.Node) *graph.Node {
		return decoder.Forward(scope, cfg, decoder.Inputs{IDs: ids}, decoder.Options{}).Logits
	})
	if err != nil {
		t.Fatal(err)
	}
	exec.SetMaxCache(-1)
	return &reader{exec}
}

// logits of every position, end to end.
func (r *reader) logits(t testing.TB, ids []int32) []float32 {
	t.Helper()
	out, err := r.exec.Call1([][]int32{ids})
	if err != nil {
		t.Fatal(err)
	}
	return tensors.MustCopyFlatData[float32](out)
}

// last are the logits of the last position.
func (r *reader) last(t testing.TB, ids []int32) []float32 {
	t.Helper()
	logits := r.logits(t, ids)
	return logits[len(logits)-len(logits)/len(ids):]
}

// next is, for every position but the last, the log-probability of the token that follows.
func (r *reader) next(t testing.TB, ids []int32) []float64 {
	t.Helper()
	logits := r.logits(t, ids)
	vocabulary := len(logits) / len(ids)
	all := make([]float64, len(ids)-1)
	for i := range all {
		row := logits[i*vocabulary : (i+1)*vocabulary]
		sum := 0.0
		for _, x := range row {
			sum += math.Exp(float64(x))
		}
		all[i] = float64(row[ids[i+1]]) - math.Log(sum)
	}
	return all
}

// moods is a task whose prompts have very different lengths.
func moods(t testing.TB, answers ...string) *data.Examples {
	t.Helper()
	task := data.Task{Name: "moods", Prompt: "{text} it was", LabelColumn: "label"}
	for i, a := range answers {
		task.Labels = append(task.Labels, data.Label{Value: string(rune('a' + i)), Answer: a})
	}
	set := &data.Dataset{File: "moods.tsv", Columns: []string{"text"}}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 13 {
		text := make([]byte, 1+(i*11)%29)
		for k := range text {
			text[k] = byte('a' + rng.IntN(26))
		}
		set.Rows = append(set.Rows, data.Row{Line: i + 2, Values: []string{string(text)}, Label: i % len(answers)})
	}
	e, err := task.Tokenize(context.Background(), set, letters{}, data.TokenizeOptions{MaxLength: 48})
	if err != nil {
		t.Fatal(err)
	}
	return e
}
