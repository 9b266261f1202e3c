package distill

import (
	"testing"

	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
)

// openBench makes a program's models.
func openBench(t testing.TB, p *BenchProgram) *bench {
	t.Helper()
	b, err := p.bench(&meter{Backend: backendtest.Open(t)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// batches are the micro-batches of one step.
func batches(b *bench) []*data.Batch {
	all := make([]*data.Batch, b.stepper.training.MicroBatches)
	for i := range all {
		all[i] = b.batch(b.Batch / len(all))
	}
	return all
}
