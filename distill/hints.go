package distill

import (
	"fmt"
	"slices"
	"strings"
)

// Signs that the settings are wrong for ternary weights. Trainings of the embedded model that went well flipped 0.2 of the codes in
// all, at most 0.1 between two counts and less later on, a third of the codes was 0, and scales kept within 5 %. Codes that have
// nothing to do with those before differ in two thirds.
const (
	hintCounts  = 3        // so many counts in a row have to agree
	fewFlips    = 1e-3     // of the codes, over the whole training at the pace of the count: nothing is learned
	manyFlips   = 1.0 / 3  // of the codes between two counts, in the later half of the training: nothing is kept
	shrunk      = 0.5      // of the mean scale at the first count
	grown       = 5        // times that: the steps are larger than the weights were
	manyZeros   = 0.6      // of the codes
	steepNorm   = 100      // times the smallest median of the gradient norms between two counts
	fullRate    = 1.0 / 10 // of the learning rate: below, few flips are as they should be
	hintTooLow  = "learning rate too low for ternary training"
	hintTooHigh = "learning rate too high"
	hintDecay   = "weight decay too high"
	hintSteep   = "gradients grow"
)

// watch looks at the counts of ternary codes and at gradient norms for such signs. It is part of the state of a training.
type watch struct {
	Last  int       `json:"last"`  // step of the last count
	Scale float64   `json:"scale"` // mean scale at the first count
	Few   int       `json:"few"`   // counts in a row with few flips
	Many  int       `json:"many"`  // and with many
	Norm  float64   `json:"norm"`  // smallest median of gradient norms; 0 before there is one
	Hints []string  `json:"hints"` // given so far, each once
	norms []float64 // since the last count
}

// step takes in the gradient norm of a step that was made.
func (w *watch) step(norm float64) { w.norms = append(w.norms, norm) }

// count takes in a count and returns the hints that it gives reason to. rate is the learning rate of the step.
func (w *watch) count(sum Ternary, scale float64, step, total int, rate float64, t Training) []string {
	before := len(w.Hints)
	hint := func(sign, format string, args ...any) {
		if !slices.ContainsFunc(w.Hints, func(h string) bool { return strings.HasPrefix(h, sign) }) {
			w.Hints = append(w.Hints, sign+": "+fmt.Sprintf(format, args...))
		}
	}
	if w.Scale == 0 {
		w.Scale = scale
	}
	if sum.Compared && step > w.Last {
		flips := sum.flipShare()
		whole := flips / float64(step-w.Last) * float64(total)
		w.Few = inARow(w.Few, whole < fewFlips && rate >= fullRate*t.LearningRate)
		w.Many = inARow(w.Many, flips > manyFlips && step > total/2)
		if w.Few >= hintCounts {
			hint(hintTooLow, "at this pace %.2g %% of the weights change their value in all %d steps; raise learning_rate (now %g), ternary weights want about ten times that of full precision",
				100*whole, total, t.LearningRate)
		}
		if w.Many >= hintCounts {
			hint(hintTooHigh, "%.0f %% of the weights changed their value in %d steps of the later half; lower learning_rate (now %g), or let the schedule fall to 0",
				100*flips, step-w.Last, t.LearningRate)
		}
	}
	if scale > grown*w.Scale {
		hint(hintTooHigh, "the scale of the weights is %.2g times that at the beginning, so that little is left of them; lower learning_rate (now %g)", scale/w.Scale, t.LearningRate)
	}
	if _, zero, _ := sum.shares(); scale < shrunk*w.Scale || zero > manyZeros {
		hint(hintDecay, "the scale of the weights fell to %.2g of that at the beginning, and %.0f %% of them are 0; lower weight_decay (now %g), 0 too is worth a try",
			scale/w.Scale, 100*zero, t.WeightDecay)
	}
	w.slope(hint, t)
	w.Last = step
	return w.Hints[before:]
}

// slope looks at the gradient norms since the last count.
func (w *watch) slope(hint func(sign, format string, args ...any), t Training) {
	if len(w.norms) == 0 {
		return
	}
	slices.Sort(w.norms)
	median := w.norms[len(w.norms)/2]
	w.norms = w.norms[:0]
	if w.Norm > 0 && median > steepNorm*w.Norm {
		hint(hintSteep, "their norm is %.2g, and was %.2g; lower learning_rate (now %g), or raise warmup (now %g)", median, w.Norm, t.LearningRate, t.Warmup)
	}
	if w.Norm == 0 || median < w.Norm {
		w.Norm = median
	}
}

func inARow(n int, again bool) int {
	if again {
		return n + 1
	}
	return 0
}
