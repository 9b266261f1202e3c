package distill

import (
	"errors"
	"math"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/embedded"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
	"github.com/gomlx/compute"
)

// fourDevices is XLA with four devices made of the CPU.
func fourDevices(t *testing.T) compute.Backend {
	t.Setenv("GOMLX_BACKEND", "xla:cpu,cpu_device_count=4")
	return backendtest.XLA(t)
}

// stepperOn trains student, against teacher unless that is nil, on the first n devices.
func stepperOn(t *testing.T, b compute.Backend, n int, student, teacher *hf.Model, o objective, training Training) *stepper {
	t.Helper()
	tr := trainer{model: student, teacher: teacher}
	if teacher != nil {
		o.teacher = &teacher.Config
	}
	store, err := tr.workingStore()
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDevices(b, n)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.spread(store, student.Config.Tensors()); err != nil {
		t.Fatal(err)
	}
	s, err := newStepper(d, store, student.Config, o, training)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// steps trains on sequences whose lengths and answers differ much from one device's to the next's: a mean over the tokens of each
// device would be another one than that over all. It returns loss, its terms and the norm of the gradient of each step.
func (s *stepper) steps(t *testing.T, n int) (all [][]float64) {
	t.Helper()
	rows := unequal()
	batches := []*data.Batch{batchOf(rows[:4]...), batchOf(rows[7], rows[4], rows[3], rows[5])} // of one length
	for range n {
		losses, norm, grads, err := s.gradients(t.Context(), batches)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.apply(grads, norm, 0.003); err != nil {
			t.Fatal(err)
		}
		all = append(all, []float64{losses.Total, losses.CE, losses.LD, losses.AD, norm})
	}
	return all
}

// apart is the largest relative difference of two lists.
func apart(got, want []float64) (most float64) {
	for i := range want {
		most = max(most, math.Abs(got[i]-want[i])/max(1, math.Abs(want[i])))
	}
	return most
}

// Two and four devices give the losses of one, with two micro-batches and all terms of the loss.
func TestDevices(t *testing.T) {
	b := fourDevices(t)
	for _, c := range []struct {
		name         string
		quantization bitnet.Quantization
		positions    string
		remat        bool
		steps        int
		first, later float64 // tolerance of the first step, and of the others
	}{
		{"float", bitnet.Full(), "answer", false, 20, 1e-5, 1e-5},
		{"ternary", bitnet.Ternary(bitnet.SubLNOutput), "all", true, 8, 1e-3, 1e-2}, // a rounding that flips spreads
	} {
		t.Run(c.name, func(t *testing.T) {
			l := testLoss(c.positions)
			l.Layer = 0
			training := quick(c.steps)
			training.Remat = c.remat
			var want [][]float64
			for _, n := range []int{1, 2, 4} {
				cfg := tinyConfig()
				cfg.Layers = 1
				teacher := randomModel(t, cfg, 2)
				cfg.Quantization = c.quantization
				s := stepperOn(t, b, n, randomModel(t, cfg, 1), teacher, objective{answers: true, loss: l}, training)
				got := s.steps(t, training.Steps)
				s.close()
				if n == 1 {
					want = got
					continue
				}
				most := 0.0
				for i := range got {
					tolerance, d := c.later, apart(got[i], want[i])
					if i == 0 {
						tolerance = c.first
					}
					if d > tolerance {
						t.Errorf("%d devices, step %d: losses and norm %v differ by %.2g from those of one, %v", n, i+1, got[i], d, want[i])
					}
					most = max(most, d)
				}
				t.Logf("%d devices: the first step differs by %.2g, any by at most %.2g; loss %g to %g", n, apart(got[0], want[0]), most, got[0][0], got[len(got)-1][0])
			}
		})
	}
}

// A training that goes on from a checkpoint on another number of devices has the losses of one that stays on one device, and keeps
// the same best weights.
func TestResumeOnOtherDevices(t *testing.T) {
	b := fourDevices(t)
	cfg := tinyConfig()
	cfg.Layers = 1
	source, err := data.NewTraining(reviewExamples(t, embedded.Task(), 14), data.TrainingOptions{Rows: 2, Buckets: 1, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	begin := func(dir string, n int, j *journal) *trainer {
		tr := j.of(newTraining(t, dir, FullLabel, randomModel(t, cfg, 1), source))
		tr.objective.answers = true
		tr.backend, tr.config.Devices, tr.device = b, n, deviceName("xla:cpu", n)
		graded(t, tr, map[int]float64{2: 1, 4: 5, 6: 3, 8: 4})
		return tr
	}
	whole, parts, dir := newJournal(t), newJournal(t), t.TempDir()
	wantState, want := finish(t, begin(t.TempDir(), 1, whole))
	interruptAt(t, begin(dir, 1, parts), 4)
	interruptAt(t, begin(dir, 2, parts), 10)
	state, got := finish(t, begin(dir, 1, parts))
	if state.Step != wantState.Step || state.Tokens != wantState.Tokens || *state.Best != *wantState.Best {
		t.Errorf("state %+v, want %+v", state, wantState)
	}
	if want := "xla:cpu, 2 x xla:cpu"; state.Backend != want {
		t.Errorf("computed on %q, want %q", state.Backend, want)
	}
	for name, w := range want {
		if d := farthest(got[name], w); d > 1e-4 {
			t.Errorf("%s differs by %g", name, d)
		}
	}
	logged := parts.steps(t)
	for step, w := range whole.steps(t) {
		for _, key := range []string{"loss", "gradient_norm"} {
			if d := math.Abs(logged[step][key].(float64) - w[key].(float64)); d > 1e-5 {
				t.Errorf("step %g: %s differs by %g from %g", step, key, d, w[key])
			}
		}
	}
}

// What cannot be had is refused, with the number that there is.
func TestDevicesRefused(t *testing.T) {
	cfg, err := Preset("embedded")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Devices, cfg.Backend = 2, "go"
	wantError(t, cfg.Validate(), "devices: 2", "go has one")
	cfg.Backend, cfg.Stage3.BatchSize, cfg.Stage3.MicroBatches = "xla:cpu", 18, 3
	cfg.Devices = 4
	wantError(t, cfg.Validate(), "stage3.batch_size: the 6 sequences of a micro-batch", "4 devices")
	cfg.Devices = -1
	wantError(t, cfg.Validate(), "devices: -1")
	_, err = newDevices(backendtest.Open(t), 2)
	wantError(t, err, "devices: 2", "go has one")
	if _, err = newDevices(fourDevices(t), 5); !errors.Is(err, ErrInput) {
		t.Errorf("%v is no wrong input", err)
	}
	wantError(t, err, "devices: 5", "has 4", "several processes or machines", "cpu_device_count=5")
}
