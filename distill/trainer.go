package distill

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// maxSkips is the number of updates skipped in a row, since loss or gradient was not finite, that ends a training.
const maxSkips = 3

// ErrInterrupted is returned, wrapped, when the context ends while a stage runs. A checkpoint is left behind.
var ErrInterrupted = errors.New("interrupted")

// trainer runs the training of one stage, from the start or from its newest checkpoint.
type trainer struct {
	backend   compute.Backend
	device    string // its name: go, xla:cpu, xla:cuda
	label     string // in log lines: Teacher, FP16-SFT, BitNet-SFT, Stage-2, Stage-3
	config    Config
	training  Training
	model     *hf.Model
	teacher   *hf.Model // nil without distillation
	objective objective
	source    data.Source // its batches are micro-batches
	inputs    inputs      // what the source was made from
	total     int         // optimizer steps
	// score judges the model on a selection split, higher is better; nil keeps the last weights.
	score       func(ctx context.Context) (float64, error)
	checkpoints *checkpoints
	log         *runLog

	devices devices
	stepper *stepper
	ternary *ternaryCounter
	state   trainState
}

// trainState is what a training is at, besides weights and moments. The order of the data is a function of seed and
// step, so the step is the data position as well.
type trainState struct {
	Step      int       `json:"step"`              // optimizer steps done, skipped ones included
	Tokens    int64     `json:"tokens"`            // real tokens seen
	Seconds   float64   `json:"seconds"`           // spent in steps
	Skipped   int       `json:"skipped"`           // updates skipped because of a non-finite loss or gradient, or a spike
	Spikes    int       `json:"spikes"`            // of them, those with a spike
	InARow    int       `json:"skipped_in_a_row"`  // of the others, the last ones
	Window    spikes    `json:"window,omitzero"`   // what spikes are told by
	Watch     *watch    `json:"watch,omitempty"`   // of ternary codes, where they are counted
	Best      *bestMark `json:"best,omitempty"`    // of the evaluations on the selection split
	Worse     int       `json:"worse"`             // evaluations since the best
	Data      string    `json:"data"`              // fingerprint of the data and their order
	Inputs    inputs    `json:"inputs,omitempty"`  // what they were made from
	Stopped   bool      `json:"stopped,omitempty"` // ended early: no better evaluation within the patience
	Evaluated int       `json:"evaluated"`         // step of the last evaluation
	Backend   string    `json:"backend"`           // that computed the steps; all of them, if it was changed
}

// bestMark is the best evaluation so far.
type bestMark struct {
	Step  int     `json:"step"`
	Score float64 `json:"score"`
}

// run trains until the last step, leaving the weights to keep in the model, and returns what it took.
func (t *trainer) run(ctx context.Context) (trainState, error) {
	if longest, most := slices.Max(t.source.Lengths()), t.model.Config.MaxPositions; longest > most {
		return t.state, wrongInput("%s: sequences of %d tokens, but the model was made for %d (max_position_embeddings); lower task.max_length or corpus.length", t.label, longest, most)
	}
	var err error
	if t.devices, err = newDevices(t.backend, t.config.Devices); err != nil {
		return t.state, err
	}
	store, err := t.workingStore()
	if err != nil {
		return t.state, err
	}
	t.state = trainState{Data: t.fingerprint(), Inputs: t.inputs, Backend: t.device}
	if err := t.resume(store); err != nil {
		return t.state, err
	}
	if err := t.devices.spread(store, t.model.Config.Tensors()); err != nil {
		return t.state, err
	}
	t.roundScales()
	t.log.forget(t.label, t.state.Step)
	t.log.begin(t.label, t.total, t.state)
	defer t.log.end()
	if err := t.build(store); err != nil {
		return t.state, err
	}
	if t.evaluationDue() { // the context ended while the last step was being evaluated
		if err := t.evaluate(ctx); err != nil {
			return t.state, err
		}
	}
	debug.FreeOSMemory() // what loading and compiling left
	for t.state.Step < t.total && !t.state.Stopped {
		if t.roundScales() {
			t.stepper.close()
			if err := t.build(store); err != nil {
				return t.state, err
			}
		}
		if err := t.step(ctx); err != nil {
			return t.state, err
		}
	}
	if t.training.FP16Scales > 0 {
		t.model.Config.Quantization.FP16Scales = true // also where the training ended before its time
	}
	return t.state, t.keepBest(store)
}

// build makes what computes steps and counts codes, for the model as its config now says.
func (t *trainer) build(store *model.Store) (err error) {
	if t.stepper, err = newStepper(t.devices, store, t.model.Config, t.objective, t.training); err != nil {
		return err
	}
	if t.model.Config.Quantization.IsTernary() && t.config.TernaryEvery > 0 {
		counter := newTernaryCounter(t.backend, store, t.model.Config)
		if t.ternary != nil {
			counter.codes = t.ternary.codes
		}
		t.ternary = counter
		if t.state.Watch == nil {
			t.state.Watch = &watch{}
		}
	}
	if backend.Interprets(t.backend) || t.state.Step >= t.total || t.state.Stopped {
		return nil
	}
	first, err := t.ofEachLength()
	if err != nil {
		return err
	}
	return t.stepper.compile(first)
}

// roundScales has the scales rounded from now on when it is time, and reports whether that is so since this call. It changes the
// function of the model a little, so that what was the best before counts no more.
func (t *trainer) roundScales() bool {
	q := &t.model.Config.Quantization
	first := t.total - int(math.Ceil(t.training.FP16Scales*float64(t.total)))
	if t.training.FP16Scales == 0 || t.state.Step < first || q.FP16Scales {
		return false
	}
	q.FP16Scales = true
	if t.state.Step == first {
		t.log.printf("%s Step %d: from here on the scales of the weights are rounded to float16", t.label, first)
		t.state.Best, t.state.Worse = nil, 0
	}
	return true
}

// workingStore is the model's store with the teacher's weights beside them.
func (t *trainer) workingStore() (*model.Store, error) {
	if t.teacher == nil {
		return t.model.Store, nil
	}
	store := t.model.Store
	for _, tensor := range t.teacher.Config.Tensors() {
		value, err := t.teacher.Store.GetVariable(tensor.Path()).Value()
		if err != nil {
			return nil, err
		}
		v, err := store.CreateVariable("/"+teacherScope+tensor.Path(), value)
		if err != nil {
			return nil, err
		}
		v.SetTrainable(false)
	}
	return store, nil
}

// step computes one optimizer step, logs it, evaluates and saves when it is time. If the context has ended, it saves and
// returns ErrInterrupted instead; a step under way is then left out, and a resumed training computes it again.
func (t *trainer) step(ctx context.Context) error {
	if ctx.Err() != nil {
		return t.interrupted(ctx)
	}
	began := time.Now()
	batches, err := t.batches(t.state.Step)
	if err != nil {
		return err
	}
	most := t.state.Window.limit(t.training.SkipSpikes)
	losses, norm, grads, err := t.stepper.gradients(ctx, batches)
	defer release(grads)
	if ctx.Err() != nil { // the update is not made: the saved state is that of the step before
		return t.interrupted(ctx)
	}
	if err != nil {
		return err
	}
	rate := t.training.rate(t.state.Step, t.total)
	if err := t.update(losses, norm, grads, rate, most); err != nil {
		return err
	}
	t.state.Step++
	for _, b := range batches {
		t.state.Tokens += int64(b.Tokens)
	}
	t.state.Seconds += time.Since(began).Seconds()
	return t.afterStep(ctx, losses, norm, rate)
}

// batches are the micro-batches of a step.
func (t *trainer) batches(step int) ([]*data.Batch, error) {
	batches := make([]*data.Batch, t.training.MicroBatches)
	for i := range batches {
		batches[i] = t.source.Batch(step*len(batches) + i)
		if err := batches[i].Err; err != nil {
			return nil, err
		}
	}
	return batches, nil
}

// ofEachLength is the first batch to come of each length.
func (t *trainer) ofEachLength() ([]*data.Batch, error) {
	var first []*data.Batch
	missing := t.source.Lengths()
	for i := t.state.Step * t.training.MicroBatches; i < t.total*t.training.MicroBatches && len(missing) > 0; i++ {
		b := t.source.Batch(i)
		if b.Err != nil {
			return nil, b.Err
		}
		if at := slices.Index(missing, b.Length); at >= 0 {
			first, missing = append(first, b), slices.Delete(missing, at, at+1)
		}
	}
	return first, nil
}

// update applies the gradients, or skips them when loss or gradient is beyond the limit or not finite.
func (t *trainer) update(losses terms, norm float64, grads []*tensors.Tensor, rate float64, most limit) error {
	if t.training.SkipSpikes > 0 {
		t.state.Window.add(losses.Total, norm)
	}
	if most.allows(losses.Total, norm) {
		t.state.InARow = 0
		if t.state.Watch != nil {
			t.state.Watch.step(norm)
		}
		return t.stepper.apply(grads, norm, rate)
	}
	t.state.Skipped++
	if noLimit.allows(losses.Total, norm) {
		t.state.Spikes++
		t.state.InARow = 0
		t.log.printf("%s Step %d: loss %.4g (limit %.4g), gradient norm %.4g (limit %.4g): a spike, update skipped (%d so far)",
			t.label, t.state.Step+1, losses.Total, most.loss, norm, most.norm, t.state.Skipped)
		return nil
	}
	t.state.InARow++
	t.log.printf("%s Step %d: loss %g, gradient norm %g: update skipped (%d so far)", t.label, t.state.Step+1, losses.Total, norm, t.state.Skipped)
	if t.state.InARow >= maxSkips {
		return fmt.Errorf("%s step %d: loss or gradient was not finite %d times in a row; lower learning_rate (now %g), raise warmup, or look for odd values in the data",
			t.label, t.state.Step+1, maxSkips, t.training.LearningRate)
	}
	return nil
}

// afterStep logs, evaluates and saves.
func (t *trainer) afterStep(ctx context.Context, losses terms, norm, rate float64) error {
	step := t.state.Step
	if skipped := t.state.InARow > 0; !skipped && (t.due(t.config.LogEvery) || step == 1) {
		t.log.step(t.record(losses, norm, rate))
	}
	if t.ternary != nil && (t.due(t.config.TernaryEvery) || step == 1) {
		counts, err := t.ternary.count()
		if err != nil {
			return err
		}
		if err := t.recall(); err != nil {
			return err
		}
		sum, scale := t.log.ternary(t.label, step, counts)
		for _, hint := range t.state.Watch.count(sum, scale, step, t.total, rate, t.training) {
			t.log.hint(t.label, step, hint)
		}
	}
	if t.evaluationDue() {
		if err := t.evaluate(ctx); err != nil {
			return err
		}
	}
	// The last step is always saved: what follows, such as measuring perplexity, may be interrupted.
	if t.due(t.config.CheckpointEvery) || step == t.total || t.state.Stopped {
		if err := t.checkpoints.save(t.stepper.store, t.model.Config, t.state); err != nil {
			return err
		}
	}
	return t.log.err
}

// due reports whether it is time for what happens every so many steps, and after the last one.
func (t *trainer) due(every int) bool {
	return every > 0 && (t.state.Step%every == 0 || t.state.Step == t.total)
}

// evaluationDue reports whether the model at this step is to be evaluated, and has not been.
func (t *trainer) evaluationDue() bool {
	return t.score != nil && t.state.Step > t.state.Evaluated && t.due(t.training.EvalEvery)
}

// evaluate scores the model on the selection split, and keeps its weights if they are the best.
func (t *trainer) evaluate(ctx context.Context) error {
	score, err := t.score(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return t.interrupted(ctx)
		}
		return err
	}
	if err := t.recall(); err != nil {
		return err
	}
	t.state.Evaluated = t.state.Step
	t.state.Worse++
	if t.state.Best == nil || score > t.state.Best.Score {
		t.state.Best, t.state.Worse = &bestMark{t.state.Step, score}, 0
		if err := t.checkpoints.saveBest(t.stepper.store, t.model.Config, t.state); err != nil {
			return err
		}
	}
	t.log.evaluation(t.label, t.state.Step, score, *t.state.Best)
	if t.training.Patience > 0 && t.state.Worse >= t.training.Patience {
		t.log.printf("%s Step %d: %d evaluations without a better one, stopping early", t.label, t.state.Step, t.state.Worse)
		t.state.Stopped = true
	}
	return nil
}

// recall takes the weights back that evaluations and counts, which are made on one device, have put there.
func (t *trainer) recall() error {
	return t.devices.recall(t.stepper.store, t.model.Config.Tensors())
}

// keepBest puts the best weights back into the model, and takes from its store all that only the training needed.
func (t *trainer) keepBest(store *model.Store) error {
	if err := t.devices.gather(store, t.model.Config.Tensors()); err != nil {
		return err
	}
	if t.state.Best != nil && t.state.Best.Step != t.state.Step {
		t.log.printf("%s: keeping the weights of step %d, the best on the selection split (%.4f)", t.label, t.state.Best.Step, t.state.Best.Score)
		if err := t.checkpoints.loadBest(store, t.model.Config, *t.state.Best); err != nil {
			return err
		}
	}
	return dropOthers(store, t.model.Config)
}

// interrupted saves a checkpoint and reports the end of the context.
func (t *trainer) interrupted(ctx context.Context) error {
	if err := t.checkpoints.save(t.stepper.store, t.model.Config, t.state); err != nil {
		return errors.Join(fmt.Errorf("%s: %w at step %d", t.label, ErrInterrupted, t.state.Step), err)
	}
	return fmt.Errorf("%s: %w at step %d of %d (%w); a checkpoint is saved", t.label, ErrInterrupted, t.state.Step, t.total, context.Cause(ctx))
}

// resume restores the newest checkpoint that is whole, if there is one.
func (t *trainer) resume(store *model.Store) error {
	state, found, err := t.checkpoints.load(store, t.model.Config, t.log.printf)
	if err != nil || !found {
		return err
	}
	if state.Data != t.state.Data {
		return t.otherData(state)
	}
	t.log.resumed(t.label, state)
	if !slices.Contains(strings.Split(state.Backend, ", "), t.device) {
		t.log.printf("warning: the steps so far were computed on backend %s, the next ones are on %s; the result equals that of neither alone", state.Backend, t.device)
		state.Backend += ", " + t.device
	}
	t.state = state
	return nil
}

// record is a step as the log and metrics.jsonl have it.
func (t *trainer) record(losses terms, norm, rate float64) Step {
	r := Step{
		Stage: t.label, Step: t.state.Step, Steps: t.total, Epoch: t.source.Epoch(t.state.Step * t.training.MicroBatches),
		Loss: losses.Total, LearningRate: rate, GradientNorm: norm, Tokens: t.state.Tokens, Seconds: t.state.Seconds, Skipped: t.state.Skipped,
	}
	if t.teacher != nil {
		l := t.objective.loss
		r.distilled(losses, l.Lambda, l.Gamma)
	}
	return r
}
