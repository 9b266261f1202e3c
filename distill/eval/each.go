package eval

import (
	"context"
	"fmt"
	"sync"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// each computes n batches, as many side by side as the backend is best used with, and applies their results in order: sums
// of floats do not depend on the number of cores. It ends with the first error, or when the context does. progress may be nil.
func each(ctx context.Context, b compute.Backend, n int, progress func(done, total int), batch func(i int) (apply func(), err error)) error {
	type result struct {
		apply func()
		err   error
	}
	width := backend.Concurrency(b)
	for first := 0; first < n; first += width {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		results := make([]result, min(width, n-first))
		var wg sync.WaitGroup
		for i := range results {
			wg.Go(func() { results[i].apply, results[i].err = batch(first + i) })
		}
		wg.Wait()
		for _, r := range results {
			if r.err != nil {
				return r.err
			}
			r.apply()
		}
		if progress != nil {
			progress(first+len(results), n)
		}
	}
	return nil
}

// newExec compiles a graph for every shape that comes up.
func newExec(b compute.Backend, store *model.Store, build func(*model.Scope, []*graph.Node) []*graph.Node) (*model.Exec, error) {
	exec, err := model.NewExec(b, store, build)
	if err != nil {
		return nil, err
	}
	exec.SetMaxCache(-1) // a batch has one of a few lengths; never refuse one
	return exec, nil
}

// run computes a graph of a batch's ids and mask [rows, length], positions in them [rows, width] and one more input, and returns its
// first output.
func run(exec *model.Exec, b *data.EvalBatch, positions []int32, width int, last *tensors.Tensor) (*tensors.Tensor, error) {
	outs, err := exec.Exec(
		tensors.FromFlatDataAndDimensions(b.IDs, b.Rows, b.Length),
		tensors.FromFlatDataAndDimensions(b.Mask, b.Rows, b.Length),
		tensors.FromFlatDataAndDimensions(positions, b.Rows, width), last)
	if err != nil {
		return nil, err
	}
	return outs[0], nil
}

// checkLength refuses sequences that the model was not made for.
func checkLength(c arch.Config, length int) error {
	if length > c.MaxPositions {
		return fmt.Errorf("sequences of %d tokens, but the model was made for %d (max_position_embeddings); shorten them", length, c.MaxPositions)
	}
	return nil
}
