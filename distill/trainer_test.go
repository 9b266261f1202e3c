package distill

import (
	"context"
	"errors"
	"maps"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/embedded"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
	"github.com/gomlx/gomlx/core/tensors"
)

// testSteps are more than two epochs of the data below, of 3.5 and 3.25 steps.
const testSteps = 8

// testTrainings make a trainer of each kind that a run has, on tiny models. Trainers of one kind are equal, and share nothing but
// the folder with their checkpoints.
var testTrainings = map[string]func(t testing.TB, dir string) *trainer{
	FullLabel: func(t testing.TB, dir string) *trainer {
		return taskTraining(t, dir, FullLabel, tinyModel(t, 1), nil)
	},
	BitNetLabel: func(t testing.TB, dir string) *trainer {
		return taskTraining(t, dir, BitNetLabel, tinyStudent(t, 1, bitnet.SubLNNone), nil)
	},
	Stage2Label: func(t testing.TB, dir string) *trainer {
		all := taleWindows(t, 20)
		text, _, err := all.Split(all.Len() - 13)
		if err != nil {
			t.Fatal(err)
		}
		source, err := data.NewPacked(text, 2, 1)
		if err != nil {
			t.Fatal(err)
		}
		return newTraining(t, dir, Stage2Label, tinyStudent(t, 1, bitnet.SubLNOutput), source)
	},
	Stage3Label: func(t testing.TB, dir string) *trainer {
		return taskTraining(t, dir, Stage3Label, tinyStudent(t, 1, bitnet.SubLNOutput), tinyModel(t, 2))
	},
}

func newTraining(t testing.TB, dir, label string, m *hf.Model, source data.Source) *trainer {
	return &trainer{
		backend: backendtest.Open(t), label: label, config: Config{LogEvery: 1}, training: quick(testSteps), model: m, source: source,
		total: testSteps, checkpoints: &checkpoints{dir: dir}, log: newJournal(t).log,
	}
}

func taskTraining(t testing.TB, dir, label string, m, teacher *hf.Model) *trainer {
	source, err := data.NewTraining(reviewExamples(t, embedded.Task(), 14), data.TrainingOptions{Rows: 2, Buckets: 2, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	tr := newTraining(t, dir, label, m, source)
	tr.objective.answers = true
	if teacher != nil {
		tr.teacher, tr.objective.teacher, tr.objective.loss = teacher, &teacher.Config, testLoss("answer")
	}
	return tr
}

// of makes a trainer log into a journal.
func (j *journal) of(tr *trainer) *trainer {
	tr.log = j.log
	return tr
}

// finish runs a trainer to its end.
func finish(t testing.TB, tr *trainer) (trainState, map[string][]float32) {
	t.Helper()
	state, err := tr.run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for v := range othersOf(tr.model.Store, tr.model.Config) {
		t.Errorf("the training left variable %s behind", v.Path())
	}
	return state, weights(t, tr.model.Config, tr.model.Store)
}

// cancelling ends a context when a certain micro-batch is fetched.
type cancelling struct {
	data.Source
	at     int
	cancel func()
}

func (c cancelling) Batch(step int) *data.Batch {
	if step == c.at {
		c.cancel()
	}
	return c.Source.Batch(step)
}

// interruptAt runs a trainer until a micro-batch, where its context ends.
func interruptAt(t testing.TB, tr *trainer, microBatch int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	tr.source = cancelling{tr.source, microBatch, cancel}
	state, err := tr.run(ctx)
	if !errors.Is(err, ErrInterrupted) || !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want an interruption", err)
	}
	if want := microBatch / tr.training.MicroBatches; state.Step != want {
		t.Errorf("interrupted at step %d, want %d", state.Step, want)
	}
}

// Interrupted again and again, between steps and in the midst of one, across the ends of epochs, a training ends with the same
// bits as without, and has logged the same losses.
func TestResume(t *testing.T) {
	for label, begin := range testTrainings {
		t.Run(label, func(t *testing.T) {
			whole := newJournal(t)
			wantState, want := finish(t, whole.of(begin(t, t.TempDir())))
			dir, parts := t.TempDir(), newJournal(t)
			for _, microBatch := range []int{0, 3, 8, 9, 15} {
				interruptAt(t, parts.of(begin(t, dir)), microBatch)
			}
			state, got := finish(t, parts.of(begin(t, dir)))
			sameBits(t, "weights", got, want)
			if state.Seconds, wantState.Seconds = 0, 0; !reflect.DeepEqual(state, wantState) {
				t.Errorf("state %+v, want %+v", state, wantState)
			}
			if state.Step != testSteps || state.Tokens == 0 {
				t.Errorf("state %+v", state)
			}
			logged, wantLogged := parts.steps(t), whole.steps(t)
			if len(wantLogged) != testSteps || !maps.EqualFunc(logged, wantLogged, maps.Equal[map[string]any, map[string]any]) {
				t.Errorf("logged %v\nwant %v", logged, wantLogged)
			}
			if !strings.Contains(parts.text.String(), "going on from the checkpoint at step 7") {
				t.Errorf("the log does not say where it goes on:\n%s", &parts.text)
			}
		})
	}
}

// graded gives a trainer scores by step, and keeps the weights that were scored.
func graded(t testing.TB, tr *trainer, scores map[int]float64) (seen map[int]map[string][]float32) {
	seen = map[int]map[string][]float32{}
	tr.training.EvalEvery = 2
	tr.score = func(ctx context.Context) (float64, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		seen[tr.state.Step] = weights(t, tr.model.Config, tr.model.Store)
		return scores[tr.state.Step], nil
	}
	return seen
}

// The best weights on the selection split are kept, also when the training is interrupted after them or while they are judged.
func TestBestIsKept(t *testing.T) {
	scores := map[int]float64{2: 0.5, 4: 0.8, 6: 0.8, 8: 0.7}
	begin := testTrainings[Stage3Label]
	whole := begin(t, t.TempDir())
	seen := graded(t, whole, scores)
	state, want := finish(t, whole)
	if state.Best == nil || *state.Best != (bestMark{4, 0.8}) {
		t.Errorf("best is %+v", state.Best)
	}
	sameBits(t, "weights of the best", want, seen[4])
	if steps := slices.Sorted(maps.Keys(seen)); !slices.Equal(steps, []int{2, 4, 6, 8}) {
		t.Errorf("evaluated at %v", steps)
	}

	dir := t.TempDir()
	for _, microBatch := range []int{5, 11} {
		tr := begin(t, dir)
		graded(t, tr, scores)
		interruptAt(t, tr, microBatch)
	}
	tr := begin(t, dir)
	graded(t, tr, scores)
	_, got := finish(t, tr)
	sameBits(t, "weights after interruptions", got, want)

	for _, step := range []int{2, 4, 8} { // while it is evaluated
		dir := t.TempDir()
		tr := begin(t, dir)
		graded(t, tr, scores)
		ctx, cancel := context.WithCancel(context.Background())
		judge := tr.score
		tr.score = func(ctx context.Context) (float64, error) {
			if tr.state.Step == step {
				cancel()
			}
			return judge(ctx)
		}
		if _, err := tr.run(ctx); !errors.Is(err, ErrInterrupted) {
			t.Fatal(err)
		}
		tr = begin(t, dir)
		seen := graded(t, tr, scores)
		state, got := finish(t, tr)
		if *state.Best != (bestMark{4, 0.8}) || seen[step] == nil {
			t.Errorf("interrupted at step %d: best is %+v", step, state.Best)
		}
		sameBits(t, "weights after an interrupted evaluation", got, want)
	}
}

// A training ends when the score has not risen for as many evaluations as it has patience, and is not gone on with.
func TestPatience(t *testing.T) {
	scores := map[int]float64{2: 0.5, 4: 0.4, 6: 0.5, 8: 0.9}
	dir := t.TempDir()
	begin := func() *trainer {
		tr := testTrainings[BitNetLabel](t, dir)
		tr.training.Patience, tr.config.CheckpointEvery = 2, 3
		return tr
	}
	tr := begin()
	seen := graded(t, tr, scores)
	state, got := finish(t, tr)
	if !state.Stopped || state.Step != 6 || state.Best.Step != 2 {
		t.Errorf("state %+v", state)
	}
	sameBits(t, "weights of the best", got, seen[2])
	again := begin()
	seenAgain := graded(t, again, scores)
	state, got = finish(t, again)
	if !state.Stopped || state.Step != 6 || len(seenAgain) != 0 {
		t.Errorf("gone on with: %+v, evaluated at %v", state, slices.Collect(maps.Keys(seenAgain)))
	}
	sameBits(t, "weights of the best, resumed", got, seen[2])
}

// A checkpoint of other data, another order or other settings is refused.
// A training may go on with less memory.
func TestResumeWithRemat(t *testing.T) {
	dir := t.TempDir()
	interruptAt(t, testTrainings[FullLabel](t, dir), 4)
	tr := testTrainings[FullLabel](t, dir)
	tr.training.Remat = true
	state, err := tr.run(t.Context())
	if err != nil || state.Step != testSteps {
		t.Errorf("step %d, %v", state.Step, err)
	}
}

func TestResumeOther(t *testing.T) {
	dir := t.TempDir()
	interruptAt(t, testTrainings[FullLabel](t, dir), 4)
	other := func(change func(*trainer)) error {
		tr := testTrainings[FullLabel](t, dir)
		change(tr)
		_, err := tr.run(context.Background())
		return err
	}
	source := func(rows int, seed uint64) func(*trainer) {
		return func(tr *trainer) {
			s, err := data.NewTraining(reviewExamples(t, embedded.Task(), rows), data.TrainingOptions{Rows: 2, Buckets: 2, Seed: seed})
			if err != nil {
				t.Fatal(err)
			}
			tr.source = s
		}
	}
	for name, change := range map[string]func(*trainer){
		"rows":     source(13, 1),
		"seed":     source(14, 2),
		"settings": func(tr *trainer) { tr.training.LearningRate *= 2 },
		"model":    func(tr *trainer) { tr.model = tinyStudent(t, 1, bitnet.SubLNNone) },
	} {
		if err := other(change); err == nil {
			t.Errorf("other %s: gone on with", name)
		} else {
			wantError(t, err, dir, "step 2", "other data")
		}
	}
	if err := other(source(14, 1)); err != nil {
		t.Errorf("the same once more: %v", err)
	}
}

// poison sets one weight of the last norm.
func poison(t testing.TB, tr *trainer, value float32) {
	t.Helper()
	name := "model.norm.weight"
	values := weights(t, tr.model.Config, tr.model.Store)[name]
	values[3] = value
	v := tr.model.Store.GetVariable("/" + strings.ReplaceAll(name, ".", "/"))
	if err := v.SetValue(tensors.FromFlatDataAndDimensions(values, len(values))); err != nil {
		t.Fatal(err)
	}
}

// A loss or gradient that is not finite leaves weights and moments as they are and is counted; the third in a row ends the training.
func TestNotFinite(t *testing.T) {
	for name, spoil := range map[string]func(t testing.TB, tr *trainer){
		"loss":     func(t testing.TB, tr *trainer) { poison(t, tr, float32(math.NaN())) },
		"gradient": func(t testing.TB, tr *trainer) { poison(t, tr, 1e30) }, // the loss is large, but finite
	} {
		t.Run(name, func(t *testing.T) {
			j := newJournal(t)
			tr := j.of(testTrainings[FullLabel](t, t.TempDir()))
			store, err := tr.workingStore()
			if err != nil {
				t.Fatal(err)
			}
			if tr.stepper, err = newStepper(devices{backend: tr.backend, n: 1}, store, tr.model.Config, tr.objective, tr.training); err != nil {
				t.Fatal(err)
			}
			step := func() error { return tr.step(context.Background()) }
			well := func() {
				t.Helper()
				poison(t, tr, 1)
				if err := step(); err != nil || tr.state.InARow != 0 {
					t.Fatalf("a step in good health: %v, %+v", err, tr.state)
				}
			}
			well()
			spoil(t, tr)
			before := everything(t, store)
			for k := range maxSkips {
				err = step()
				if tr.state.InARow != k+1 || tr.state.Skipped != k+1 {
					t.Errorf("after %d: %+v", k+1, tr.state)
				}
				if k < maxSkips-1 && err != nil {
					t.Fatal(err)
				}
			}
			wantError(t, err, FullLabel, "not finite 3 times in a row", "learning_rate", "warmup")
			if !maps.Equal(everything(t, store), before) {
				t.Error("a skipped update changed weights or moments")
			}
			if n := strings.Count(j.text.String(), "update skipped"); n != maxSkips {
				t.Errorf("%d lines about skipped updates:\n%s", n, &j.text)
			}
			well()
			spoil(t, tr)
			if err := step(); err != nil || tr.state.InARow != 1 || tr.state.Skipped != maxSkips+1 {
				t.Errorf("later: %v, %+v", err, tr.state)
			}
		})
	}
}

// Sequences longer than the model was made for are refused before anything is computed.
func TestTooLong(t *testing.T) {
	tr := testTrainings[FullLabel](t, filepath.Join(t.TempDir(), "none"))
	tr.model.Config.MaxPositions = 20
	_, err := tr.run(context.Background())
	wantError(t, err, FullLabel, "40 tokens", "made for 20", "task.max_length")
	if !errors.Is(err, ErrInput) {
		t.Errorf("%v is not about input", err)
	}
}
