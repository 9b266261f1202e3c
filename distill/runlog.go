package distill

import (
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// swamped is the weighted share of the loss above which a term drowns the others.
const swamped = 0.95

// distilled adds the terms of stage 3 and their weighted shares.
func (r *Step) distilled(t terms, lambda, gamma float64) {
	r.distils, r.CE, r.LD, r.AD = true, t.CE, t.LD, t.AD
	if t.Total > 0 {
		r.ShareCE, r.ShareLD, r.ShareAD = t.CE/t.Total, lambda*t.LD/t.Total, gamma*t.AD/t.Total
	}
}

// runLog writes what happens to a text stream, and as one JSON object a line to metrics.jsonl.
type runLog struct {
	text    io.Writer
	metrics *metrics                 // nil for none
	bar     *progressbar.ProgressBar // in a terminal only
	observe func(Step)               // of every logged step; may be nil

	last   Step // of this stage
	warned bool
	err    error // of the first failed write to metrics.jsonl; ends the training
}

// printf writes a line of text.
func (l *runLog) printf(format string, args ...any) {
	if l.bar != nil {
		l.bar.Clear()
	}
	fmt.Fprintf(l.text, format+"\n", args...)
	if l.bar != nil {
		l.bar.RenderBlank()
	}
}

// progressEvery is the time between lines about something that is computed without steps.
const progressEvery = 5 * time.Second

// progress returns a function to be told how many batches are done; from time to time it logs that.
func (l *runLog) progress(what string) func(done, total int) { return l.progressOf(what, "batches") }

// progressOf is progress of something else than batches.
func (l *runLog) progressOf(what, units string) func(done, total int) {
	began := time.Now()
	shown := began
	return func(done, total int) {
		now := time.Now()
		if now.Sub(shown) < progressEvery {
			return
		}
		shown = now
		left := now.Sub(began) * time.Duration(total-done) / time.Duration(done)
		l.printf("%s: %d of %d %s, %s left", what, done, total, units, left.Round(time.Second))
	}
}

// begin starts a stage, or goes on with it from a state.
func (l *runLog) begin(label string, total int, s trainState) {
	l.last, l.warned = Step{Stage: label, Step: s.Step, Tokens: s.Tokens, Seconds: s.Seconds}, false
	f, ok := l.text.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return
	}
	l.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(f), progressbar.OptionSetDescription(label),
		progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionFullWidth())
	l.bar.Set(l.last.Step)
}

// end closes the progress bar of a stage.
func (l *runLog) end() {
	if l.bar != nil {
		l.bar.Clear()
		l.bar = nil
	}
}

// resumed notes where a stage goes on.
func (l *runLog) resumed(label string, s trainState) {
	l.printf("%s: going on from the checkpoint at step %d", label, s.Step)
	l.write(map[string]any{"stage": label, "step": s.Step, "resumed": true})
}

// step logs a training step.
func (l *runLog) step(r Step) {
	seconds := r.Seconds - l.last.Seconds
	r.TokensPerS = float64(r.Tokens-l.last.Tokens) / math.Max(seconds, 1e-9)
	left := time.Duration(min(math.MaxInt64/2, seconds/float64(max(1, r.Step-l.last.Step))*float64(r.Steps-r.Step)*float64(time.Second)))
	l.last = r
	if l.bar != nil {
		l.bar.Set(r.Step)
	}
	l.printf("%s", r.line(left))
	l.write(r)
	l.warnIfSwamped(r)
	if l.observe != nil {
		l.observe(r)
	}
}

// line is the log line of a step; scripts look for how it begins.
func (r Step) line(left time.Duration) string {
	terms := fmt.Sprintf("Loss=%.4f", r.Loss)
	if r.distils {
		terms = fmt.Sprintf("Total=%.4f, CE=%.4f, LD=%.4f, AD=%.4f", r.Loss, r.CE, r.LD, r.AD)
	}
	if r.Stage == Stage2Label {
		terms += ", Tokens=" + data.FormatTokens(r.Tokens)
	}
	shares := ""
	if r.distils {
		shares = fmt.Sprintf(", shares %.0f/%.0f/%.0f %%", 100*r.ShareCE, 100*r.ShareLD, 100*r.ShareAD)
	}
	return fmt.Sprintf("%s Step %d: %s%s, lr %.2e, gradient %.3f, %.0f tokens/s, %s left",
		r.Stage, r.Step, terms, shares, r.LearningRate, r.GradientNorm, r.TokensPerS, left.Round(time.Second))
}

func (l *runLog) warnIfSwamped(r Step) {
	if !r.distils || l.warned {
		return
	}
	for name, share := range map[string]float64{"CE": r.ShareCE, "LD": r.ShareLD, "AD": r.ShareAD} {
		if share > swamped {
			l.warned = true
			l.printf("warning: %s is %.1f %% of the loss and drowns the other terms; change loss.lambda or loss.gamma, or take the preset balanced", name, 100*share)
		}
	}
}

// evaluation logs a score on the selection split.
func (l *runLog) evaluation(label string, step int, score float64, best bestMark) {
	l.printf("%s Step %d: selection score %.4f (best %.4f at step %d)", label, step, score, best.Score, best.Step)
	l.write(Selection{label, step, score, best.Step, best.Score})
}

// ternary logs how the ternary weights are distributed, and how many changed since the last time. It returns the sum of the counts and
// the mean scale.
func (l *runLog) ternary(label string, step int, counts []Ternary) (sum Ternary, scale float64) {
	for _, c := range counts {
		sum.add(c)
		scale += c.Scale / float64(len(counts))
	}
	minus, zero, plus := sum.shares()
	flipped := ""
	if sum.Compared {
		flipped = fmt.Sprintf(", %.2f %% flipped", 100*sum.flipShare())
	}
	l.printf("%s Step %d: ternary weights -1: %.1f %%, 0: %.1f %%, 1: %.1f %%%s", label, step, 100*minus, 100*zero, 100*plus, flipped)
	l.write(TernaryCount{label, step, counts})
	return sum, scale
}

// hint logs what settings may be wrong.
func (l *runLog) hint(label string, step int, hint string) {
	l.printf("hint: %s Step %d: %s", label, step, hint)
	l.write(map[string]any{"stage": label, "step": step, "hint": hint})
}

// write appends an object to metrics.jsonl.
func (l *runLog) write(object any) {
	if l.metrics != nil && l.err == nil {
		l.err = l.metrics.write(object)
	}
}

// forget takes out of metrics.jsonl what a stage wrote after a step.
func (l *runLog) forget(label string, after int) {
	if l.metrics != nil && l.err == nil {
		l.err = l.metrics.forget(label, after)
	}
}
