package report

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/distill/loss"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// With one relation head, the divergence of the matrices that are drawn is the loss that training minimises.
func TestRelationIsThatOfTheLoss(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const n, width = 5, 8
	states := make([][]float32, 2)
	for i := range states {
		states[i] = make([]float32, n*width)
		for k := range states[i] {
			states[i][k] = float32(rng.NormFloat64() / 2) // so that no probability is below the floor of the loss
		}
	}
	for _, variant := range []loss.Variant{loss.L2, loss.Sqrt, loss.Dot} {
		r := loss.Relations{SplitHeads: 1, Variant: variant, Normalisation: loss.Algorithm1, Temperature: 0.8, Alpha: loss.Alpha{1, 0, 0}}
		exec, err := graph.NewExec(backendtest.Open(t), func(s, t *graph.Node) *graph.Node {
			g := s.Graph()
			mask := graph.Const(g, [][]float32{{1, 1, 1, 1, 1}})
			return r.Loss([]loss.State{{Q: s, K: s, V: s}}, []loss.State{{Q: t, K: t, V: t}}, mask, graph.Const(g, float32(n)))
		})
		check(t, err)
		out, err := exec.Call1(tensors.FromFlatDataAndDimensions(states[0], 1, n, width), tensors.FromFlatDataAndDimensions(states[1], 1, n, width))
		check(t, err)
		want := float64(tensors.ToScalar[float32](out))
		student, teacher := relation(states[0], n, r), relation(states[1], n, r)
		got := 0.0
		for i := range teacher {
			for j, p := range teacher[i] {
				got += float64(p) * math.Log(float64(p)/float64(student[i][j])) / n
			}
		}
		if math.Abs(got-want) > 1e-4*want {
			t.Errorf("%s: divergence of the matrices %.7g, the loss is %.7g", variant, got, want)
		}
	}
}

// The mean over relation heads, and every row of it, is a distribution, and heads are cut side by side.
func TestRelationOfHeads(t *testing.T) {
	r := loss.Relations{SplitHeads: 2, Variant: loss.Dot, Temperature: 1}
	got := relation([]float32{1, 0, 0, 3, 0, 0, 0, 0}, 2, r) // tokens (1,0 | 0,3) and zeros
	e, e9 := math.E, math.Exp(9)
	want := (e/(e+1) + e9/(e9+1)) / 2
	if math.Abs(float64(got[0][0])-want) > 1e-6 || math.Abs(float64(got[0][1])-(1-want)) > 1e-6 || got[1][0] != 0.5 {
		t.Errorf("%v, want %g in the corner and 0.5 in the second row", got, want)
	}
}

// Latent weights of stage 3 stand to the right of those of stage 2, each with its own steps, and counts without histograms are left out.
func TestLatentGoesOnThroughStages(t *testing.T) {
	histogram := make([]int, distill.LatentBins)
	histogram[30] = 4
	count := func(stage string, step int, latent []int) distill.TernaryCount {
		return distill.TernaryCount{Stage: stage, Step: step, Linears: []distill.Ternary{{Name: "model.a.weight", Zero: 4, Latent: latent}}}
	}
	r := &Run{Metrics: &distill.Metrics{Ternary: []distill.TernaryCount{
		count(distill.BitNetLabel, 1, histogram), count(distill.Stage2Label, 5, histogram), count(distill.Stage2Label, 10, histogram), count(distill.Stage3Label, 3, histogram), count(distill.Stage3Label, 6, nil),
	}}}
	charts := r.latent()
	if len(charts) != 1 || charts[0].Title() != "Latent weights over training: a (Stage-2, then Stage-3)" {
		t.Fatalf("%d charts", len(charts))
	}
	steps := option(t, charts[0])["xAxis"].([]any)[0].(map[string]any)["data"].([]any)
	if len(steps) != 3 || steps[0] != "5" || steps[2] != "3" {
		t.Errorf("steps %v, want 5 and 10 of stage 2, and 3 of stage 3", steps)
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 56780: "56.8 kB", 5_000_000_000: "5.0 GB", 7e12: "7000.0 GB"} {
		if got := sizeText(n); got != want {
			t.Errorf("%d bytes: %q, want %q", n, got, want)
		}
	}
}

func TestActivationsBySteps(t *testing.T) {
	a, err := activations("x", []float32{127, -1, 0, 2, 0.5, -2}, 2) // steps 1 and 2/127
	check(t, err)
	if a.Codes[128+127] != 2 || a.Codes[127] != 1 || a.Codes[128-127] != 1 || a.Codes[128+32] != 1 || a.Codes[128] != 1 || a.Clipped != 0 {
		t.Errorf("codes %v", a.Codes)
	}
}
