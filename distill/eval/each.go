package eval

import (
	"context"
	"fmt"
	"sync"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/gomlx/compute"
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

// checkLength refuses sequences that the model was not made for.
func checkLength(c arch.Config, length int) error {
	if length > c.MaxPositions {
		return fmt.Errorf("sequences of %d tokens, but the model was made for %d (max_position_embeddings); shorten them", length, c.MaxPositions)
	}
	return nil
}
