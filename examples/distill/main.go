// Command distill makes a 1.58-bit model for a task out of the model in a folder, and judges it, through the public API
// alone. Settings follow the flags: -model M -train T.tsv -dev D.tsv -corpus C.txt stage2.tokens=2M loss.gamma=10
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"

	"github.com/bitdistill/bitdistill/distill"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt) // Ctrl-C leaves a checkpoint
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	cfg, err := distill.Preset("balanced")
	if err != nil {
		return err
	}
	flag.StringVar(&cfg.Model, "model", "", "Hugging Face `folder` of the pretrained model, or its hub id")
	flag.StringVar(&cfg.Task.Train, "train", "", "TSV `file` with the columns sentence and label (0 or 1)")
	flag.StringVar(&cfg.Task.Dev, "dev", "", "the same to report on, used for nothing else")
	corpus := flag.String("corpus", "", "general text `file` for stage 2")
	out := flag.String("out", "run", "run `folder`; one that holds a run is gone on with")
	flag.Parse()
	cfg.Corpus.Files = []string{*corpus}
	if err := cfg.Set(flag.Args()...); err != nil {
		return err
	}
	r, err := distill.Open(ctx, cfg, distill.Options{Out: *out, Resume: distill.HoldsRun(*out), Log: os.Stderr})
	if err != nil {
		return err
	}
	defer r.Close()
	results, err := r.Do(ctx) // Teacher, Baseline, Stage1, Stage2, Stage3 and Evaluate: also methods of their own
	if err != nil {
		return err
	}
	return results.WriteText(os.Stdout)
}
