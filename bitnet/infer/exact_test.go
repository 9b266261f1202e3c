//go:build amd64 && !goexperiment.simd

package infer_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/internal/archtest"
	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
	"github.com/bitdistill/bitdistill/internal/golden"
)

// TestExact: on the pure-Go backend all bits are those of the graph, where scales follow the sums. The text has a multiple of three tokens, since
// the backend adds up in another order in what is left of three rows.
func TestExact(t *testing.T) {
	if !backend.Interprets(backendtest.Open(t)) {
		t.Skip("NOT TESTED: the test backend is another than pure Go, which adds up in an order of its own")
	}
	all := archtest.AllVariants()
	rounded := archtest.Tiny(arch.Llama, arch.Ternary(arch.SubLNOutput))
	rounded.Quantization.FP16Scales = true
	all["llama/fp16_scales"] = rounded
	for name, c := range all {
		if kind := c.Quantization.Weights; kind == arch.Block || kind == arch.BlockPadded {
			continue
		}
		folder, ids := randomFolder(t, c, 3), randomIDs(c, 27, 3)
		g := runGraph(t, folder, ids)
		m := opened(t, folder, infer.Options{Threads: 2})
		if got := flatLogits(t, m, ids); !slices.Equal(got, g.logits) {
			d, at := golden.MaxDiff(got, g.logits)
			t.Errorf("%s: logit %d is off by %g", name, at, d)
		}
		hidden, err := m.Hidden(t.Context(), ids)
		if err != nil {
			t.Fatal(err)
		}
		for i, h := range hidden {
			if !slices.Equal(h, g.hidden[i]) {
				t.Errorf("%s: hidden %d differs", name, i)
			}
		}
		if strings.HasPrefix(name, "llama/ternary") {
			changed := slices.Clone(ids)
			changed[0]++
			if slices.Equal(flatLogits(t, m, changed), g.logits) {
				t.Errorf("%s: another text has the same logits", name)
			}
		}
	}
}
