package distill

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/loss"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// distillation with all terms, none of which is small beside the others.
func testLoss(positions string) Loss {
	return Loss{
		Lambda: 2, Gamma: 5, Logits: loss.Logits{Tau: 2, TauSquared: true}, Positions: positions, Layer: 1,
		Relations: loss.Relations{SplitHeads: 2, Variant: loss.L2, Normalisation: loss.Algorithm1, Temperature: 1, Alpha: [3]float64{1, 1, 1}},
	}
}

// testStepper trains student, against teacher unless that is nil.
func testStepper(t testing.TB, student, teacher *hf.Model, o objective, training Training) *stepper {
	t.Helper()
	tr := trainer{model: student, teacher: teacher}
	if teacher != nil {
		o.teacher = &teacher.Config
	}
	store, err := tr.workingStore()
	if err != nil {
		t.Fatal(err)
	}
	s, err := newStepper(devices{backend: backendtest.Open(t), n: 1}, store, student.Config, o, training)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// updateInGroups divides the tensors anew among updates of at most so many bytes of weights.
func (s *stepper) updateInGroups(t *testing.T, most int) {
	t.Helper()
	var err error
	if s.updates, err = newUpdates(s.devices, s.store, s.trainable, s.training, most); err != nil {
		t.Fatal(err)
	}
}

// What a checkpoint holds of the optimizer does not depend on how tensors are grouped: one that was saved with one grouping is gone on from
// with another.
func TestUpdatesChangeGroups(t *testing.T) {
	var want map[string]string
	for _, bounds := range [][]int{{updateBytes, updateBytes, updateBytes}, {1, 1 << 15, updateBytes}, {updateBytes, 1, 1 << 15}} {
		s := testStepper(t, tinyStudent(t, 4, bitnet.SubLNOutput), nil, objective{}, quick(1))
		for _, most := range bounds {
			s.updateInGroups(t, most)
			_, norm, grads, err := s.gradients(t.Context(), []*data.Batch{batchOf(unequal()...)})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.apply(grads, norm, 0.01); err != nil {
				t.Fatal(err)
			}
		}
		got := everything(t, s.store)
		delete(got, "/global_step") // counts the updates, and nothing reads it
		if want == nil {
			want = got
		}
		if !maps.Equal(got, want) {
			t.Errorf("groups of %v: variables %v differ from those of one group, %v", bounds, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
	}
}

// An update on XLA gives the buffers of the weights and moments that it replaces back at once, on every device.
func TestUpdateGivesBack(t *testing.T) {
	b := fourDevices(t)
	for _, n := range []int{1, 2} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			givesBack(t, stepperOn(t, b, n, tinyStudent(t, 4, bitnet.SubLNOutput), nil, objective{}, quick(1)))
		})
	}
}

func givesBack(t *testing.T, s *stepper) {
	for range 2 { // the first makes the moments
		var held []compute.Buffer
		for _, u := range s.updates {
			replaced, err := u.replaced()
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, replaced...)
		}
		if len(held)%(s.n*len(s.trainable)) != 0 || len(held) == 0 {
			t.Fatalf("%d buffers of %d tensors", len(held), len(s.trainable))
		}
		_, norm, grads, err := s.gradients(t.Context(), []*data.Batch{batchOf(unequal()...)})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.apply(grads, norm, 0.01); err != nil {
			t.Fatal(err)
		}
		for i, b := range held {
			if _, err := b.Shape(); err == nil {
				t.Fatalf("buffer %d of %d is still there", i, len(held))
			}
		}
	}
}

// sequence is a prompt and an answer.
type sequence struct{ prompt, answer []int32 }

// unequal are sequences whose prompts and answers have very different lengths.
func unequal() []sequence {
	rng := rand.New(rand.NewPCG(5, 6))
	var all []sequence
	for _, n := range [][2]int{{2, 1}, {30, 1}, {3, 9}, {25, 7}, {4, 1}, {5, 1}, {12, 2}, {2, 20}} {
		ids := make([]int32, n[0]+n[1])
		for i := range ids {
			ids[i] = int32(3 + rng.IntN(500))
		}
		all = append(all, sequence{ids[:n[0]], ids[n[0]:]})
	}
	return all
}

// batchOf pads sequences to the longest of them.
func batchOf(sequences ...sequence) *data.Batch {
	b := &data.Batch{Rows: len(sequences)}
	for _, s := range sequences {
		b.Length = max(b.Length, len(s.prompt)+len(s.answer))
	}
	for _, s := range sequences {
		n := len(s.prompt) + len(s.answer)
		b.IDs = append(append(append(b.IDs, s.prompt...), s.answer...), make([]int32, b.Length-n)...)
		b.Mask = append(append(b.Mask, slices.Repeat([]int32{1}, n)...), make([]int32, b.Length-n)...)
		b.Labels = append(append(b.Labels, slices.Repeat([]int32{data.NoLabel}, len(s.prompt))...), s.answer...)
		b.Labels = append(b.Labels, slices.Repeat([]int32{data.NoLabel}, b.Length-n)...)
		b.Tokens += n
	}
	return b
}

// Micro-batches whose answers and padding are spread unevenly give the losses and gradients of the batch in one piece.
func TestAccumulation(t *testing.T) {
	ternary := func(w bitnet.Weights, fp16 bool) arch.Config {
		c := tinyConfig()
		c.Quantization = bitnet.Ternary(bitnet.SubLNAll)
		c.Quantization.Weights, c.Quantization.FP16Scales = w, fp16
		return c
	}
	distilled := objective{answers: true, loss: testLoss("all")}
	for _, c := range []struct {
		name      string
		student   arch.Config
		objective objective
		teacher   bool
		tolerance float64
	}{
		{"answers", tinyConfig(), objective{answers: true}, false, 1e-6},
		{"next tokens", tinyConfig(), objective{}, false, 1e-6},
		{"distillation of answers", tinyConfig(), objective{answers: true, loss: testLoss("answer")}, true, 1e-6},
		{"distillation of all positions", tinyConfig(), objective{answers: true, loss: testLoss("all")}, true, 1e-6},
		// Where rounding differs in the last bit, an int8 code may.
		{"ternary", ternary(bitnet.AbsMean, false), distilled, true, 1e-3},
		{"ternary, a scale a row", ternary(bitnet.Channel, true), distilled, true, 1e-3},
		{"ternary, a scale a block", ternary(bitnet.Block, false), distilled, true, 1e-3},
	} {
		t.Run(c.name, func(t *testing.T) {
			var teacher *hf.Model
			if c.teacher {
				teacher = tinyModel(t, 2)
			}
			s := testStepper(t, randomModel(t, c.student, 1), teacher, c.objective, quick(1))
			all := unequal()
			want, wantNorm, wantGrads, err := s.gradients(t.Context(), []*data.Batch{batchOf(all...)})
			if err != nil {
				t.Fatal(err)
			}
			if want.CE <= 0 || c.teacher && (want.LD <= 0 || want.AD <= 0) {
				t.Fatalf("losses %+v", want)
			}
			near(t, "total", want.Total, want.CE+c.objective.loss.Lambda*want.LD+c.objective.loss.Gamma*want.AD, 1e-6)
			parts := []*data.Batch{batchOf(all[:1]...), batchOf(all[1:3]...), batchOf(all[3:7]...), batchOf(all[7:]...)}
			training := quick(1)
			training.MicroBatches = len(parts)
			s = testStepper(t, randomModel(t, c.student, 1), teacher, c.objective, training)
			if (s.frozen != nil) != c.student.Quantization.IsTernary() {
				t.Fatal("ternary linears are to be quantized once for all micro-batches, others not at all")
			}
			got, norm, grads, err := s.gradients(t.Context(), parts)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "CE", got.CE, want.CE, c.tolerance)
			near(t, "LD", got.LD, want.LD, c.tolerance)
			near(t, "AD", got.AD, want.AD, c.tolerance)
			near(t, "total", got.Total, want.Total, c.tolerance)
			near(t, "norm", norm, wantNorm, c.tolerance)
			for i, tensor := range s.trainable {
				g, w := tensors.MustCopyFlatData[float32](grads[i]), tensors.MustCopyFlatData[float32](wantGrads[i])
				if d := farthest(g, w); !(d <= c.tolerance) {
					t.Errorf("gradient of %s: difference %.2g of its largest entry", tensor.Name, d)
				}
			}
		})
	}
}

// A gradient that computes blocks anew is that of the blocks computed once, and so are the losses, to the last bit.
func TestRemat(t *testing.T) {
	for _, c := range []struct {
		name      string
		objective objective
		teacher   bool
	}{
		{"next tokens", objective{}, false},
		{"distillation", objective{answers: true, loss: testLoss("all")}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			compute := func(remat bool) (terms, []*tensors.Tensor, *stepper) {
				training := quick(1)
				training.Remat = remat
				var teacher *hf.Model
				if c.teacher {
					teacher = tinyModel(t, 2)
				}
				s := testStepper(t, tinyStudent(t, 1, bitnet.SubLNOutput), teacher, c.objective, training)
				losses, _, grads, err := s.gradients(t.Context(), []*data.Batch{batchOf(unequal()...)})
				if err != nil {
					t.Fatal(err)
				}
				return losses, grads, s
			}
			want, wantGrads, _ := compute(false)
			got, grads, s := compute(true)
			if once, anew := nodes(t, s, false), nodes(t, s, true); anew < once*5/4 {
				t.Errorf("%d operations, %d without: nothing is computed anew", anew, once)
			}
			if got != want {
				t.Errorf("losses %+v, want %+v", got, want)
			}
			for i, tensor := range s.trainable {
				g, w := tensors.MustCopyFlatData[float32](grads[i]), tensors.MustCopyFlatData[float32](wantGrads[i])
				if d := farthest(g, w); !(d <= 1e-6) {
					t.Errorf("gradient of %s: difference %.2g of its largest entry", tensor.Name, d)
				}
			}
		})
	}
}

// nodes is the number of operations of a gradient.
func nodes(t *testing.T, s *stepper, remat bool) int {
	t.Helper()
	s.training.Remat = remat
	b := batchOf(unequal()[:2]...)
	var in []shapes.Shape
	for _, x := range s.inputs(b, s.counts([]*data.Batch{b})) {
		in = append(in, x.(*tensors.Tensor).Shape())
	}
	exec, err := model.NewExec(s.backend, s.store, s.gradientGraph)
	if err != nil {
		t.Fatal(err)
	}
	g, err := exec.Compile(in...)
	if err != nil {
		t.Fatal(err)
	}
	return len(g.Nodes())
}

// Precision reaches the products of a gradient, and those alone: the losses are the same.
func TestPrecision(t *testing.T) {
	b := backendtest.XLA(t)
	t.Setenv("BITDISTILL_BFLOAT16", "on")
	compute := func(precision string) (terms, float64) {
		training := quick(1)
		training.Precision = precision
		m := tinyStudent(t, 1, bitnet.SubLNOutput)
		s, err := newStepper(devices{backend: b, n: 1}, m.Store, m.Config, objective{}, training)
		if err != nil {
			t.Fatal(err)
		}
		losses, norm, grads, err := s.gradients(t.Context(), []*data.Batch{batchOf(unequal()...)})
		release(grads)
		if err != nil {
			t.Fatal(err)
		}
		return losses, norm
	}
	want, exact := compute("")
	got, rounded := compute(bfloat16)
	if got != want {
		t.Errorf("losses %+v, want %+v", got, want)
	}
	if d := math.Abs(rounded-exact) / exact; d == 0 || d > 0.02 {
		t.Errorf("gradient norm %g, %g of float32", rounded, exact)
	}
}

// The number of micro-batches computed at once changes no bit, many steps in a row.
func TestSideBySide(t *testing.T) {
	s := testStepper(t, tinyStudent(t, 1, bitnet.SubLNOutput), tinyModel(t, 2), objective{answers: true, loss: testLoss("answer")}, quick(1))
	all := unequal()
	parts := []*data.Batch{batchOf(all[:4]...), batchOf(all[4:]...), batchOf(all[2:3]...), batchOf(all[5:6]...)}
	s.concurrent = 1
	want, wantNorm, wantGrads, err := s.gradients(t.Context(), parts)
	if err != nil {
		t.Fatal(err)
	}
	for range 60 {
		s.concurrent = 4
		got, norm, grads, err := s.gradients(t.Context(), parts)
		if err != nil {
			t.Fatal(err)
		}
		if got != want || norm != wantNorm {
			t.Fatalf("losses %+v, norm %g; one after the other %+v, %g", got, norm, want, wantNorm)
		}
		for i, tensor := range s.trainable {
			if !slices.Equal(tensors.MustCopyFlatData[float32](grads[i]), tensors.MustCopyFlatData[float32](wantGrads[i])) {
				t.Fatalf("the gradient of %s differs", tensor.Name)
			}
		}
	}
}

// Decay acts on matrices, on embedding and head only where that is chosen, and never on a norm.
func TestDecayGroups(t *testing.T) {
	untied := tinyConfig()
	untied.TieEmbeddings = false
	untied.Quantization = bitnet.Ternary(bitnet.SubLNAll)
	for _, embeddings := range []bool{false, true} {
		training := quick(1)
		training.WeightDecay, training.DecayEmbeddings = 0.25, embeddings
		m := randomModel(t, untied, 3)
		s := testStepper(t, m, nil, objective{}, training)
		before := weights(t, m.Config, m.Store)
		var zeros []*tensors.Tensor
		for _, tensor := range s.trainable {
			zeros = append(zeros, tensors.FromFlatDataAndDimensions(make([]float32, tensor.Size()), tensor.Dims...))
		}
		if err := s.apply(zeros, 0, 0.5); err != nil {
			t.Fatal(err)
		}
		after := weights(t, m.Config, m.Store)
		kinds := map[arch.Kind]bool{}
		for _, tensor := range s.trainable {
			kinds[tensor.Kind] = true
			decays := tensor.Kind == arch.Linear || embeddings && (tensor.Kind == arch.Embedding || tensor.Kind == arch.Head)
			for i, w := range before[tensor.Name] {
				want := w
				if decays {
					want = w - w*(0.5*0.25)
				}
				if after[tensor.Name][i] != want {
					t.Fatalf("embeddings %v: %s[%d]: %g became %g, want %g", embeddings, tensor.Name, i, w, after[tensor.Name][i], want)
				}
			}
		}
		if len(kinds) != 5 {
			t.Errorf("only kinds %v were there", slices.Collect(maps.Keys(kinds)))
		}
	}
}

// adamW is AdamW in float64, of one tensor.
type adamW struct {
	w, m, v []float64
	steps   int
}

// step follows torch.optim.AdamW: decay first, then moments, bias correction and update.
func (a *adamW) step(grad []float64, clip, rate, decay float64, t Training) {
	a.steps++
	for i, g := range grad {
		g *= clip
		a.w[i] *= 1 - rate*decay
		a.m[i] = t.Beta1*a.m[i] + (1-t.Beta1)*g
		a.v[i] = t.Beta2*a.v[i] + (1-t.Beta2)*g*g
		m := a.m[i] / (1 - math.Pow(t.Beta1, float64(a.steps)))
		v := a.v[i] / (1 - math.Pow(t.Beta2, float64(a.steps)))
		a.w[i] -= rate * m / (math.Sqrt(v) + t.Epsilon)
	}
}

// Updates are those of AdamW with gradients clipped by their global norm, in another program and in float64: all tensors in one, some in
// each, or each by itself.
func TestAdamW(t *testing.T) {
	for _, most := range []int{updateBytes, 1 << 15, 1} {
		t.Run(fmt.Sprint(most), func(t *testing.T) { testAdamW(t, most) })
	}
}

func testAdamW(t *testing.T, most int) {
	training := quick(1)
	training.DecayEmbeddings, training.ClipNorm, training.Beta2 = true, 2, 0.97
	m := tinyStudent(t, 4, bitnet.SubLNOutput)
	s := testStepper(t, m, nil, objective{}, training)
	s.updateInGroups(t, most)
	if n := len(s.updates); (most == updateBytes) != (n == 1) || (most == 1) != (n == len(s.trainable)) {
		t.Fatalf("%d updates of %d tensors", n, len(s.trainable))
	}
	references := map[string]*adamW{}
	for name, w := range weights(t, m.Config, m.Store) {
		r := &adamW{m: make([]float64, len(w)), v: make([]float64, len(w))}
		for _, x := range w {
			r.w = append(r.w, float64(x))
		}
		references[name] = r
	}
	rng := rand.New(rand.NewPCG(7, 8))
	for step, size := range []float64{1, 1e-4, 30, 1e-3, 0.5} { // clipped and not
		rate := 0.01 / float64(step+1)
		var grads []*tensors.Tensor
		values := map[string][]float64{}
		squares := 0.0
		for _, tensor := range s.trainable {
			flat := make([]float32, tensor.Size())
			for i := range flat {
				flat[i] = float32(size * rng.NormFloat64())
				values[tensor.Name] = append(values[tensor.Name], float64(flat[i]))
				squares += float64(flat[i]) * float64(flat[i])
			}
			grads = append(grads, tensors.FromFlatDataAndDimensions(flat, tensor.Dims...))
		}
		norms, err := s.norm.Call(anys(grads)...)
		if err != nil {
			t.Fatal(err)
		}
		norm := scalar(norms[0])
		near(t, "global norm", norm, math.Sqrt(squares), 1e-6)
		if err := s.apply(grads, norm, rate); err != nil {
			t.Fatal(err)
		}
		after := weights(t, m.Config, m.Store)
		for _, tensor := range s.trainable {
			decay := training.WeightDecay
			if tensor.Kind == arch.Norm || tensor.Kind == arch.SubLNorm {
				decay = 0
			}
			r := references[tensor.Name]
			r.step(values[tensor.Name], min(1, 2/(math.Sqrt(squares)+1e-6)), rate, decay, training)
			if d := farthest(after[tensor.Name], r.w); !(d <= 1e-6) {
				t.Errorf("step %d: %s: difference %.2g of its largest entry", step, tensor.Name, d)
			}
		}
	}
}

// An error of the computation is one line, without the stack that GoMLX puts behind it.
func TestGraphError(t *testing.T) {
	s := testStepper(t, tinyModel(t, 1), nil, objective{}, quick(1))
	var grads []*tensors.Tensor
	for range s.trainable {
		grads = append(grads, tensors.FromFlatDataAndDimensions(make([]float32, 3), 3))
	}
	err := s.apply(grads, 1, 1)
	wantError(t, err, "building or running the computation", "[3]")
	if text := fmt.Sprintf("%+v", err); strings.ContainsAny(text, "\n\t") || len(text) > 300 {
		t.Errorf("the message is long: %s", text)
	}
	t.Log(err)
}
