package main

import (
	"context"
	"io"

	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/distill"
	"github.com/spf13/cobra"
)

// engineFlags are the flags of commands that use a model in the packed engine.
type engineFlags struct {
	model   string
	threads int
	cache   infer.CacheType
}

func (f *engineFlags) registerModel(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.model, "model", "", "`FILE` that export made, or another GGUF file, the folder of a model or of a run (its student), a hub id, "+distill.Embedded+" or "+distill.EmbeddedTeacher)
}

// registerEngine adds what the engine is told.
func (f *engineFlags) registerEngine(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.threads, "threads", 0, "of the packed engine (default: as many as there are processors)")
	cmd.Flags().TextVar(&f.cache, "cache", infer.CacheF32, "of the packed engine, `TYPE` of keys and values: f32, f16 or int8")
}

// options are those flags for the engine.
func (f *engineFlags) options() (infer.Options, error) {
	if f.threads < 0 || f.threads > 1024 {
		return infer.Options{}, inputf("--threads: %d, want a positive number, at most 1024", f.threads)
	}
	return infer.Options{Threads: f.threads, Cache: f.cache}, nil
}

// take has the model named by the first word, if no flag names it. What is left belongs to the command.
func (f *engineFlags) take(args []string) []string {
	if f.model == "" && len(args) > 0 {
		f.model, args = args[0], args[1:]
	}
	return args
}

// open opens the model. The caller closes it.
func (f *engineFlags) open(ctx context.Context, log io.Writer) (*distill.Packed, error) {
	if f.model == "" {
		return nil, inputf("--model: missing; name a file that bitdistill export made, a run folder or a model's folder")
	}
	o, err := f.options()
	if err != nil {
		return nil, err
	}
	return distill.OpenPacked(ctx, f.model, log, o)
}
