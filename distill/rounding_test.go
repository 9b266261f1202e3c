package distill

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/hf"
)

// TestFP16Scales trains with rounded scales in the last half: interrupted anywhere it gives the same bits, it chooses the best among
// rounded steps, and the first half is that of a training without.
func TestFP16Scales(t *testing.T) {
	begin := func(j *journal, dir string) *trainer {
		tr := j.of(testTrainings[BitNetLabel](t, dir))
		tr.config.TernaryEvery, tr.config.CheckpointEvery = 1, 1
		tr.training.FP16Scales, tr.training.EvalEvery = 0.5, 1
		tr.score = func(context.Context) (float64, error) { // the best of all is the first step, of the rounded ones the sixth
			return map[int]float64{1: 9, 6: 5}[tr.state.Step], nil
		}
		return tr
	}
	whole, parts := newJournal(t), newJournal(t)
	tr := begin(whole, t.TempDir())
	wantState, want := finish(t, tr)
	if !tr.model.Config.Quantization.FP16Scales || wantState.Best.Step != 6 {
		t.Errorf("%+v, best %+v", tr.model.Config.Quantization, wantState.Best)
	}
	if n := strings.Count(whole.text.String(), "Step 4: from here on the scales of the weights are rounded"); n != 1 {
		t.Errorf("%d lines about rounding:\n%s", n, &whole.text)
	}
	dir := t.TempDir()
	for _, microBatch := range []int{5, 8, 9, 13} {
		interruptAt(t, begin(parts, dir), microBatch)
	}
	state, got := finish(t, begin(parts, dir))
	sameBits(t, "weights", got, want)
	state.Watch, wantState.Watch = nil, nil // a resumed training has nothing to compare its first count with
	if state.Seconds, wantState.Seconds = 0, 0; !reflect.DeepEqual(state, wantState) {
		t.Errorf("state %+v\nwant  %+v", state, wantState)
	}

	plain := newJournal(t)
	other := begin(plain, t.TempDir())
	other.training.FP16Scales = 0
	finish(t, other)
	rounded, exact := whole.steps(t), plain.steps(t)
	for step := 1.0; step <= testSteps; step++ {
		same := rounded[step]["loss"] == exact[step]["loss"]
		if same != (step <= 4) {
			t.Errorf("step %g: loss %v with rounding, %v without", step, rounded[step]["loss"], exact[step]["loss"])
		}
	}
	for _, count := range whole.metrics(t) {
		counts, ok := count["ternary"].([]any)
		for _, c := range counts {
			scale := c.(map[string]any)["scale"].(float64)
			if half := math.Float32bits(float32(scale))&(1<<13-1) == 0; ok && half != (count["step"].(float64) > 4) {
				t.Errorf("step %v: scale %v", count["step"], scale)
			}
		}
	}
}

// TestFP16ScalesKept writes a model with rounded scales and reads it again.
func TestFP16ScalesKept(t *testing.T) {
	m := tinyStudent(t, 3, bitnet.SubLNOutput)
	m.Config.Quantization.FP16Scales = true
	dir := filepath.Join(t.TempDir(), "student")
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	again, err := hf.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again.Config.Quantization != m.Config.Quantization {
		t.Errorf("%+v, want %+v", again.Config.Quantization, m.Config.Quantization)
	}
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil || !strings.Contains(string(text), `"fp16_scales": true`) {
		t.Errorf("%s, %v", text, err)
	}
}
