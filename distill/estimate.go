package distill

import (
	"github.com/bitdistill/bitdistill/bitnet/arch"
)

// Memory is an estimate of the bytes that one training holds at its peak.
type Memory struct {
	Stage       string `json:"stage"`
	Weights     int64  `json:"weights"`     // of the model in training, with its ternary ones as quantized for several micro-batches, and of the one it was made from
	Gradients   int64  `json:"gradients"`   // of all micro-batches: they are added up in order once all are there
	Moments     int64  `json:"moments"`     // two of AdamW, and new ones beside some of them while an update is made
	Teacher     int64  `json:"teacher"`     // weights, in stage 3
	Activations int64  `json:"activations"` // what the backward pass needs of the micro-batches that are computed at once
	Total       int64  `json:"total"`
}

const float = 4 // bytes of a float32, in which everything is held

// memory estimates all trainings of a run. With P parameters, and n micro-batches computed at once (on the pure-Go
// backend as many as there are cores), a training holds 4 bytes of
//
//	weights    2P         gradients  (n+1)P        moments  2P, and two of the weights that are updated at once        teacher  its P
//
// On several devices of a CPU, which share its memory, each holds the weights of model and teacher and a set of gradients.
//
// Ternary linears count once more where a step has several micro-batches. To these come
// the activations of n micro-batches, see activations. answers is the largest number of tokens of a row of the task that the
// loss counts.
func (c Config) memory(base, student, teacher arch.Config, cores, answers int) []Memory {
	direct := student
	direct.Quantization = c.directQuantization()
	trainings := []struct {
		label string
		model arch.Config
		t     Training
	}{{FullLabel, base, c.FineTune}, {BitNetLabel, direct, c.BitNetSFT}, {Stage2Label, student, c.Stage2}, {Stage3Label, student, c.Stage3}}
	var all []Memory
	for _, x := range trainings {
		x.t = x.t.inParts(2) // as in pure Go; one in all needs a set of gradients less
		params := int64(x.model.Parameters())
		more := float * params * int64(max(1, c.Devices)-1)
		m := Memory{
			Stage:     x.label,
			Weights:   float*(params+int64(base.Parameters())) + more,
			Gradients: float*params*int64(min(x.t.MicroBatches, cores)+1) + more,
			Moments:   2*float*params + 2*min(float*params, updateBytes),
		}
		if x.model.Quantization.IsTernary() && x.t.MicroBatches > 1 {
			m.Weights += float * linears(x.model)
		}
		w := workload{rows: x.t.BatchSize / x.t.MicroBatches, length: c.Task.MaxLength, answers: answers, remat: x.t.Remat}
		switch x.label {
		case Stage2Label:
			w.length, w.answers = c.Corpus.Length, c.Corpus.Length
		case Stage3Label:
			m.Teacher = float * int64(teacher.Parameters()) * int64(max(1, c.Devices))
			w.teacher = &teacher
			if c.Loss.Lambda > 0 && c.Loss.Positions == "all" {
				w.answers = w.length
			}
			if c.Loss.Gamma > 0 {
				w.splitHeads = c.Loss.Relations.SplitHeads
			}
		}
		m.Activations = float * w.activations(x.model) * int64(min(x.t.MicroBatches, cores))
		m.Total = m.Weights + m.Gradients + m.Moments + m.Teacher + m.Activations
		all = append(all, m)
	}
	return all
}

// linears counts the weights of the blocks' linears.
func linears(c arch.Config) (n int64) {
	for _, t := range c.Tensors() {
		if t.Kind == arch.Linear {
			n += int64(t.Size())
		}
	}
	return n
}

// workload is one micro-batch.
type workload struct {
	rows, length int
	answers      int          // positions of a row whose logits are computed
	teacher      *arch.Config // nil without distillation
	splitHeads   int          // of the attention relations; 0 without
	remat        bool         // blocks are computed anew for their gradient
}

// activations counts the values that the backward pass reads again. It is a count of the graph's nodes, checked against
// the process on the pure-Go backend: at lengths of 64 to 512 that took 0.75 to 1.15 of the estimate, up to 1.3 where blocks are
// computed anew, and 60 MB for the program and its texts.
//
// With n = rows * length tokens, hidden width h,
// feed-forward width f, q = heads * head_dim and k = kv_heads * head_dim:
//
//	a layer    n * (8h + 8q + 6k + 7f + 2*heads*length)
//	           two norms and the int8 codes behind them; queries, keys and values as projected, normed, rotated and
//	           transposed; exponentials of the scores and their gradients; the steps of SwiGLU; SubLN
//	once       n * (q + k + heads*length)                 rotary tables and attention mask
//	logits     rows * answers * vocabulary * 4            logits, log-probabilities, probabilities, gradient: of as many positions as
//	           logitsBytes hold
//	teacher    one layer, since none waits for a backward pass, and twice the logits
//	remat      n * h a layer, and twice one layer, in place of all layers
//	relations  rows * split_heads * length^2 * 3 * 6      of Q, K and V: scores, their softmax and its logarithm on both sides
func (w workload) activations(c arch.Config) int64 {
	layers := int64(c.Layers) * w.layer(c)
	if w.remat {
		layers = min(layers, int64(c.Layers)*w.tokens()*int64(c.HiddenSize)+2*w.layer(c))
	}
	total := layers + w.once(c) + 4*w.logits(c)
	if w.teacher != nil {
		total += w.layer(*w.teacher) + w.once(*w.teacher) + 2*w.logits(*w.teacher)
		total += 18 * int64(w.rows) * int64(w.splitHeads) * int64(w.length) * int64(w.length)
	}
	return total
}

func (w workload) layer(c arch.Config) int64 {
	q, k := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	return w.tokens() * int64(8*c.HiddenSize+8*q+6*k+7*c.IntermediateSize+2*c.Heads*w.length)
}

func (w workload) once(c arch.Config) int64 {
	return w.tokens() * int64((c.Heads+c.KVHeads)*c.HeadDim+c.Heads*w.length)
}

func (w workload) logits(c arch.Config) int64 {
	n := w.rows * w.answers
	parts := logitsParts(c, n)
	return int64((n+parts-1)/parts) * int64(c.VocabSize)
}

func (w workload) tokens() int64 { return int64(w.rows) * int64(w.length) }

// Peak is the training that holds most.
func (p *Plan) Peak() Memory {
	peak := p.Memory[0]
	for _, m := range p.Memory {
		if m.Total > peak.Total {
			peak = m
		}
	}
	return peak
}
