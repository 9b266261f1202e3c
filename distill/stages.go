package distill

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/embedded"
	"github.com/bitdistill/bitdistill/distill/eval"
	"github.com/bitdistill/bitdistill/distill/loss"
	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// Folders of a run in which the stages leave their models, and the labels of trainings and models in logs, metrics and results.
const (
	TeacherDir   = "teacher"
	FullDir      = "fp16-sft"
	BitNetDir    = "bitnet-sft"
	Stage1Dir    = "stage1"
	Stage2Dir    = "stage2"
	StudentDir   = "student"
	TeacherLabel = "Teacher"
	FullLabel    = "FP16-SFT"
	BitNetLabel  = "BitNet-SFT"
	Stage2Label  = "Stage-2"
	Stage3Label  = "Stage-3"
	StudentLabel = "BitDistill"
)

// Summary is what a stage's training.json holds.
type Summary struct {
	Stage        string           `json:"stage"`
	Training     *Training        `json:"training,omitempty"` // absent where nothing was trained
	Loss         *Loss            `json:"loss,omitempty"`     // of stage 3
	Steps        int              `json:"steps"`
	Tokens       int64            `json:"tokens"` // real tokens trained on
	Seconds      float64          `json:"seconds"`
	TokensPerS   float64          `json:"tokens_per_s"`
	Skipped      int              `json:"skipped"`         // updates that were not made
	Spikes       int              `json:"spikes"`          // of them, those whose loss or gradient was finite
	Hints        []string         `json:"hints,omitempty"` // signs that settings are wrong for ternary weights
	StoppedEarly bool             `json:"stopped_early"`
	Backend      string           `json:"backend,omitempty"`
	Best         *bestMark        `json:"best,omitempty"`
	Before       *eval.Perplexity `json:"perplexity_before,omitempty"` // of stage 2
	After        *eval.Perplexity `json:"perplexity_after,omitempty"`
	Origin       string           `json:"origin,omitempty"` // of a teacher that was given
}

// skip reports whether a stage's folder is there already.
func (r *Run) skip(name string) (bool, error) {
	ok, err := r.done(name)
	if ok {
		r.log.printf("%s: already there", r.path(name))
	}
	return ok, err
}

// Teacher puts the teacher into teacher/: the model that the config names, or the pretrained model fine-tuned on the
// task in full precision.
func (r *Run) Teacher(ctx context.Context) error {
	if ok, err := r.skip(TeacherDir); ok || err != nil {
		return err
	}
	if _, err := r.sources.tokenizer(ctx); err != nil {
		return err
	}
	base := r.sources.base
	if r.Config.Teacher == "" {
		if err := r.Config.checkTeacher(base, base); err != nil {
			return err
		}
		return r.fineTune(ctx, TeacherDir, TeacherLabel, bitnet.Full(), r.Config.FineTune)
	}
	teacher, err := readModel(ctx, r.sources.fetch, r.Config.Teacher, embedded.Teacher, hf.Load)
	if err != nil {
		return err
	}
	if err := r.Config.checkTeacher(teacher, base); err != nil {
		return err
	}
	return r.keep(TeacherDir, teacher, Summary{Stage: TeacherLabel, Origin: r.Config.Teacher})
}

// Baseline trains the models that the student is judged against: FP16-SFT, in full precision, unless the teacher was
// trained that way, and BitNet-SFT, ternary on the task at once.
func (r *Run) Baseline(ctx context.Context) error {
	if r.Config.Teacher != "" {
		if ok, err := r.skip(FullDir); err != nil {
			return err
		} else if !ok {
			if err := r.fineTune(ctx, FullDir, FullLabel, bitnet.Full(), r.Config.FineTune); err != nil {
				return err
			}
		}
	}
	if ok, err := r.skip(BitNetDir); ok || err != nil {
		return err
	}
	return r.fineTune(ctx, BitNetDir, BitNetLabel, r.Config.directQuantization(), r.Config.BitNetSFT)
}

// directQuantization is that of BitNet-SFT: the student's, without SubLN.
func (c Config) directQuantization() bitnet.Quantization {
	return bitnet.Quantization{Weights: c.Student.Weights, FP16Scales: c.Student.FP16Scales, SubLN: bitnet.SubLNNone}
}

// Stage1 makes the student: linears turned ternary, SubLN inserted with weights of 1, all other weights unchanged.
func (r *Run) Stage1(ctx context.Context) error {
	if ok, err := r.skip(Stage1Dir); ok || err != nil {
		return err
	}
	base, err := r.sources.model(ctx)
	if err != nil {
		return err
	}
	student, err := Convert(base, r.Config.Student)
	if err != nil {
		return err
	}
	r.log.printf("Stage-1: SubLN %s, %s weights: %d of %d parameters ternary, %d added", r.Config.Student.SubLN, r.Config.Student.Weights,
		student.Config.Parameters(arch.Linear), student.Config.Parameters(), student.Config.Parameters(arch.SubLNorm))
	return r.keep(Stage1Dir, student, Summary{Stage: "Stage-1"})
}

// Convert is stage 1: a model with the given quantization of its linears and SubLN weights of 1. All other weights are
// those of m, and shared with it: once the result is trained, m can no longer be used. m must be in full precision, without
// SubLN.
func Convert(m *hf.Model, q bitnet.Quantization) (*hf.Model, error) {
	cfg, err := studentConfig(m.Config, q)
	if err != nil {
		return nil, err
	}
	store := model.NewStore()
	for _, t := range cfg.Tensors() {
		var value *tensors.Tensor
		if t.Kind == arch.SubLNorm {
			ones := make([]float32, t.Size())
			for i := range ones {
				ones[i] = 1
			}
			value = tensors.FromFlatDataAndDimensions(ones, t.Dims...)
		} else {
			var err error
			if value, err = m.Store.GetVariable(t.Path()).Value(); err != nil {
				return nil, err
			}
		}
		if _, err := store.CreateVariable(t.Path(), value); err != nil {
			return nil, err
		}
	}
	return m.With(cfg, store), nil
}

// studentConfig is the config of a full-precision model once its linears are quantized.
func studentConfig(c arch.Config, q bitnet.Quantization) (arch.Config, error) {
	if have := c.Quantization; have != bitnet.Full() {
		return c, wrongInput("the model is quantized already (%s weights, SubLN %s); start from a full-precision one", have.Weights, have.SubLN)
	}
	c.Quantization = q
	if err := c.Validate(); err != nil {
		return c, inputError{err}
	}
	return c, nil
}

// Stage2 trains the student on the corpus, and measures its perplexity on windows set aside before and after.
func (r *Run) Stage2(ctx context.Context) error {
	if ok, err := r.skip(Stage2Dir); ok || err != nil {
		return err
	}
	student, err := r.load(Stage1Dir, "1")
	if err != nil {
		return err
	}
	text, err := r.corpus(ctx)
	if err != nil {
		return err
	}
	judge := keptFor(student, func() (*eval.LanguageModel, error) {
		return eval.NewLanguageModel(r.choice.Backend, student.Config, student.Store, r.Config.EvalBatchSize)
	})
	perplexity := func(ctx context.Context, windows *data.Corpus) (eval.Perplexity, error) {
		j, err := judge()
		if err != nil {
			return eval.Perplexity{}, err
		}
		j.Progress = r.log.progress(Stage2Label + ": perplexity")
		return j.Perplexity(ctx, windows)
	}
	before, err := perplexity(ctx, text.report)
	if err != nil {
		return err
	}
	tr, err := r.corpusTrainer(student, text, perplexity)
	if err != nil {
		return err
	}
	summary, err := r.train(ctx, tr)
	if err != nil {
		return err
	}
	after, err := perplexity(ctx, text.report)
	if err != nil {
		return err
	}
	summary.Before, summary.After = &before, &after
	r.log.printf("Stage-2: perplexity %.2f before, %.2f after (%d tokens set aside)", before.Perplexity, after.Perplexity, after.Tokens)
	return r.keep(Stage2Dir, student, summary)
}

// corpus opens the corpus, and notes which commits of the hub it is of.
func (r *Run) corpus(ctx context.Context) (*corpusParts, error) {
	r.sources.begun = r.corpusBegun()
	text, err := r.sources.text(ctx, r.log)
	if err != nil {
		return nil, err
	}
	return text, r.noteHub()
}

// corpusTrainer is a trainer on the corpus. The perplexity of its student is its score where windows are set aside for that.
func (r *Run) corpusTrainer(student *hf.Model, text *corpusParts, perplexity func(context.Context, *data.Corpus) (eval.Perplexity, error)) (*trainer, error) {
	t := r.Config.Stage2.inParts(backend.MicroBatches(r.choice.Backend))
	source, err := text.source(t.BatchSize/t.MicroBatches, r.Config.Seed)
	if err != nil {
		return nil, inputError{err}
	}
	tr := r.trainer(Stage2Dir, Stage2Label, student, t, source)
	tr.inputs = text.inputs
	if text.selection != nil {
		tr.score = func(ctx context.Context) (float64, error) {
			p, err := perplexity(ctx, text.selection)
			return -p.NLL, err
		}
	}
	return tr, nil
}

// Stage3 trains the student on the task against the teacher, from where stage 2 left it: all weights, those of SubLN
// too, are taken over.
func (r *Run) Stage3(ctx context.Context) error {
	if ok, err := r.skip(StudentDir); ok || err != nil {
		return err
	}
	student, err := r.load(Stage2Dir, "2")
	if err != nil {
		return err
	}
	teacher, err := r.load(TeacherDir, "teacher")
	if err != nil {
		return err
	}
	l, err := r.Config.Loss.resolve(student.Config, teacher.Config)
	if err != nil {
		return err
	}
	examples, err := r.sources.taskData(ctx, r.log)
	if err != nil {
		return err
	}
	tr, err := r.taskTrainer(StudentDir, Stage3Label, student, r.Config.Stage3, examples)
	if err != nil {
		return err
	}
	tr.teacher = teacher
	tr.objective.teacher, tr.objective.loss = &teacher.Config, l
	summary, err := r.train(ctx, tr)
	if err != nil {
		return err
	}
	summary.Loss = &l
	return r.keep(StudentDir, student, summary)
}

// resolve chooses what depends on the models: the layer's number and the relation heads. Impossible ones are refused.
func (l Loss) resolve(student, teacher arch.Config) (Loss, error) {
	var err error
	if l.Layer, err = student.Layer(l.Layer); err != nil {
		return l, wrongInput("loss.layer: %w; -1 is the last block (--set loss.layer=-1)", err)
	}
	if student.Layers != teacher.Layers {
		return l, wrongInput("teacher: has %d layers, the student %d; relations are compared layer by layer", teacher.Layers, student.Layers)
	}
	for _, c := range []arch.Config{student, teacher} {
		if l.Relations.SplitHeads == 0 {
			l.Relations.SplitHeads = loss.DefaultSplitHeads(c.KVHeads * c.HeadDim)
		}
		if err := loss.CheckSplit(l.Relations.SplitHeads, c.Heads*c.HeadDim, c.KVHeads*c.HeadDim); err != nil {
			return l, wrongInput("loss.relations.%w", err)
		}
	}
	return l, nil
}

// fineTune trains the pretrained model on the task with cross entropy alone.
func (r *Run) fineTune(ctx context.Context, dir, label string, q bitnet.Quantization, t Training) error {
	m, err := r.sources.model(ctx)
	if err != nil {
		return err
	}
	if q.IsTernary() {
		if m, err = Convert(m, q); err != nil {
			return err
		}
	}
	examples, err := r.sources.taskData(ctx, r.log)
	if err != nil {
		return err
	}
	tr, err := r.taskTrainer(dir, label, m, t, examples)
	if err != nil {
		return err
	}
	summary, err := r.train(ctx, tr)
	if err != nil {
		return err
	}
	return r.keep(dir, m, summary)
}

// taskTrainer is a trainer on the task's examples.
func (r *Run) taskTrainer(dir, label string, m *hf.Model, t Training, e *taskExamples) (*trainer, error) {
	t = t.inParts(backend.MicroBatches(r.choice.Backend))
	source, err := data.NewTraining(e.train, data.TrainingOptions{
		Rows: t.BatchSize / t.MicroBatches, Run: t.MicroBatches, Seed: r.Config.Seed,
		Buckets: cmp.Or(r.Config.Task.LengthBuckets, backend.PaddedLengths(r.choice.Backend)),
	})
	if err != nil {
		return nil, inputError{err}
	}
	tr := r.trainer(dir, label, m, t, source)
	tr.objective.answers, tr.inputs = true, e.inputs
	if e.selection != nil && t.EvalEvery > 0 {
		judge := keptFor(m, func() (judge, error) { return r.judge(m) })
		tr.score = func(ctx context.Context) (float64, error) {
			j, err := judge()
			if err != nil {
				return 0, err
			}
			return j.score(ctx, e.selection)
		}
	}
	return tr, nil
}

// keptFor returns what build makes for a model, and builds it anew once a training has changed how the model computes.
func keptFor[J any](m *hf.Model, build func() (J, error)) func() (J, error) {
	var kept J
	var of bitnet.Quantization // the zero value is of no model
	return func() (J, error) {
		if of == m.Config.Quantization {
			return kept, nil
		}
		made, err := build()
		if err == nil {
			kept, of = made, m.Config.Quantization
		}
		return made, err
	}
}

func (r *Run) trainer(dir, label string, m *hf.Model, t Training, source data.Source) *trainer {
	return &trainer{
		backend: r.choice.Backend, device: deviceName(r.choice.Name, r.Config.Devices), label: label, config: r.Config, training: t, model: m, source: source, log: r.log,
		checkpoints: &checkpoints{dir: r.path(checkpointsDir, dir)},
	}
}

// train runs a trainer for as many steps as its settings come to.
func (r *Run) train(ctx context.Context, tr *trainer) (Summary, error) {
	tr.total = tr.training.totalSteps(tr.source)
	state, err := tr.run(ctx)
	if err != nil {
		return Summary{}, err
	}
	if odd := state.Skipped - state.Spikes; odd > 0 {
		r.log.printf("warning: %s: %d of %d updates were skipped, since loss or gradient was not finite; the model may be spoilt", tr.label, odd, state.Step)
	}
	if state.Spikes > 0 {
		r.log.printf("%s: %d of %d updates were skipped as spikes of loss or gradient (skip_spikes=%g)", tr.label, state.Spikes, state.Step, tr.training.SkipSpikes)
	}
	var hints []string
	if state.Watch != nil {
		hints = state.Watch.Hints
	}
	return Summary{
		Stage: tr.label, Training: &tr.training, Steps: state.Step, Tokens: state.Tokens, Seconds: state.Seconds,
		TokensPerS: float64(state.Tokens) / math.Max(state.Seconds, 1e-9), Skipped: state.Skipped, Spikes: state.Spikes, Hints: hints, StoppedEarly: state.Stopped, Best: state.Best, Backend: state.Backend,
	}, nil
}

// inParts is the training with a number of micro-batches: its own, or as many of those proposed as divide the batch.
func (t Training) inParts(proposed int) Training {
	if t.MicroBatches == 0 {
		for t.MicroBatches = proposed; t.BatchSize%t.MicroBatches != 0; {
			t.MicroBatches--
		}
	}
	return t
}

// totalSteps is the number of optimizer steps that a training comes to on a source of micro-batches.
func (t Training) totalSteps(source data.Source) int {
	switch {
	case t.Steps > 0:
		return t.Steps
	case t.Epochs > 0:
		perStep := source.Epoch(t.MicroBatches)
		return max(1, int(math.Round(t.Epochs/perStep)))
	}
	perStep := int64(t.BatchSize) * int64(source.Lengths()[0])
	if padded, ok := source.(interface{ Fill() float64 }); ok && padded.Fill() < 1 {
		perStep = max(1, int64(math.Round(float64(perStep)*padded.Fill())))
	}
	return max(1, int((int64(t.Tokens)+perStep-1)/perStep))
}

// corpusTokens is how much of a corpus in windows of a length a training can use; 0 is all of it.
func (t Training) corpusTokens(length int) int64 {
	if t.Steps > 0 {
		return int64(t.Steps) * int64(t.BatchSize) * int64(length)
	}
	return int64(t.Tokens)
}

// fingerprint is what a checkpoint must agree with to be gone on from: data, their order, and the settings of the training.
// The number of micro-batches may change, as it does with the backend, and what is computed anew to save memory.
func (t *trainer) fingerprint() string {
	training := t.training
	training.MicroBatches, training.Remat = 0, false
	settings, err := json.Marshal(struct {
		Training Training
		Loss     Loss
		Model    arch.Config
	}{training, t.objective.loss, t.model.Config})
	if err != nil {
		return fmt.Sprint(err) // settings hold numbers and strings only
	}
	return t.source.Fingerprint() + " " + string(settings)
}
