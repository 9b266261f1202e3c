package eval

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/decoder"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// Completions measures how well a model predicts the completions of a generation task behind their prompts, each token given those
// before it (teacher forcing). It keeps its compiled graphs: make one and use it for all evaluations of a model, whose weights may
// change in between.
type Completions struct {
	backend  compute.Backend
	Progress func(done, total int) // batches; may be nil

	exec     *model.Exec
	config   arch.Config
	rows     int
	building sync.Mutex // building a graph writes to the variables, and two lengths may come up at once
}

// NewCompletions makes the evaluator of a model that computes rows sequences at a time, or fewer where the logits of so many
// completions would take over 64 MiB.
func NewCompletions(backend compute.Backend, cfg arch.Config, store *model.Store, rows int) (*Completions, error) {
	c := &Completions{backend: backend, config: cfg, rows: rows}
	var err error
	c.exec, err = newExec(backend, store, c.graph)
	return c, err
}

// graph takes ids and mask [rows, length], positions and targets [rows, width], all int32, and returns the log-probability of each
// target at its position [rows, width]. Where there is no target, the value means nothing.
func (c *Completions) graph(scope *model.Scope, in []*graph.Node) []*graph.Node {
	c.building.Lock()
	defer c.building.Unlock()
	ids, mask, positions, targets := in[0], in[1], in[2], in[3]
	out := decoder.Forward(scope, c.config, decoder.Inputs{IDs: ids, Mask: mask}, decoder.Options{At: positions})
	return []*graph.Node{chosen(graph.LogSoftmax(out.Logits, -1), targets)}
}

// Perplexity is exp of the mean, over the tokens of all completions with their end tokens, of the negative log-likelihood. It
// stops with the context's error when that ends.
func (c *Completions) Perplexity(ctx context.Context, e *data.Examples) (Perplexity, error) {
	began := time.Now()
	width := 1
	for i := range e.Len() {
		width = max(width, len(e.Answer(i)))
	}
	batches, err := data.NewEvaluation(e, max(1, min(c.rows, batchLogits/(4*width*c.config.VocabSize))), backend.PaddedLengths(c.backend))
	if err != nil {
		return Perplexity{}, err
	}
	for _, l := range batches.Lengths() {
		if err := checkLength(c.config, l); err != nil {
			return Perplexity{}, fmt.Errorf("%s: %w", e.File, err)
		}
	}
	r, sum := Perplexity{}, 0.0
	err = each(ctx, c.backend, batches.Len(), c.Progress, func(i int) (apply func(), err error) {
		b := batches.Batch(i)
		positions, targets, width := b.Answers()
		out, err := run(c.exec, b, positions, width, tensors.FromFlatDataAndDimensions(targets, b.Rows, width))
		if err != nil {
			return nil, err
		}
		return r.add(out, targets, &sum)
	})
	if err != nil {
		return Perplexity{}, err
	}
	return r.of(sum, began)
}
