package infer_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/bitnet/packed"
	"github.com/bitdistill/bitdistill/internal/archtest"
	"github.com/bitdistill/bitdistill/internal/golden"
)

// TestGraph compares whole models of every kind with the graph that training uses.
func TestGraph(t *testing.T) {
	for name, c := range archtest.AllVariants() {
		t.Run(name, func(t *testing.T) {
			folder, ids := randomFolder(t, c, 3), randomIDs(c, 29, 3)
			g := runGraph(t, folder, ids)
			m := opened(t, folder, infer.Options{Threads: 2})
			d, _ := golden.MaxDiff(flatLogits(t, m, ids), g.logits)
			t.Logf("logits: largest deviation %.2g", d)
			if !(d <= 1e-4) {
				t.Error("more than 1e-4")
			}
			for i := range c.Layers { // each on what the graph gives it
				y, err := m.Block(i, g.hidden[i])
				if err != nil {
					t.Fatal(err)
				}
				if i < c.Layers-1 {
					golden.Close(t, fmt.Sprintf("block %d", i), y, g.hidden[i+1], 1e-6)
				}
			}
		})
	}
}

// TestLinears: fed with what the graph feeds it, every linear gives the graph's integers.
func TestLinears(t *testing.T) {
	c := archtest.Tiny(arch.Qwen3, arch.Ternary(arch.SubLNAll))
	folder, ids := randomFolder(t, c, 5), randomIDs(c, 11, 5)
	var names []string
	for i := range c.Layers {
		for _, l := range arch.Linears() {
			names = append(names, fmt.Sprintf("model.layers.%d.%s", i, l))
		}
	}
	g := runGraph(t, folder, ids, names...)
	m := opened(t, folder, infer.Options{})
	for i := range c.Layers {
		for _, l := range arch.Linears() {
			x := g.inputs[fmt.Sprintf("model.layers.%d.%s", i, l)]
			w, err := m.Linear(i, l)
			if err != nil {
				t.Fatal(err)
			}
			out, in := w.Dims()
			a, err := packed.NewActivations(in, len(ids))
			if err != nil {
				t.Fatal(err)
			}
			got := make([]int32, len(ids)*out)
			if err := a.Quantize(x, 0); err != nil {
				t.Fatal(err)
			}
			if err := w.MulInts(got, a, packed.Span{To: w.Panels()}, packed.Span{To: len(ids)}); err != nil {
				t.Fatal(err)
			}
			if want := integers(x, w.Codes(nil), out, in); !slices.Equal(got, want) {
				t.Errorf("layer %d: %s: other integers", i, l)
			}
		}
	}
}

// integers are products of codes, by the formulas: round(127·x/max|x|) and weights as they are.
func integers(x []float32, weights []int8, out, in int) (all []int32) {
	for _, token := range rows(x, in) {
		peak := float32(0)
		for _, v := range token {
			peak = max(peak, float32(math.Abs(float64(v))))
		}
		for r := range out {
			sum := int32(0)
			for k, v := range token {
				sum += int32(math.RoundToEven(float64(v*(127*(1/peak))))) * int32(weights[r*in+k])
			}
			all = append(all, sum)
		}
	}
	return all
}
