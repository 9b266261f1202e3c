package distill

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/loss"
)

// Embedded stands for a model, a teacher or a file that is part of the binary.
const Embedded = "embedded"

// Config is everything that decides the result of a run. [Preset] makes one; a file and overrides change it; the
// resolved config is written to the run folder, and a resumed run reads it from there.
type Config struct {
	Preset  string `json:"preset"`            // where the other values came from; for the reader
	Seed    uint64 `json:"seed"`              // decides the order of the data and the splits
	Backend string `json:"backend"`           // auto, go, xla:cpu or xla:cuda
	Devices int    `json:"devices,omitempty"` // of the backend, that the sequences of each training's steps are divided among; 0 is 1

	Model   string `json:"model"`            // folder or GGUF file of the pretrained model, a hub id, or "embedded"
	Layers  int    `json:"layers,omitempty"` // blocks of the pretrained model to start from, the first ones; 0 for all
	Teacher string `json:"teacher"`          // folder of a model fine-tuned on the task, a hub id, "embedded", or "" to train one

	Task    Task                `json:"task"`
	Corpus  Corpus              `json:"corpus"`
	Student bitnet.Quantization `json:"student"`

	FineTune  Training `json:"fine_tune"`  // full precision on the task: FP16-SFT, and the teacher when none is given
	BitNetSFT Training `json:"bitnet_sft"` // the ternary baseline on the task
	Stage2    Training `json:"stage2"`     // continual pre-training of the student on the corpus
	Stage3    Training `json:"stage3"`     // distillation on the task
	Loss      Loss     `json:"loss"`       // of stage 3

	EvalBatchSize   int `json:"eval_batch_size"`  // sequences per forward pass of an evaluation
	LogEvery        int `json:"log_every"`        // steps between log lines
	TernaryEvery    int `json:"ternary_every"`    // steps between counts of ternary values and flips; 0 for none
	CheckpointEvery int `json:"checkpoint_every"` // steps between checkpoints; 0 writes one only when interrupted

	// Hub is what the names of hub models and corpora stood for when they were first asked for: a run that goes on takes the same
	// commits. "corpus" is "fallback for …" where that corpus could not be had.
	Hub map[string]string `json:"hub,omitempty"`
}

// Task is a task with its data. Tables are TSV, CSV, JSONL or Parquet, also packed with gzip or Zstandard.
type Task struct {
	Name          string        `json:"name"`           // built in (see data.BuiltinTasks) or a task file
	Train         string        `json:"train"`          // table, or "embedded"
	Dev           string        `json:"dev"`            // table that is reported on and used for nothing else, or "embedded"
	MaxLength     int           `json:"max_length"`     // tokens of prompt and answer
	Overlong      data.Overlong `json:"overlong"`       // what becomes of longer prompts: truncate (or truncate-prompt), truncate-left, drop or fail
	LengthBuckets int           `json:"length_buckets"` // number of lengths that batches are padded to; 0 chooses: few where each is compiled, else many
	SelectionRows int           `json:"selection_rows"` // training rows set aside to choose the best checkpoint; 0 keeps the last one

	// GenerateRows is how many of the held-out prompts of a generation each model continues in the end, for BLEU and ROUGE; 0 is all. A
	// token costs a pass over the model's weights.
	GenerateRows int `json:"generate_rows"`
}

// Corpus is the general text of stage 2.
type Corpus struct {
	// Files are text or JSONL, plain, gzip or Zstandard, or Parquet; folders and patterns of these; folders that "bitdistill
	// tokenize" made; data sets of the Hugging Face hub, "hf:owner/name", see docs/hub.md; or "embedded". With =WEIGHT behind each, such
	// as "wiki/=3", they are a mixture: each has that share of the windows.
	Files            []string     `json:"files"`
	Fallback         string       `json:"fallback,omitempty"` // local corpus, in place of all files where the hub cannot be reached
	Length           int          `json:"length"`             // tokens of a window
	Packing          data.Packing `json:"packing,omitempty"`  // how documents fill windows: concat, the default, or documents
	ReportWindows    int          `json:"report_windows"`     // windows set aside to report perplexity on, before and after
	SelectionWindows int          `json:"selection_windows"`  // windows set aside to choose the best checkpoint; 0 keeps the last one
}

// Values of Training.Precision.
const (
	float32s = "f32"
	bfloat16 = "bf16"
)

// Training is how one model is trained. Of steps, epochs and tokens exactly one is set.
type Training struct {
	Steps  int         `json:"steps,omitempty"`  // optimizer steps
	Epochs float64     `json:"epochs,omitempty"` // passes over the training data
	Tokens TokenBudget `json:"tokens,omitempty"` // real tokens, such as "2M" or "10B"

	BatchSize    int `json:"batch_size"`    // sequences per step
	MicroBatches int `json:"micro_batches"` // parts a batch is computed in, to save memory; divides batch_size; 0 chooses

	Remat     bool   `json:"remat,omitempty"`     // keep the input of each block alone and compute the block anew for its gradient, to save memory
	Precision string `json:"precision,omitempty"` // f32, or bf16: products of a gradient may be rounded where that is faster; '' is f32

	LearningRate    float64 `json:"learning_rate"`
	Schedule        string  `json:"schedule"`         // after warm-up: linear or cosine to 0, or constant
	Warmup          float64 `json:"warmup"`           // share of the steps in which the rate rises from 0
	WeightDecay     float64 `json:"weight_decay"`     // decoupled (AdamW); on matrices, never on norms
	DecayEmbeddings bool    `json:"decay_embeddings"` // on embedding and head too
	Beta1           float64 `json:"beta1"`
	Beta2           float64 `json:"beta2"`
	Epsilon         float64 `json:"epsilon"`
	ClipNorm        float64 `json:"clip_norm"` // largest global norm of a gradient

	// SkipSpikes leaves out updates whose loss or gradient norm is more than so many standard deviations above the mean of the last
	// 128 steps, once there have been 64; 0 for never.
	SkipSpikes float64 `json:"skip_spikes,omitempty"`
	// FP16Scales is the share of the steps, the last ones, in which the scales of ternary weights are rounded to float16; the model
	// stays that way, so that formats with such scales hold it exactly. The best checkpoint is chosen among those steps. 0 for none.
	FP16Scales float64 `json:"fp16_scales,omitempty"`

	EvalEvery int `json:"eval_every"` // steps between evaluations on the selection split; 0 for none
	Patience  int `json:"patience"`   // evaluations without a better one that end the training early; 0 for never
}

// Loss weighs the terms of stage 3: L = CE + lambda*LD + gamma*AD. The weights mean what they mean only together with
// the normalisations beside them, so that a preset sets all of them.
type Loss struct {
	Lambda    float64        `json:"lambda"`
	Gamma     float64        `json:"gamma"`
	Logits    loss.Logits    `json:"logits"`
	Positions string         `json:"positions"` // of logits distillation: "answer", or "all" real tokens
	Relations loss.Relations `json:"relations"` // split_heads 0 chooses loss.DefaultSplitHeads
	Layer     int            `json:"layer"`     // distilled layer of the relations; negative counts from the end
}

// TokenBudget is a number of tokens, written "2M" or "10B".
type TokenBudget int64

// MarshalJSON writes the budget with the unit that divides it.
func (t TokenBudget) MarshalJSON() ([]byte, error) {
	for _, unit := range []struct {
		size int64
		name string
	}{{1e9, "B"}, {1e6, "M"}, {1e3, "K"}} {
		if t > 0 && int64(t)%unit.size == 0 {
			return json.Marshal(fmt.Sprintf("%d%s", int64(t)/unit.size, unit.name))
		}
	}
	return json.Marshal(fmt.Sprint(int64(t)))
}

// UnmarshalJSON reads a budget from a number or from text as [data.ParseTokens] does; 0 is none.
func (t *TokenBudget) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	if text == "0" {
		*t = 0
		return nil
	}
	n, err := data.ParseTokens(text)
	*t = TokenBudget(n)
	return err
}

// Validate returns all faults at once, each with the JSON name of its field.
func (c Config) Validate() error {
	f := faults{all: new([]error)}
	f.oneOf("backend", c.Backend, "auto", "go", "xla:cpu", "xla:cuda")
	f.atLeast("devices", c.Devices, 0)
	f.check(c.Devices <= 1 || c.Backend != "go", "devices: %d, but the backend go has one; set backend to xla:cpu or xla:cuda", c.Devices)
	f.check(c.Model != "", "model: missing; name a folder in Hugging Face form, a hub id, or %q", Embedded)
	f.atLeast("layers", c.Layers, 0)
	f.check(c.FineTune.FP16Scales == 0, "fine_tune.fp16_scales: %g, but its weights are in full precision and have no scales; leave it out", c.FineTune.FP16Scales)
	c.Task.validate(f.in("task"))
	c.Corpus.validate(f.in("corpus"))
	f.add("student", c.Student.Validate())
	f.check(c.Student.IsTernary(), "student.weights: %q is not a ternary quantizer", c.Student.Weights)
	c.FineTune.validate(f.in("fine_tune"), false)
	c.BitNetSFT.validate(f.in("bitnet_sft"), false)
	c.Stage2.validate(f.in("stage2"), true)
	c.Stage3.validate(f.in("stage3"), false)
	c.Loss.validate(f.in("loss"))
	for name, t := range map[string]Training{"fine_tune": c.FineTune, "bitnet_sft": c.BitNetSFT, "stage3": c.Stage3} {
		f.check(t.Patience == 0 || c.Task.SelectionRows > 0, "%s.patience: needs task.selection_rows", name)
	}
	c.FineTune.divides(f.in("fine_tune"), c.Devices)
	c.BitNetSFT.divides(f.in("bitnet_sft"), c.Devices)
	c.Stage2.divides(f.in("stage2"), c.Devices)
	c.Stage3.divides(f.in("stage3"), c.Devices)
	f.check(c.Stage2.Patience == 0 || c.Corpus.SelectionWindows > 0, "stage2.patience: needs corpus.selection_windows")
	f.atLeast("eval_batch_size", c.EvalBatchSize, 1)
	f.atLeast("log_every", c.LogEvery, 1)
	f.atLeast("ternary_every", c.TernaryEvery, 0)
	f.atLeast("checkpoint_every", c.CheckpointEvery, 0)
	return errors.Join(*f.all...)
}

func (t Task) validate(f faults) {
	f.check(t.Name != "", "name: missing; a built-in task (%s) or a task file", data.BuiltinTasks())
	f.check(t.Train != "", "train: missing; name a table: TSV, CSV, JSONL or Parquet")
	f.check(t.Dev != "", "dev: missing; name a table: TSV, CSV, JSONL or Parquet")
	f.atLeast("max_length", t.MaxLength, 2)
	f.check(slices.Contains(data.Overlongs, t.Overlong), "overlong: %q is not one of %v", t.Overlong, data.Overlongs)
	f.atLeast("length_buckets", t.LengthBuckets, 0)
	f.atLeast("selection_rows", t.SelectionRows, 0)
	f.atLeast("generate_rows", t.GenerateRows, 0)
}

func (c Corpus) validate(f faults) {
	f.check(len(c.Files) > 0, "files: none; name at least one file, folder or pattern")
	f.check(!strings.HasPrefix(c.Fallback, hubCorpus), "fallback: %s: is on the hub itself; name a local corpus", c.Fallback)
	f.atLeast("length", c.Length, 2)
	f.oneOf("packing", cmp.Or(string(c.Packing), string(data.Concat)), string(data.Concat), string(data.Documents))
	f.atLeast("report_windows", c.ReportWindows, 1)
	f.atLeast("selection_windows", c.SelectionWindows, 0)
}

func (t Training) validate(f faults, corpus bool) {
	set := 0
	for _, on := range []bool{t.Steps != 0, t.Epochs != 0, t.Tokens != 0} {
		if on {
			set++
		}
	}
	f.check(set == 1, "steps, epochs, tokens: %d, %g and %d; want exactly one that is not 0", t.Steps, t.Epochs, t.Tokens)
	f.check(t.Steps <= math.MaxInt32, "steps: %d, want at most %d", t.Steps, math.MaxInt32)
	f.check(t.Tokens == 0 || corpus, "tokens: only stage2 takes a budget of tokens; set steps or epochs")
	f.check(t.Steps >= 0 && t.Epochs >= 0 && t.Tokens >= 0 && !math.IsInf(t.Epochs, 0), "steps, epochs, tokens: want a positive number")
	f.atLeast("batch_size", t.BatchSize, 1)
	f.atLeast("micro_batches", t.MicroBatches, 0)
	f.check(t.MicroBatches < 1 || t.BatchSize%t.MicroBatches == 0, "micro_batches: %d does not divide batch_size %d", t.MicroBatches, t.BatchSize)
	f.oneOf("precision", cmp.Or(t.Precision, float32s), float32s, bfloat16)
	f.positive("learning_rate", t.LearningRate)
	f.check(t.LearningRate <= 1, "learning_rate: %g, want at most 1", t.LearningRate)
	f.oneOf("schedule", t.Schedule, "linear", "cosine", "constant")
	f.within("warmup", t.Warmup, 0, 1)
	f.within("weight_decay", t.WeightDecay, 0, math.MaxFloat32)
	f.within("beta1", t.Beta1, 0, 0.99999)
	f.within("beta2", t.Beta2, 0, 0.9999999)
	f.positive("epsilon", t.Epsilon)
	f.positive("clip_norm", t.ClipNorm)
	f.within("skip_spikes", t.SkipSpikes, 0, math.MaxFloat32)
	f.within("fp16_scales", t.FP16Scales, 0, 1)
	f.atLeast("eval_every", t.EvalEvery, 0)
	f.atLeast("patience", t.Patience, 0)
	f.check(t.Patience == 0 || t.EvalEvery > 0, "patience: needs eval_every")
}

// divides checks that the sequences of a micro-batch can be divided among devices.
func (t Training) divides(f faults, devices int) {
	rows := t.BatchSize / max(1, t.MicroBatches)
	f.check(rows%max(1, devices) == 0, "batch_size: the %d sequences of a micro-batch cannot be divided among %d devices; make batch_size/micro_batches a multiple of them",
		rows, devices)
}

func (l Loss) validate(f faults) {
	f.within("lambda", l.Lambda, 0, math.MaxFloat32)
	f.within("gamma", l.Gamma, 0, math.MaxFloat32)
	f.add("logits", l.Logits.Validate())
	f.oneOf("positions", l.Positions, "answer", "all")
	r := l.Relations
	if r.SplitHeads == 0 {
		r.SplitHeads = 1 // chosen once the widths are known
	}
	f.add("relations", r.Validate())
}

// faults collects what is wrong with a config; path stands in front of the names of the struct that is being checked.
type faults struct {
	all  *[]error
	path string
}

func (f faults) in(name string) faults { return faults{f.all, f.path + name + "."} }

func (f faults) check(ok bool, format string, args ...any) {
	if !ok {
		*f.all = append(*f.all, fmt.Errorf(f.path+format, args...))
	}
}

// add takes over the faults that the field's own Validate found.
func (f faults) add(name string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			f.add(name, e)
		}
		return
	}
	f.in(name).check(err == nil, "%w", err)
}

func (f faults) oneOf(name, value string, allowed ...string) {
	f.check(slices.Contains(allowed, value), "%s: %q is not one of %s", name, value, strings.Join(allowed, ", "))
}

func (f faults) atLeast(name string, value, least int) {
	f.check(value >= least, "%s: %d, want at least %d", name, value, least)
}

func (f faults) positive(name string, value float64) {
	f.check(value > 0 && !math.IsInf(value, 1), "%s: %g, want a positive number", name, value)
}

func (f faults) within(name string, value, low, high float64) {
	f.check(value >= low && value <= high, "%s: %g, want a number from %g to %g", name, value, low, high)
}
