package distill

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/embedded"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

var openPretrained = sync.OnceValues(func() (*hf.Model, error) {
	return readModel(context.Background(), newFetcher(nil, nil), Embedded, embedded.Model, hf.Load)
})

// tinyConfig is a decoder small enough to be trained hundreds of times in a test.
func tinyConfig() arch.Config {
	return arch.Config{
		Family: arch.Llama, VocabSize: 512, HiddenSize: 16, IntermediateSize: 24, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 4,
		MaxPositions: 64, NormEps: 1e-5, RopeTheta: 1e4, TieEmbeddings: true, Quantization: bitnet.Full(),
	}
}

// randomModel has random weights and the tokenizer of the embedded model. Equal seeds make equal models, which share nothing.
func randomModel(t testing.TB, cfg arch.Config, seed uint64) *hf.Model {
	t.Helper()
	pretrained, err := openPretrained()
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	store := model.NewStore()
	for _, tensor := range cfg.Tensors() {
		values := make([]float32, tensor.Size())
		for i := range values {
			switch x := rng.NormFloat64(); tensor.Kind {
			case arch.Norm, arch.SubLNorm:
				values[i] = float32(1 + x/10)
			default:
				values[i] = float32(x / math.Sqrt(float64(tensor.Dims[1])))
			}
		}
		if _, err := store.CreateVariable(tensor.Path(), tensors.FromFlatDataAndDimensions(values, tensor.Dims...)); err != nil {
			t.Fatal(err)
		}
	}
	return pretrained.With(cfg, store)
}

func tinyModel(t testing.TB, seed uint64) *hf.Model { return randomModel(t, tinyConfig(), seed) }

// tinyStudent is a tiny model with ternary linears.
func tinyStudent(t testing.TB, seed uint64, where bitnet.SubLN) *hf.Model {
	cfg := tinyConfig()
	cfg.Quantization = bitnet.Ternary(where)
	return randomModel(t, cfg, seed)
}

// weights copies the weights out of a store, by name.
func weights(t testing.TB, cfg arch.Config, store *model.Store) map[string][]float32 {
	t.Helper()
	all := map[string][]float32{}
	for _, tensor := range cfg.Tensors() {
		value, err := store.GetVariable(tensor.Path()).Value()
		if err != nil {
			t.Fatal(err)
		}
		all[tensor.Name] = tensors.MustCopyFlatData[float32](value)
	}
	return all
}

// everything is the bits of all variables of a store, moments and counters too, by path.
func everything(t testing.TB, store *model.Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	for v := range store.IterVariables() {
		if !v.HasValue() {
			continue
		}
		value, err := v.Value()
		if err != nil {
			t.Fatal(err)
		}
		if err := value.ConstBytes(func(raw []byte) { all[v.Path()] = string(raw) }); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// sameBits fails the test where weights differ in a single bit.
func sameBits(t testing.TB, what string, got, want map[string][]float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d tensors, want %d", what, len(got), len(want))
	}
	for name, w := range want {
		g := got[name]
		if len(g) != len(w) {
			t.Errorf("%s: %s has %d values, want %d", what, name, len(g), len(w))
			continue
		}
		for i := range w {
			if math.Float32bits(g[i]) != math.Float32bits(w[i]) {
				t.Errorf("%s: %s[%d] is %g, want %g", what, name, i, g[i], w[i])
				break
			}
		}
	}
}

// near fails the test unless got is want up to a relative tolerance.
func near(t testing.TB, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*math.Abs(want)) {
		t.Errorf("%s: %.9g, want %.9g (relative difference %.2g, allowed %.2g)", what, got, want, math.Abs(got-want)/math.Abs(want), tolerance)
	}
}

// farthest is the largest difference of entries, relative to the largest entry of want.
func farthest[W float32 | float64](got []float32, want []W) float64 {
	var largest, worst float64
	for i := range want {
		largest = max(largest, math.Abs(float64(want[i])))
		worst = max(worst, math.Abs(float64(got[i])-float64(want[i])))
	}
	if worst == 0 {
		return 0
	}
	return worst / largest
}

// wantError checks that err mentions all words.
func wantError(t testing.TB, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not mention %q", err, w)
		}
	}
}

// reviews is a table for the embedded task: rows sentences of very different lengths.
func reviews(rows int) string {
	words := strings.Fields("the story of a small dog was slow and sad but some days were bright so we liked it more than once upon a time")
	var b strings.Builder
	b.WriteString("sentence\tlabel\n")
	for i := range rows {
		n := 5 + (i*7)%13
		for k := range n {
			b.WriteString(words[(i*5+k*(1+i%3))%len(words)] + " ")
		}
		fmt.Fprintf(&b, "number %d\t%d\n", i, i*i%3%2)
	}
	return b.String()
}

// reviewExamples are reviews as tokens, at most 40 a sequence.
func reviewExamples(t testing.TB, task data.Task, rows int) *data.Examples {
	t.Helper()
	pretrained, err := openPretrained()
	if err != nil {
		t.Fatal(err)
	}
	set, err := task.Read(data.InMemory("reviews.tsv", []byte(reviews(rows))))
	if err != nil {
		t.Fatal(err)
	}
	e, err := task.Tokenize(context.Background(), set, pretrained.Tokenizer, data.TokenizeOptions{MaxLength: 40})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// tale is text for a corpus.
func tale(sentences int) string {
	var b strings.Builder
	for i := range sentences {
		fmt.Fprintf(&b, "Once upon a time %d dogs played with a big ball, and %d cats looked on. ", i%7, i%5)
	}
	return b.String()
}

// taleWindows is the tale as windows of 16 tokens.
func taleWindows(t testing.TB, sentences int) *data.Corpus {
	t.Helper()
	pretrained, err := openPretrained()
	if err != nil {
		t.Fatal(err)
	}
	c, err := data.ReadCorpus(context.Background(), []data.File{data.InMemory("tale.txt", []byte(tale(sentences)))}, pretrained.Tokenizer, data.CorpusOptions{Length: 16})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// quick are settings of a training that moves weights a lot in a few steps: 4 sequences in 2 micro-batches.
func quick(steps int) Training {
	return Training{
		Steps: steps, BatchSize: 4, MicroBatches: 2, LearningRate: 1e-2, Schedule: "cosine", Warmup: 0.2, WeightDecay: 0.1,
		Beta1: 0.9, Beta2: 0.99, Epsilon: 1e-8, ClipNorm: 1,
	}
}

// journal is where a training logs to.
type journal struct {
	text bytes.Buffer
	log  *runLog
}

func newJournal(t testing.TB) *journal {
	t.Helper()
	f, err := openMetrics(filepath.Join(t.TempDir(), metricsFile))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	j := &journal{}
	j.log = &runLog{text: &j.text, metrics: f}
	return j
}

// metrics are the objects written, each line checked to be one.
func (j *journal) metrics(t testing.TB) []map[string]any {
	t.Helper()
	raw, err := os.ReadFile(j.log.metrics.path)
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for line := range strings.Lines(string(raw)) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil || !strings.HasSuffix(line, "\n") {
			t.Fatalf("%s: line %q: %v", metricsFile, line, err)
		}
		all = append(all, object)
	}
	return all
}

// steps are the metrics of training steps by number, without what depends on the clock. A step that is there twice must
// be the same both times.
func (j *journal) steps(t testing.TB) map[float64]map[string]any {
	t.Helper()
	all := map[float64]map[string]any{}
	for _, m := range j.metrics(t) {
		if _, ok := m["loss"]; !ok {
			continue
		}
		delete(m, "seconds")
		delete(m, "tokens_per_s")
		step := m["step"].(float64)
		if before, ok := all[step]; ok && !maps.Equal(before, m) {
			t.Errorf("step %g was logged as %v and then as %v", step, before, m)
		}
		all[step] = m
	}
	return all
}
