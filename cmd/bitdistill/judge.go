package main

import (
	"context"

	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/bitnet/packed"
	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/eval"
	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/spf13/cobra"
)

// Engines that models are judged in.
const (
	engineGraph  = "graph"
	enginePacked = "packed"
)

// judgeFlags are the flags that eval and perplexity share.
type judgeFlags struct {
	engineFlags
	data, engine, backend string
	batchSize             int
	json                  bool
}

func (f *judgeFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	f.registerModel(cmd)
	flags.StringVar(&f.engine, "engine", engineGraph, "graph, the one that trains, or packed, which generate and classify use")
	flags.StringVar(&f.backend, "backend", "auto", "of the graph: auto, go, xla:cpu or xla:cuda")
	f.registerEngine(cmd)
	jsonFlag(cmd, &f.json)
}

// judge measures a model.
type judge interface {
	accuracy(ctx context.Context, e *data.Examples) (eval.Accuracy, error)
	completions(ctx context.Context, e *data.Examples) (eval.Perplexity, error)
	write(ctx context.Context, e *data.Examples, kept *distill.KeptTexts) (eval.Generations, error)
	text(ctx context.Context, c *data.Corpus) (eval.Perplexity, error)
	name() string // of the backend, or of the kernel
	Close()
}

// subject is a model to be judged.
type subject struct {
	judge
	distill.Origin
	*files.Model
	graph *distill.Subject // nil in the packed engine
}

// open checks the flags and opens the model in its engine. The caller closes it.
func (c *cli) openSubject(ctx context.Context, f *judgeFlags) (*subject, error) {
	switch {
	case f.model == "":
		return nil, inputf("--model: missing; name a model's folder or a run folder")
	case f.engine != engineGraph && f.engine != enginePacked:
		return nil, inputf("--engine: %q is not known; graph and packed are", f.engine)
	case f.batchSize < 0:
		return nil, inputf("--batch-size: %d, want a positive number", f.batchSize)
	}
	if f.engine == enginePacked {
		m, err := f.open(ctx, c.log)
		if err != nil {
			return nil, err
		}
		kernel, err := packed.Kernel()
		return &subject{judge: packedJudge{c, m, kernel}, Origin: m.Origin, Model: m.Model.Model}, err
	}
	m, err := distill.OpenModel(ctx, f.model, c.log)
	if err != nil {
		return nil, err
	}
	b, err := backend.Open(f.backend)
	if err != nil {
		return nil, wrongInput{err}
	}
	return &subject{judge: graphJudge{c, m, b, f}, Origin: m.Origin, Model: &m.Model.Model, graph: m}, nil
}

// graphJudge measures in the graph that training has, on a backend.
type graphJudge struct {
	*cli
	model  *distill.Subject
	choice *backend.Choice
	flags  *judgeFlags // batchSize, which comes with the data
}

func (g graphJudge) name() string { return g.choice.Name }
func (g graphJudge) Close()       { g.choice.Close() }

func (g graphJudge) accuracy(ctx context.Context, e *data.Examples) (a eval.Accuracy, err error) {
	judge, err := eval.NewClassifier(g.choice.Backend, g.model.Config, g.model.Store, g.flags.batchSize)
	if err != nil {
		return a, err
	}
	update, done := g.progress("eval")
	defer done()
	judge.Progress = update
	return judge.Accuracy(ctx, e)
}

func (g graphJudge) completions(ctx context.Context, e *data.Examples) (p eval.Perplexity, err error) {
	judge, err := eval.NewCompletions(g.choice.Backend, g.model.Config, g.model.Store, g.flags.batchSize)
	if err != nil {
		return p, err
	}
	update, done := g.progress("perplexity")
	defer done()
	judge.Progress = update
	return judge.Perplexity(ctx, e)
}

func (g graphJudge) write(ctx context.Context, e *data.Examples, kept *distill.KeptTexts) (w eval.Generations, err error) {
	end, _ := e.End()
	generator, err := eval.NewGenerator(g.choice.Backend, g.model.Config, g.model.Store, end, g.flags.batchSize)
	if err != nil {
		return w, err
	}
	defer generator.Close()
	if kept != nil {
		generator.Kept = kept
	}
	update, done := g.progress("greedy decoding")
	defer done()
	generator.Progress = update
	return generator.Complete(ctx, e, 0, g.model.Tokenizer.Decode)
}

func (g graphJudge) text(ctx context.Context, t *data.Corpus) (p eval.Perplexity, err error) {
	judge, err := eval.NewLanguageModel(g.choice.Backend, g.model.Config, g.model.Store, g.flags.batchSize)
	if err != nil {
		return p, err
	}
	update, done := g.progress("perplexity")
	defer done()
	judge.Progress = update
	return judge.Perplexity(ctx, t)
}

// packedJudge measures in the packed engine.
type packedJudge struct {
	*cli
	model  *distill.Packed
	kernel string
}

func (p packedJudge) name() string { return p.kernel }
func (p packedJudge) Close()       { p.model.Close() }

// in is the engine with progress; done takes that away.
func (p packedJudge) in(what string) (e eval.Packed, done func()) {
	update, done := p.progress(what)
	return eval.Packed{Model: p.model.Model, Progress: update}, done
}

func (p packedJudge) accuracy(ctx context.Context, e *data.Examples) (eval.Accuracy, error) {
	engine, done := p.in("eval")
	defer done()
	return engine.Accuracy(ctx, e)
}

func (p packedJudge) completions(ctx context.Context, e *data.Examples) (eval.Perplexity, error) {
	engine, done := p.in("perplexity")
	defer done()
	return engine.Completions(ctx, e)
}

func (p packedJudge) write(ctx context.Context, e *data.Examples, _ *distill.KeptTexts) (eval.Generations, error) {
	engine, done := p.in("greedy decoding")
	defer done()
	return engine.Complete(ctx, e)
}

func (p packedJudge) text(ctx context.Context, t *data.Corpus) (eval.Perplexity, error) {
	engine, done := p.in("perplexity")
	defer done()
	return engine.Perplexity(ctx, t)
}

// fits refuses a length that the model was not made for.
func fits(m *files.Model, flag string, length int) error {
	if most := m.Config.MaxPositions; length < 2 || length > most {
		return inputf("%s: %d tokens, want 2 to %d: what the model was made for (max_position_embeddings)", flag, length, most)
	}
	return nil
}
