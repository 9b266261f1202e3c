package main

import (
	"fmt"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/internal/system"
)

// show writes a plan: JSON to stdout, and what people look for first to the log.
func (c *cli) show(p *distill.Plan) error {
	if err := c.writeJSON(p, "  "); err != nil {
		return err
	}
	n := p.Parameters
	fmt.Fprintf(c.log, "parameters: %d, of them %d ternary in linears, %d in embeddings, %d in norms, %d in SubLN\n", n.Total, n.Linears, n.Embeddings, n.Norms, n.SubLN)
	fmt.Fprintf(c.log, "size: %s as it is, %s as a 1.58-bit model; the linears alone %s and %s\n",
		size(p.Bytes.FullModel), size(p.Bytes.StudentModel), size(p.Bytes.FullLinears), size(p.Bytes.StudentLinears))
	for _, m := range p.Memory {
		fmt.Fprintf(c.log, "memory of %s: about %s (weights %s, gradients %s, moments %s, teacher %s, activations %s)\n",
			m.Stage, size(m.Total), size(m.Weights), size(m.Gradients), size(m.Moments), size(m.Teacher), size(m.Activations))
	}
	if err := c.checkMemory(p); err != nil { // the plan may be for another machine
		fmt.Fprintf(c.log, "warning: %v\n", err)
	}
	return nil
}

// checkMemory warns of a training that may not fit, and refuses one that cannot: the estimate is good to a half. A run that goes
// on as it was has no plan, and has been checked.
func (c *cli) checkMemory(p *distill.Plan) error {
	limit, known := system.MemoryLimit()
	if p == nil || !known {
		return nil
	}
	peak := p.Peak()
	advice := fmt.Sprintf("%s needs about %s of memory, this machine has %s; raise micro_batches, add --remat, or lower batch_size, layers or the lengths (--set layers=6)",
		peak.Stage, size(peak.Total), size(int64(limit)))
	switch need := uint64(peak.Total); {
	case need > 2*limit:
		return inputf("%s", advice)
	case need > limit:
		fmt.Fprintf(c.log, "warning: %s\n", advice)
	}
	return nil
}

// size writes bytes in decimal units.
func size(n int64) string {
	x, unit := float64(n), ""
	for _, unit = range []string{"B", "kB", "MB", "GB", "TB"} {
		if x < 1000 {
			break
		}
		x /= 1000
	}
	return fmt.Sprintf("%.3g %s", x, unit)
}
