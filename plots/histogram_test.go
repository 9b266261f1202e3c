package plots

import (
	"math"
	"math/rand/v2"
	"testing"
)

func normal(n int, scale float64) []float32 {
	r := rand.New(rand.NewPCG(3, 4))
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(scale * r.NormFloat64())
	}
	return v
}

func TestHistogramAgainstComparisons(t *testing.T) {
	values := append(normal(5000, 1), float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), -2, 2, 0, 1.9999999)
	const bins = 16 // of width 1/4, so that edges are exact
	h, err := NewHistogram(values, -2, 2, bins)
	if err != nil {
		t.Fatal(err)
	}
	below, above := 0, 0
	for i := range bins {
		lo, want := -2+float64(i)/4, 0
		for _, v := range values {
			if v := float64(v); v >= lo && v < lo+0.25 {
				want++
			}
		}
		if h.Counts[i] != want {
			t.Errorf("bin from %g: %d, want %d", lo, h.Counts[i], want)
		}
		if c := h.Center(i); c != lo+0.125 {
			t.Errorf("center of bin %d: %g, want %g", i, c, lo+0.125)
		}
	}
	for _, v := range values {
		if v < -2 && !math.IsInf(float64(v), 0) {
			below++
		}
		if v >= 2 && !math.IsInf(float64(v), 0) {
			above++
		}
	}
	if h.Below != below || h.Above != above || h.NotFinite != 3 || h.Total() != len(values)-3 {
		t.Errorf("below %d above %d not finite %d total %d; want %d %d 3 %d", h.Below, h.Above, h.NotFinite, h.Total(), below, above, len(values)-3)
	}
}

func TestHistogramRefuses(t *testing.T) {
	for _, c := range []struct {
		lo, hi float64
		bins   int
	}{{0, 1, 0}, {1, 1, 3}, {2, 1, 3}, {math.NaN(), 1, 3}, {0, math.Inf(1), 3}, {-math.MaxFloat64, math.MaxFloat64, 3}} {
		if _, err := NewHistogram(nil, c.lo, c.hi, c.bins); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

// TestTernaryAgainstThresholds counts by the thresholds, where NewTernary rounds and clips.
func TestTernaryAgainstThresholds(t *testing.T) {
	weights := append(normal(6000, 0.02), 0.01, -0.01, 0, 0)
	scales := []float32{0.02, 0.01}
	got, err := NewTernary("layer", weights, scales...)
	if err != nil {
		t.Fatal(err)
	}
	var want [3]int
	for i, w := range weights {
		d := float64(scales[i/(len(weights)/2)])
		switch {
		case float64(w) < -d/2:
			want[0]++
		case float64(w) > d/2:
			want[2]++
		default:
			want[1]++
		}
	}
	if got.Codes != want {
		t.Errorf("codes %v, want %v", got.Codes, want)
	}
	if math.Abs(got.Scale-0.015) > 1e-8 {
		t.Errorf("scale %g, want 0.015", got.Scale)
	}
	if got.Latent.Total() != len(weights) {
		t.Errorf("%d weights in the histogram, want %d", got.Latent.Total(), len(weights))
	}
	// The thresholds are edges: what is drawn between them is what becomes 0.
	zeros := 0
	for i, n := range got.Latent.Counts {
		if math.Abs(got.Latent.Center(i)) < 0.5 {
			zeros += n
		}
	}
	if zeros < want[1]-2 || zeros > want[1]+2 {
		t.Errorf("%d weights between the thresholds, want %d", zeros, want[1])
	}
}

func TestTernaryRefuses(t *testing.T) {
	for _, scales := range [][]float32{nil, {1, 2}, {0}, {-1}, {float32(math.NaN())}, {float32(math.Inf(1))}} {
		if _, err := NewTernary("layer", []float32{1, 2, 3}, scales...); err == nil {
			t.Errorf("scales %v of three weights were taken", scales)
		}
	}
}

func TestActivationsAgainstNaive(t *testing.T) {
	values := append(normal(4095, 2), float32(math.NaN()))
	a, err := NewActivations("x", values, 0.01, 0.05)
	if err != nil {
		t.Fatal(err)
	}
	var codes [256]int
	clipped := 0
	for i, v := range values[:len(values)-1] {
		step := float64(float32(0.01))
		if i >= len(values)/2 {
			step = float64(float32(0.05))
		}
		best := 0 // the nearest code
		for c := -128; c <= 127; c++ {
			if math.Abs(float64(v)-float64(c)*step) < math.Abs(float64(v)-float64(best)*step) {
				best = c
			}
		}
		codes[best+128]++
		if float64(v) > 127.5*step || float64(v) < -128.5*step {
			clipped++
		}
	}
	if a.Codes != codes || a.Clipped != clipped || a.NotFinite != 1 {
		t.Errorf("clipped %d, not finite %d; want %d and 1; codes\n%v\nwant\n%v", a.Clipped, a.NotFinite, clipped, a.Codes, codes)
	}
	byMax, err := NewActivations("x", values)
	if err != nil {
		t.Fatal(err)
	}
	if byMax.Clipped != 0 || byMax.Codes[255]+byMax.Codes[1] == 0 {
		t.Errorf("with max|x|/127: %d clipped, %d at the ends; want 0 and some", byMax.Clipped, byMax.Codes[255]+byMax.Codes[1])
	}
}

func TestActivationsOfNothingAndZeros(t *testing.T) {
	for _, values := range [][]float32{nil, {0, 0, 0}} {
		a, err := NewActivations("x", values)
		if err != nil {
			t.Fatal(err)
		}
		if a.Codes[128] != len(values) || a.Clipped != 0 {
			t.Errorf("%v: %d zeros, %d clipped", values, a.Codes[128], a.Clipped)
		}
	}
	if _, err := NewActivations("x", []float32{1, 2, 3}, 1, 1); err == nil {
		t.Error("two steps for three values were taken")
	}
}
