package infer_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/decoder"
	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/embedded"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

const stories = "../../distill/embedded/model"

func opened(t testing.TB, path string, o infer.Options) *infer.Model {
	t.Helper()
	m, err := infer.Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// randomFolder is a Hugging Face folder with weights that are big enough that every part of the model matters.
func randomFolder(t testing.TB, c arch.Config, seed uint64) string {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	err := (&files.Model{Config: c}).Save(dir, func(tensor arch.Tensor, use func(values []float32) error) error {
		mean, deviation := 0.0, 0.5
		switch tensor.Kind {
		case arch.Linear:
			deviation = 1.3 / math.Sqrt(float64(tensor.Dims[1]))
		case arch.Norm:
			mean, deviation = 1-c.NormOffset(), 0.25
		case arch.SubLNorm:
			mean, deviation = 1, 0.25
		}
		values := make([]float32, tensor.Size())
		for i := range values {
			values[i] = float32(mean + deviation*rng.NormFloat64())
		}
		return use(values)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func randomIDs(c arch.Config, n int, seed uint64) []int32 {
	rng := rand.New(rand.NewPCG(seed, 2))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = rng.Int32N(int32(c.VocabSize))
	}
	return ids
}

// graphOutputs are those of the graph that training uses, on the same folder, for one text.
type graphOutputs struct {
	logits []float32
	hidden [][]float32
	inputs map[string][]float32 // of linears
}

func runGraph(t testing.TB, folder string, ids []int32, linears ...string) graphOutputs {
	t.Helper()
	m, err := hf.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	return graphOf(t, m, ids, linears...)
}

func graphOf(t testing.TB, m *hf.Model, ids []int32, linears ...string) graphOutputs {
	t.Helper()
	exec, err := model.NewExec(backendtest.Open(t), m.Store, func(scope *model.Scope, in *graph.Node) []*graph.Node {
		out := decoder.Forward(scope, m.Config, decoder.Inputs{IDs: in}, decoder.Options{Hidden: true, LinearInputs: linears})
		all := append([]*graph.Node{out.Logits}, out.Hidden...)
		for _, name := range linears {
			all = append(all, out.LinearInputs[name])
		}
		return all
	})
	if err != nil {
		t.Fatal(err)
	}
	outs, err := exec.Exec([][]int32{ids})
	if err != nil {
		t.Fatal(err)
	}
	values := make([][]float32, len(outs))
	for i, o := range outs {
		if values[i], err = tensors.CopyFlatData[float32](o); err != nil {
			t.Fatal(err)
		}
	}
	n := m.Config.Layers + 2
	g := graphOutputs{logits: values[0], hidden: values[1:n], inputs: map[string][]float32{}}
	for i, name := range linears {
		g.inputs[name] = values[n+i]
	}
	return g
}

// flatLogits are those of a text.
func flatLogits(t testing.TB, m *infer.Model, ids []int32) []float32 {
	t.Helper()
	rows, err := m.Logits(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	var flat []float32
	for _, r := range rows {
		flat = append(flat, r...)
	}
	return flat
}

func argmax(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

func rows(x []float32, width int) (all [][]float32) {
	for i := 0; i < len(x); i += width {
		all = append(all, x[i:i+width])
	}
	return all
}

// surprise is the mean negative log-likelihood of a text, whose logits these are.
func surprise(logits [][]float32, ids []int32) float64 {
	total := 0.0
	for i, next := range ids[1:] {
		sum := 0.0
		for _, v := range logits[i] {
			sum += math.Exp(float64(v))
		}
		total += math.Log(sum) - float64(logits[i][next])
	}
	return total / float64(len(ids)-1)
}

// ternaryStories is the embedded model made ternary, with SubLN of ones.
func ternaryStories(t testing.TB, where arch.SubLN) string {
	t.Helper()
	m, weights, err := files.Open(stories)
	if err != nil {
		t.Fatal(err)
	}
	defer weights.Close()
	m.Config.Quantization = arch.Ternary(where)
	dir := t.TempDir()
	err = m.Save(dir, func(tensor arch.Tensor, use func([]float32) error) error {
		values := make([]float32, tensor.Size())
		if tensor.Kind == arch.SubLNorm {
			for i := range values {
				values[i] = 1
			}
		} else if err := weights.Read(tensor, values); err != nil {
			return err
		}
		return use(values)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// corpus is the beginning of the embedded text.
func corpus(t testing.TB, m *infer.Model, n int) []int32 {
	t.Helper()
	c, err := data.ReadCorpus(t.Context(), []data.File{embedded.Corpus()}, m.Tokenizer, data.CorpusOptions{Length: n, MaxTokens: int64(4 * n)})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := c.Window(0)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}
