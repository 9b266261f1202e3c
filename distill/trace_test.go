package distill

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/loss"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
	"github.com/bitdistill/bitdistill/internal/golden"
	"github.com/bitdistill/bitdistill/internal/safetensors"
	"github.com/gomlx/gomlx/core/tensors"
)

// golden training steps, as trace/trace.json has them.
type trace struct {
	Hyper struct {
		LR          float64
		Beta1       float64
		Beta2       float64
		Eps         float64
		WeightDecay float64 `json:"weight_decay"`
		ClipNorm    float64 `json:"clip_norm"`
		WarmupSteps int     `json:"warmup_steps"`
		TotalSteps  int     `json:"total_steps"`
	}
	Tau        float64
	Layer      int `json:"distilled_layer_0based"`
	SplitHeads int `json:"split_heads"`
	Cases      map[string]traceCase
}

type traceCase struct {
	Stage   int
	Options *struct {
		Lambda, Gamma float64
		TauSquared    bool `json:"tau_squared"`
		Normalisation loss.Normalisation
	} `json:"loss_options"`
	Steps []traceStep `json:"float64"`
	Final struct {
		CE float64 `json:"float64"`
	} `json:"ce_on_batch0_after_training"`
}

type traceStep struct {
	LR, CE, LD, AD, Total float64
	GradNorm              float64 `json:"grad_norm"`
	Weights               map[string]struct {
		Sum    float64
		AbsSum float64 `json:"abs_sum"`
	}
}

// Losses, gradients, weights and learning rates are those of PyTorch.
func TestTrace(t *testing.T) {
	var tr trace
	golden.JSON(t, &tr, "trace", "trace.json")
	file := golden.Open(t, "trace", "batches.safetensors")
	for name, c := range tr.Cases {
		t.Run(name, func(t *testing.T) { tr.check(t, name, c, file) })
	}
}

func (tr trace) training() Training {
	h := tr.Hyper
	return Training{
		Steps: h.TotalSteps, BatchSize: 1, MicroBatches: 1, LearningRate: h.LR, Schedule: "linear",
		Warmup: float64(h.WarmupSteps) / float64(h.TotalSteps), WeightDecay: h.WeightDecay, DecayEmbeddings: true,
		Beta1: h.Beta1, Beta2: h.Beta2, Epsilon: h.Eps, ClipNorm: h.ClipNorm,
	}
}

// stepper of a case: the student is the model with ternary linears and SubLN, the teacher the model itself.
func (tr trace) stepper(t *testing.T, c traceCase) *stepper {
	dir := filepath.Join(golden.Dir(t), "decoders", "qwen3")
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("the trace starts from decoders/qwen3: %v", err)
	}
	base, err := hf.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	student, err := Convert(base, bitnet.Ternary(bitnet.SubLNOutput))
	if err != nil {
		t.Fatal(err)
	}
	training := trainer{model: student}
	if c.Stage == 3 {
		if training.teacher, err = hf.Load(dir); err != nil {
			t.Fatal(err)
		}
		training.objective = objective{answers: true, teacher: &training.teacher.Config, loss: Loss{
			Lambda: c.Options.Lambda, Gamma: c.Options.Gamma, Positions: "all", Layer: tr.Layer,
			Logits:    loss.Logits{Tau: tr.Tau, TauSquared: c.Options.TauSquared},
			Relations: loss.Relations{SplitHeads: tr.SplitHeads, Variant: loss.L2, Normalisation: c.Options.Normalisation, Temperature: 1, Alpha: [3]float64{1, 1, 1}},
		}}
	}
	store, err := training.workingStore()
	if err != nil {
		t.Fatal(err)
	}
	s, err := newStepper(devices{backend: backendtest.Open(t), n: 1}, store, student.Config, training.objective, tr.training())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (tr trace) check(t *testing.T, name string, c traceCase, file *safetensors.File) {
	s := tr.stepper(t, c)
	var first *data.Batch
	for k, want := range c.Steps {
		batch := traceBatch(t, file, fmt.Sprintf("%s.step%d.", name, k))
		losses, norm, grads, err := s.gradients(t.Context(), []*data.Batch{batch})
		if err != nil {
			t.Fatal(err)
		}
		if k == 0 {
			first = batch
			checkGradients(t, s, grads, file, name+".step0.grad.")
		}
		// A float32 that rounds otherwise may flip an int8 code, from the second update on.
		tolerance, weightTolerance := 1e-5, 1e-5
		if k > 1 {
			tolerance, weightTolerance = 1e-2, 1e-4
		}
		at := func(what string) string { return fmt.Sprintf("step %d: %s", k, what) }
		near(t, at("CE"), losses.CE, want.CE, tolerance)
		near(t, at("LD"), losses.LD, want.LD, tolerance)
		near(t, at("AD"), losses.AD, want.AD, tolerance)
		near(t, at("total"), losses.Total, want.Total, tolerance)
		near(t, at("gradient norm"), norm, want.GradNorm, tolerance)
		rate := s.training.rate(k, tr.Hyper.TotalSteps)
		near(t, at("learning rate"), rate, want.LR, 1e-12)
		if err := s.apply(grads, norm, rate); err != nil {
			t.Fatal(err)
		}
		after := weights(t, s.config, s.store)
		if len(after) != len(want.Weights) {
			t.Errorf("%d tensors, want %d", len(after), len(want.Weights))
		}
		worst := 0.0
		for tensor, w := range want.Weights {
			sum, abs := sums(after[tensor])
			d := max(math.Abs(sum-w.Sum), math.Abs(abs-w.AbsSum)) / w.AbsSum
			if worst = max(worst, d); !(d <= weightTolerance) {
				t.Errorf("%s: sum %g, want %g; absolute sum %g, want %g", at(tensor), sum, w.Sum, abs, w.AbsSum)
			}
		}
		t.Logf("step %d: CE off by %.1g, LD %.1g, AD %.1g, gradient norm %.1g, sums of weights %.1g", k,
			losses.CE-want.CE, losses.LD-want.LD, losses.AD-want.AD, norm-want.GradNorm, worst)
	}
	losses, _, _, err := s.gradients(t.Context(), []*data.Batch{first})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "CE after training", losses.CE, c.Final.CE, 1e-2)
}

func traceBatch(t *testing.T, f *safetensors.File, prefix string) *data.Batch {
	ids, shape := golden.Ints(t, f, prefix+"input_ids")
	mask, _ := golden.Ints(t, f, prefix+"attention_mask")
	labels, _ := golden.Ints(t, f, prefix+"labels")
	b := &data.Batch{Rows: shape[0], Length: shape[1]}
	for i := range ids {
		b.IDs, b.Mask, b.Labels = append(b.IDs, int32(ids[i])), append(b.Mask, int32(mask[i])), append(b.Labels, int32(labels[i]))
		b.Tokens += mask[i]
	}
	return b
}

func checkGradients(t *testing.T, s *stepper, grads []*tensors.Tensor, f *safetensors.File, prefix string) {
	checked := 0
	for i, tensor := range s.trainable {
		if _, ok := f.Info(prefix + tensor.Name); !ok {
			continue
		}
		want, _ := golden.Floats(t, f, prefix+tensor.Name)
		// Through all layers in float32; 1e-6 and a little more, depending on the order in which a matmul adds.
		d := farthest(tensors.MustCopyFlatData[float32](grads[i]), want)
		t.Logf("gradient of %s: difference %.1g of its largest entry", tensor.Name, d)
		if !(d <= 5e-6) {
			t.Errorf("gradient of %s: difference %.2g of its largest entry", tensor.Name, d)
		}
		checked++
	}
	there := 0
	for _, name := range f.Names() {
		if strings.HasPrefix(name, prefix) {
			there++
		}
	}
	if checked != there || there == 0 {
		t.Errorf("%d gradients checked of %d", checked, there)
	}
}

func sums(values []float32) (sum, abs float64) {
	for _, v := range values {
		sum += float64(v)
		abs += math.Abs(float64(v))
	}
	return sum, abs
}

// The factors of the schedules are those of transformers.
func TestSchedules(t *testing.T) {
	var file struct {
		Schedules struct {
			Total  int `json:"total_steps"`
			Warmup int `json:"warmup_steps"`
			Linear []float64
			Cosine []float64
		}
	}
	golden.JSON(t, &file, "losses.json")
	g := file.Schedules
	for name, want := range map[string][]float64{"linear": g.Linear, "cosine": g.Cosine} {
		if len(want) != g.Total {
			t.Fatalf("%s: %d factors for %d steps", name, len(want), g.Total)
		}
		training := Training{LearningRate: 3e-4, Schedule: name, Warmup: float64(g.Warmup) / float64(g.Total)}
		for k, factor := range want {
			if got := scheduleFactor(name, k, g.Warmup, g.Total); math.Abs(got-factor) > 1e-12 {
				t.Errorf("%s step %d: %.15g, want %.15g", name, k, got, factor)
			}
			if got := training.rate(k, g.Total); math.Abs(got-3e-4*factor) > 1e-15 {
				t.Errorf("%s step %d: rate %g, want %g", name, k, got, 3e-4*factor)
			}
		}
	}
	constant := Training{LearningRate: 1, Schedule: "constant", Warmup: 0.1}
	for k, want := range []float64{0, 0.5, 1, 1} {
		if got := constant.rate(k, 20); got != want {
			t.Errorf("constant step %d: %g, want %g", k, got, want)
		}
	}
}
