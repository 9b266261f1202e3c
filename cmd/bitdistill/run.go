package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// allStages is the value of --stage for everything.
const allStages = "all"

// defaultOut is the run folder when none is named.
const defaultOut = "bitdistill-run"

func (c *cli) runCommand() *cobra.Command {
	f := &runFlags{}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the stages: teacher, baselines, ternary student, distillation, evaluation",
		Long: `run makes a 1.58-bit model of a pretrained one, and the two models it is judged
against, in a run folder:

  teacher    the model to learn from: given, or fine-tuned on the task
  baseline   FP16-SFT and BitNet-SFT, fine-tuned in full and in ternary precision
  1          ternary linears and SubLN; weights unchanged
  2          continual pre-training on the corpus
  3          distillation on the task
  eval       accuracy of the three models on the held-out data

All of them run one after the other unless --stage names one. Then the run folder
says what is there and with which settings; flags that are given change them for what
is still to come. A stage that is done is never made again.

Settings come from the preset, then --config, then flags, then --set; a later one wins,
and of steps, epochs and tokens one that is set unsets the others.
Without --preset, it is "embedded", where model, task and corpus are in the binary;
once --model, --task, --train, --dev or --corpus name something else it is
"classification", and all of them have to be named, so that nothing of the embedded
data gets in unseen. The word "embedded" in their place asks for it.

Presets:
` + presetLines() + `
Ctrl-C leaves a checkpoint, from which --resume goes on.`,
		Example: `  bitdistill run
  bitdistill run --model SmolLM2-135M --train train.tsv --dev dev.tsv --corpus text/ --out RUN
  bitdistill run --model SmolLM2 --task sst2 --train train.tsv --dev dev.tsv --corpus hf:Salesforce/wikitext/wikitext-103-raw-v1/train
  bitdistill run --resume --out RUN
  bitdistill run --stage 3 --set loss.gamma=10 --out RUN
  bitdistill run --task sst2 --train train.tsv --show 3 --dry-run --model ...
  bitdistill run --preset balanced --set stage2.tokens=2M --dry-run --model ...`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.given = cmd.Flags().Changed
			return c.run(cmd.Context(), f)
		},
	}
	f.register(cmd)
	jsonFlag(cmd, &f.json)
	return cmd
}

func presetLines() string {
	var b strings.Builder
	names, about := distill.Presets()
	for i, name := range names {
		fmt.Fprintf(&b, "  %-15s %s\n", name, about[i])
	}
	return b.String()
}

// run is the command.
func (c *cli) run(ctx context.Context, f *runFlags) error {
	found, err := c.examine(f)
	if err != nil {
		return err
	}
	cfg, err := f.settings(found)
	if err != nil {
		return err
	}
	if err := c.showExamples(ctx, cfg, f); err != nil {
		return err
	}
	if f.dryRun {
		plan, err := distill.NewPlan(ctx, cfg, c.log)
		if err != nil {
			return err
		}
		return c.show(plan)
	}
	r, err := distill.Open(ctx, cfg, distill.Options{Out: f.out, Resume: found, Log: c.log})
	if err != nil {
		return err
	}
	results, err := c.stages(ctx, r, cfg, f)
	if err = errors.Join(err, r.Close()); err != nil {
		return f.withAdvice(err)
	}
	if err := c.writeResults(results, f.json); err != nil {
		return err
	}
	c.reportOn(ctx, f.out, results)
	return nil
}

// showExamples writes the examples that --show asks for: to stdout, unless that is to hold JSON alone.
func (c *cli) showExamples(ctx context.Context, cfg distill.Config, f *runFlags) error {
	if f.examples < 0 {
		return inputf("--show: %d, want a positive number", f.examples)
	}
	if f.examples == 0 {
		return nil
	}
	to := c.out
	if f.json || f.dryRun {
		to = c.log
	}
	file, ok := to.(*os.File)
	return distill.ShowExamples(ctx, cfg, f.examples, to, ok && term.IsTerminal(int(file.Fd())) && os.Getenv("NO_COLOR") == "", c.log)
}

// examine checks the flags against what the run folder holds, and reports whether it holds a run.
func (c *cli) examine(f *runFlags) (found bool, err error) {
	single := f.stage != allStages
	if stages := distill.Stages(); single && !slices.Contains(stages, f.stage) {
		return false, inputf("--stage: %q is not one of all, %s", f.stage, strings.Join(stages, ", "))
	}
	found = distill.HoldsRun(f.out)
	if found && !f.resume && !single && distill.OnlyConfig(f.out) {
		return false, nil // a new run takes its place
	}
	switch needs := distill.Needs(f.stage); {
	case found && !f.resume && !single && f.dryRun:
		fmt.Fprintf(c.log, "warning: --out %s holds a run already; a new one needs another folder\n", f.out)
		return false, nil
	case found && !f.resume && !single:
		return found, inputf("--out %s: holds a run already; go on with --resume, or name another folder", f.out)
	case !found && f.resume && !distill.Unstarted(f.out):
		return found, inputf("--out %s: holds no run that could be resumed", f.out)
	case !found && f.resume:
		fmt.Fprintf(c.log, "%s: the run there was ended before it had begun; it begins now\n", f.out)
	case !found && single && needs != "" && !f.dryRun:
		return found, inputf("--out %s: holds no run, and stage %s goes on from what stage %s leaves there; start with that one", f.out, f.stage, needs)
	}
	return found, nil
}

// stages runs one stage or all.
func (c *cli) stages(ctx context.Context, r *distill.Run, cfg distill.Config, f *runFlags) (*distill.Results, error) {
	if f.stage == allStages {
		if slices.ContainsFunc(r.Config.Differences(cfg), func(d distill.Difference) bool { return mayChange(d.Setting) }) { // of a run that goes on
			if err := r.Reconfigure(ctx, cfg); err != nil {
				return nil, err
			}
		}
		if err := c.checkMemory(r.Plan); err != nil {
			return nil, err
		}
		return r.Do(ctx)
	}
	folder, done, err := r.Done(f.stage)
	if err != nil {
		return nil, err
	}
	if done {
		return nil, inputf("--stage %s: is done already, see %s; remove that folder to make it again", f.stage, folder)
	}
	if err := r.Reconfigure(ctx, cfg); err != nil {
		return nil, err
	}
	if err := c.checkMemory(r.Plan); err != nil {
		return nil, err
	}
	results, err := r.Stage(ctx, f.stage)
	if err == nil && results == nil {
		folder, _, err = r.Done(f.stage)
		fmt.Fprintf(c.log, "stage %s is done: %s\n", f.stage, folder)
	}
	return results, err
}

// withAdvice tells how to go on after an interruption, or on a full disk.
func (f *runFlags) withAdvice(err error) error {
	full := errors.Is(err, syscall.ENOSPC)
	if !full && !errors.Is(err, distill.ErrInterrupted) && !errors.Is(err, context.Canceled) {
		return err
	}
	how := "--resume"
	if f.stage != allStages {
		how = "--stage " + f.stage
	}
	if full {
		err = fmt.Errorf("%w; what is there is whole: make room", err)
	}
	return fmt.Errorf("%w; go on with: bitdistill run %s --out %s", err, how, f.out)
}

// writeResults writes the table that a run ends with.
func (c *cli) writeResults(r *distill.Results, asJSON bool) error {
	switch {
	case r == nil:
		return nil
	case asJSON:
		return c.writeJSON(r, "  ")
	}
	return r.WriteText(c.out)
}
