package report

import (
	"fmt"
	"math"
	"slices"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/plots"
)

// stages are the labels of the trainings that were logged, in the order in which they began.
func (r *Run) stages() []string {
	var names []string
	seen := map[string]bool{}
	for _, s := range r.Metrics.Steps {
		if !seen[s.Stage] {
			seen[s.Stage] = true
			names = append(names, s.Stage)
		}
	}
	return names
}

// of are the steps of one training.
func (r *Run) of(stage string) []distill.Step {
	var steps []distill.Step
	for _, s := range r.Metrics.Steps {
		if s.Stage == stage {
			steps = append(steps, s)
		}
	}
	return steps
}

// curve is a value by step.
func curve(name string, steps []distill.Step, value func(distill.Step) float64) plots.Curve {
	c := plots.Curve{Name: name, X: []float64{}, Y: []float64{}}
	for _, s := range steps {
		c.X, c.Y = append(c.X, float64(s.Step)), append(c.Y, value(s))
	}
	return c
}

func total(s distill.Step) float64 { return s.Loss }

// whatIsLost names the tokens that a stage's loss is a mean over.
func whatIsLost(stage string) string {
	if stage == distill.Stage2Label {
		return "nats per token"
	}
	return "nats per answer token"
}

func (b *builder) training(r *Run) {
	b.section("training", "Training")
	var rows [][]string
	var rates, norms []plots.Curve
	for _, name := range r.stages() {
		steps := r.of(name)
		last := steps[len(steps)-1]
		rows = append(rows, []string{name, fmt.Sprintf("%d of %d", last.Step, last.Steps), number(last.Epoch), number(last.Loss),
			fmt.Sprint(last.Tokens), fmt.Sprintf("%.0f", last.Seconds), fmt.Sprintf("%.0f", perSecond(last)), fmt.Sprint(last.Skipped)})
		rates = append(rates, curve(name, steps, func(s distill.Step) float64 { return s.LearningRate }))
		norms = append(norms, curve(name, steps, func(s distill.Step) float64 { return s.GradientNorm }))
	}
	if len(rows) == 0 {
		b.text("No training step is logged yet.")
		return
	}
	b.table("Trainings so far", []string{"training", "steps", "epochs", "last loss", "tokens", "seconds", "tokens/s", "steps skipped"}, rows)
	for _, name := range r.stages() {
		b.charts(r.losses(name)...)
	}
	b.charts(r.selections()...)
	b.charts(
		plots.Lines("Learning rate", "step", "learning rate", plots.LineOptions{Smooth: -1}, rates...).Resized(800, 340),
		plots.Lines("Norm of the gradient before clipping", "step", "norm", plots.LineOptions{Log: true}, norms...).Resized(800, 340))
}

func perSecond(s distill.Step) float64 {
	if s.Seconds <= 0 {
		return math.NaN()
	}
	return float64(s.Tokens) / s.Seconds
}

// losses draws what a training minimised: of one with distillation the terms and their weighted shares too.
func (r *Run) losses(stage string) []*plots.Chart {
	steps := r.of(stage)
	if stage != distill.Stage3Label {
		return []*plots.Chart{plots.Loss("Loss of "+stage, whatIsLost(stage), curve("cross entropy", steps, total)).Resized(800, 340)}
	}
	terms := []plots.Curve{
		curve("total", steps, total),
		curve("CE", steps, func(s distill.Step) float64 { return s.CE }),
		curve("LD", steps, func(s distill.Step) float64 { return s.LD }),
		curve("AD", steps, func(s distill.Step) float64 { return s.AD }),
	}
	l := r.Config.Loss
	shares := []plots.Curve{
		curve("CE", steps, func(s distill.Step) float64 { return s.ShareCE }),
		curve(fmt.Sprintf("%g·LD", l.Lambda), steps, func(s distill.Step) float64 { return s.ShareLD }),
		curve(fmt.Sprintf("%g·AD", l.Gamma), steps, func(s distill.Step) float64 { return s.ShareAD }),
	}
	return []*plots.Chart{
		plots.Loss(fmt.Sprintf("Loss of Stage-3: total = CE + %g·LD + %g·AD", l.Lambda, l.Gamma), "", terms...),
		plots.LossShares("Weighted shares of the loss of Stage-3", shares...).Resized(800, 340),
	}
}

// selections draws the scores on the selection splits: accuracies, and nats a token of stage 2 and of completions, whose scores are
// log-likelihoods.
func (r *Run) selections() []*plots.Chart {
	var tasks, completions, corpus []plots.Curve
	for _, name := range r.stages() {
		c := plots.Curve{Name: name}
		sign := 100.0
		isText := slices.ContainsFunc(r.Metrics.Selections, func(s distill.Selection) bool { return s.Stage == name && s.Score < 0 })
		if isText {
			sign = -1
		}
		for _, s := range r.Metrics.Selections {
			if s.Stage == name {
				c.X, c.Y = append(c.X, float64(s.Step)), append(c.Y, sign*s.Score)
			}
		}
		switch {
		case len(c.X) == 0:
		case name == distill.Stage2Label:
			corpus = append(corpus, c)
		case isText:
			completions = append(completions, c)
		default:
			tasks = append(tasks, c)
		}
	}
	var all []*plots.Chart
	o := plots.LineOptions{Smooth: -1}
	if len(tasks) > 0 {
		all = append(all, plots.Lines("Accuracy on the selection split", "step", "accuracy, %", o, tasks...).Resized(800, 340))
	}
	if len(completions) > 0 {
		all = append(all, plots.Lines("Loss on the completions of the selection split", "step", "nats per token", o, completions...).Resized(800, 340))
	}
	if len(corpus) > 0 {
		all = append(all, plots.Lines("Loss on the selection windows of Stage-2", "step", "nats per token", o, corpus...).Resized(800, 340))
	}
	return all
}

// flips draws which share of all ternary weights changed its code between two counts.
func (r *Run) flips() []*plots.Chart {
	byStage := map[string]*plots.Curve{}
	var order []string
	for _, count := range r.Metrics.Ternary {
		flipped, total := 0, 0
		for _, t := range count.Linears {
			if t.Compared {
				flipped, total = flipped+t.Flipped, total+t.Minus+t.Zero+t.Plus
			}
		}
		if total == 0 { // the first count of a training has none to be compared with
			continue
		}
		if byStage[count.Stage] == nil {
			byStage[count.Stage] = &plots.Curve{Name: count.Stage}
			order = append(order, count.Stage)
		}
		c := byStage[count.Stage]
		c.X, c.Y = append(c.X, float64(count.Step)), append(c.Y, 100*float64(flipped)/float64(total))
	}
	var curves []plots.Curve
	for _, name := range order {
		curves = append(curves, *byStage[name])
	}
	if len(curves) == 0 {
		return nil
	}
	return []*plots.Chart{plots.Flips(fmt.Sprintf("Flips: new codes since the last count (every %d steps)", r.Config.TernaryEvery), curves...)}
}
