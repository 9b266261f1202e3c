package kit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/plots"
	"github.com/bitdistill/bitdistill/plots/inline"
)

// Context ends when the button that stops a cell is pressed, or with Ctrl-C.
func Context() (ctx context.Context, stop context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt)
}

// Model opens a model as commands name it: a folder, a run, a hub id, one in the library. What is fetched is told in the cell's output.
func Model(name string) (*distill.Subject, error) {
	ctx, stop := Context()
	defer stop()
	return distill.OpenModel(ctx, name, os.Stderr)
}

// Train runs stages in a run folder, one after the other, and shows their losses while they run. The button that stops a cell leaves
// a checkpoint, from which the cell goes on when it is run again; a stage that is done is only shown. Without a notebook around it is
// silent.
func Train(cfg distill.Config, folder, title string, stages ...string) error {
	ctx, stop := Context()
	defer stop()
	live := inline.NewLive()
	chart := func() *plots.Chart {
		m, err := distill.ReadMetrics(folder) // it has the steps from before an interruption too
		if err != nil {
			return nil
		}
		return Losses(title, m.Steps, stages...)
	}
	show := func(s distill.Step) {
		live.Update(s.Step, s.Steps, fmt.Sprintf("%s, loss %.3f", s.Stage, s.Loss), chart)
	}
	run, err := distill.Open(ctx, cfg, distill.Options{Out: folder, Resume: distill.HoldsRun(folder), OnStep: show})
	if err != nil {
		return err
	}
	defer run.Close()
	for _, stage := range stages {
		if _, err := run.Stage(ctx, stage); err != nil {
			return errors.Join(err, live.Close())
		}
	}
	live.Update(1, 1, "done", chart)
	return live.Close()
}

// trained are the names that the trainings of a stage have in a run's metrics.
var trained = map[string][]string{
	distill.StageTeacher: {"Teacher"}, distill.StageBaseline: {"FP16-SFT", "BitNet-SFT"}, distill.StageCorpus: {"Stage-2"}, distill.StageTask: {"Stage-3"},
}

// Losses draws the losses of stages: one curve a training, and the terms too where stage 3 is alone.
func Losses(title string, steps []distill.Step, stages ...string) *plots.Chart {
	if slices.Equal(stages, []string{distill.StageTask}) {
		return plots.Loss(title, "nats",
			Curve("total", steps, "Stage-3", func(s distill.Step) float64 { return s.Loss }),
			Curve("CE", steps, "Stage-3", func(s distill.Step) float64 { return s.CE }),
			Curve("LD", steps, "Stage-3", func(s distill.Step) float64 { return s.LD }),
			Curve("AD", steps, "Stage-3", func(s distill.Step) float64 { return s.AD }))
	}
	var curves []plots.Curve
	for _, stage := range stages {
		for _, name := range trained[stage] {
			if c := Curve(name, steps, name, func(s distill.Step) float64 { return s.Loss }); len(c.X) > 0 {
				curves = append(curves, c)
			}
		}
	}
	return plots.Loss(title, "nats", curves...)
}

// Curve is a value of each step that a training has logged.
func Curve(name string, steps []distill.Step, training string, value func(distill.Step) float64) plots.Curve {
	c := plots.Curve{Name: name, X: []float64{}}
	for _, s := range steps {
		if s.Stage == training {
			c.X, c.Y = append(c.X, float64(s.Step)), append(c.Y, value(s))
		}
	}
	return c
}
