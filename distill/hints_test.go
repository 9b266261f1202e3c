package distill

import (
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
)

// counted is a count of 1000 codes, a third of them 0.
func counted(flipped int) Ternary {
	return Ternary{Minus: 333, Zero: 333, Plus: 334, Flipped: flipped, Compared: true}
}

// TestHints feeds counts every 10 steps of a training of 100, at a constant rate but for the case about that.
func TestHints(t *testing.T) {
	settings := Training{LearningRate: 1e-3, WeightDecay: 0.1}
	for name, c := range map[string]struct {
		count func(step int) (sum Ternary, scale, rate, norm float64)
		want  []string
	}{
		"as the embedded model": {func(step int) (Ternary, float64, float64, float64) {
			return counted(100 - step), 0.1 + float64(step)/1e4, 1e-3 * (1 - float64(step)/100), 5
		}, nil},
		"nothing flips":             {func(int) (Ternary, float64, float64, float64) { return counted(0), 0.1, 1e-3, 1 }, []string{hintTooLow}},
		"nothing flips at the rate": {func(int) (Ternary, float64, float64, float64) { return counted(0), 0.1, 1e-5, 1 }, nil},
		"everything flips":          {func(int) (Ternary, float64, float64, float64) { return counted(600), 0.1, 1e-3, 1 }, []string{hintTooHigh}},
		"much flips early on": {func(step int) (Ternary, float64, float64, float64) {
			if step <= 50 {
				return counted(600), 0.1, 1e-3, 1
			}
			return counted(20), 0.1, 1e-3, 1
		}, nil},
		"scales grow": {func(step int) (Ternary, float64, float64, float64) { return counted(20), 0.1 * float64(step), 1e-3, 1 }, []string{hintTooHigh}},
		"scales shrink": {func(step int) (Ternary, float64, float64, float64) {
			return counted(20), 0.1 - float64(step)/1e3*0.9, 1e-3, 1
		}, []string{hintDecay}},
		"zeros": {func(int) (Ternary, float64, float64, float64) {
			return Ternary{Minus: 100, Zero: 800, Plus: 100}, 0.1, 1e-3, 1
		}, []string{hintDecay}},
		"gradients grow": {func(step int) (Ternary, float64, float64, float64) {
			return counted(20), 0.1, 1e-3, float64(step * step)
		}, nil}, // hundredfold in all, but of 100 it takes more
		"gradients explode": {func(step int) (Ternary, float64, float64, float64) {
			return counted(20), 0.1, 1e-3, float64(step*step) * float64(step)
		}, []string{hintSteep}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &watch{}
			var got []string
			for step := 10; step <= 100; step += 10 {
				sum, scale, rate, norm := c.count(step)
				for range 10 {
					w.step(norm)
				}
				got = append(got, w.count(sum, scale, step, 100, rate, settings)...)
			}
			if len(got) != len(c.want) || len(w.Hints) != len(got) {
				t.Fatalf("hints %q, want %q", got, c.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], c.want[i]+": ") || !strings.Contains(got[i], "(now ") {
					t.Errorf("hint %q, want %q and the setting to change", got[i], c.want[i])
				}
			}
		})
	}
}

// TestHintsOfTraining trains with learning rates that are absurd for ternary weights, and with the usual one.
func TestHintsOfTraining(t *testing.T) {
	for name, c := range map[string]struct {
		rate float64
		want string
	}{"low": {1e-9, hintTooLow}, "high": {1, hintTooHigh}, "usual": {3e-3, ""}} {
		t.Run(name, func(t *testing.T) {
			j := newJournal(t)
			tr := j.of(taskTraining(t, t.TempDir(), BitNetLabel, tinyStudent(t, 1, bitnet.SubLNNone), nil))
			tr.config.TernaryEvery, tr.training.LearningRate, tr.training.Schedule, tr.training.WeightDecay = 1, c.rate, "constant", 0
			tr.training.Steps, tr.total = 12, 12
			state, _ := finish(t, tr)
			found := strings.Contains(j.text.String(), "hint: "+BitNetLabel+" Step ") && strings.Contains(j.text.String(), c.want)
			if found != (c.want != "") || len(state.Watch.Hints) > 0 != found {
				t.Errorf("hints %q:\n%s", state.Watch.Hints, &j.text)
			}
		})
	}
}
