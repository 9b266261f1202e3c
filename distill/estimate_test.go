package distill

import (
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
)

// A decoder so small that everything can be counted by hand: 2 layers, widths 4 (hidden), 6 (feed-forward), 4 (queries)
// and 2 (keys and values), 10 tokens in the vocabulary.
var countable = arch.Config{
	Family: arch.Llama, VocabSize: 10, HiddenSize: 4, IntermediateSize: 6, Layers: 2, Heads: 2, KVHeads: 1, HeadDim: 2,
	MaxPositions: 64, NormEps: 1e-5, RopeTheta: 1e4, TieEmbeddings: true, Quantization: arch.Full(),
}

func TestActivations(t *testing.T) {
	w := workload{rows: 3, length: 5, answers: 1}
	layer := int64(15 * (8*4 + 8*4 + 6*2 + 7*6 + 2*2*5))
	once := int64(15 * (4 + 2 + 2*5))
	if got, want := w.activations(countable), 2*layer+once+4*3*10; got != want {
		t.Errorf("task: %d, want %d", got, want)
	}
	w.answers = 5
	if got, want := w.activations(countable), 2*layer+once+4*15*10; got != want {
		t.Errorf("corpus: %d, want %d", got, want)
	}
	w.answers, w.teacher, w.splitHeads = 1, &countable, 2
	if got, want := w.activations(countable), 3*layer+2*once+6*3*10+3*2*25*18; got != want {
		t.Errorf("distillation: %d, want %d", got, want)
	}
	deep := countable
	deep.Layers = 9
	w = workload{rows: 3, length: 5, answers: 1, remat: true}
	if got, want := w.activations(deep), 9*15*4+2*layer+once+4*3*10; got != want {
		t.Errorf("blocks computed anew: %d, want %d", got, want)
	}
	// Logits take no more memory than they are allowed, however many there are.
	w = workload{rows: 64, length: 4096, answers: 4096}
	large := deep
	large.VocabSize = 150_000
	if got := 4 * w.logits(large); got > logitsBytes || got < logitsBytes/2 {
		t.Errorf("logits: %d bytes", got)
	}
}

// Weights are counted by hand; what micro-batches do is compared with the doc comment.
func TestMemory(t *testing.T) {
	c, err := Preset("embedded")
	if err != nil {
		t.Fatal(err)
	}
	student := countable
	student.Quantization = c.Student
	params := int64(10*4 + 2*(2*4*4+2*2*4+3*4*6+2*4) + 4) // embedding, two blocks, final norm
	studentParams := params + 2*(4+6)                     // SubLN
	linears := int64(2 * (2*4*4 + 2*2*4 + 3*4*6))
	of := func(cores int) map[string]Memory {
		all := map[string]Memory{}
		for _, m := range c.memory(countable, student, countable, cores, 1) {
			all[m.Stage] = m
			if sum := m.Weights + m.Gradients + m.Moments + m.Teacher + m.Activations; sum != m.Total {
				t.Errorf("%s: the parts add up to %d, not %d", m.Stage, sum, m.Total)
			}
		}
		return all
	}
	c.Stage3.MicroBatches = 4
	one, two := of(1), of(2)
	m := one[Stage3Label]
	if m.Weights != 4*(params+studentParams+linears) || m.Gradients != 4*2*studentParams || two[Stage3Label].Gradients != 4*3*studentParams || m.Moments != 4*4*studentParams || m.Teacher != 4*params {
		t.Errorf("stage 3: %+v for %d parameters", m, params)
	}
	if one[FullLabel].Weights != 8*params || one[FullLabel].Teacher != 0 {
		t.Errorf("full precision: %+v", one[FullLabel])
	}
	if two[Stage3Label].Activations != 2*m.Activations {
		t.Errorf("a second core: %d and %d", m.Activations, two[Stage3Label].Activations)
	}
	c.Stage3.BatchSize *= 2
	if of(1)[Stage3Label].Activations != 2*m.Activations {
		t.Error("twice the batch does not take twice the activations")
	}
}
