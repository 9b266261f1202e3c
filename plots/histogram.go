package plots

import (
	"fmt"
	"math"
)

// Histogram is counts of values in bins of equal width: bin i is from Lo + i*(Hi-Lo)/len(Counts), which it has, to the next
// one's start, which it has not.
type Histogram struct {
	Lo, Hi    float64
	Counts    []int
	Below     int // values below Lo
	Above     int // values from Hi on
	NotFinite int // NaN and ±Inf
}

// NewHistogram counts values in bins from lo to hi, bins >= 1, lo < hi.
func NewHistogram(values []float32, lo, hi float64, bins int) (Histogram, error) {
	h := Histogram{Lo: lo, Hi: hi}
	if bins < 1 || !(lo < hi) || !finite(hi-lo) {
		return h, fmt.Errorf("histogram: %d bins from %g to %g; there must be at least one, and a range", bins, lo, hi)
	}
	h.Counts = make([]int, bins)
	for _, v := range values {
		h.add(float64(v))
	}
	return h, nil
}

func (h *Histogram) add(v float64) {
	switch {
	case !finite(v):
		h.NotFinite++
	case v < h.Lo:
		h.Below++
	case v >= h.Hi:
		h.Above++
	default: // rounding may carry a value just below Hi over the last bin
		i := int((v - h.Lo) / (h.Hi - h.Lo) * float64(len(h.Counts)))
		h.Counts[min(i, len(h.Counts)-1)]++
	}
}

// Total is how many finite values there were.
func (h Histogram) Total() int {
	n := h.Below + h.Above
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Center is the middle of a bin.
func (h Histogram) Center(bin int) float64 {
	return h.Lo + (float64(bin)+0.5)*(h.Hi-h.Lo)/float64(len(h.Counts))
}

// edge is where a bin starts.
func (h Histogram) edge(bin int) float64 {
	return h.Lo + float64(bin)*(h.Hi-h.Lo)/float64(len(h.Counts))
}

func (h Histogram) check() error {
	if len(h.Counts) == 0 || !(h.Lo < h.Hi) || !finite(h.Hi-h.Lo) {
		return fmt.Errorf("a histogram of %d bins from %g to %g; make it with NewHistogram", len(h.Counts), h.Lo, h.Hi)
	}
	return nil
}

// share is part/whole in percent, 0 of nothing.
func share(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}

// Ternary is the weights of a linear layer before and after ternarisation: code = clip(round(w/D), -1, 1), round half to
// even, with the scale D = mean|w| (BitNet Distillation, Eq. 1 and 2). The thresholds between the codes are ±D/2.
type Ternary struct {
	Name   string
	Scale  float64   // D, the mean of the scales if there are several
	Latent Histogram // of w/D
	Codes  [3]int    // how many of -1, 0, +1
}

// latentRange is how many D the histogram of latent weights shows to each side, and binsPerScale in how many bins a D is; it is
// even, so that the thresholds are edges of bins.
const (
	latentRange  = 4
	binsPerScale = 8
)

// NewTernary bins the weights of one linear layer, with one scale for all of them or one for each of len(scales) equal,
// contiguous groups, such as the rows of the matrix. Not finite weights have no code.
func NewTernary(name string, weights []float32, scales ...float32) (Ternary, error) {
	t := Ternary{Name: name}
	if len(scales) == 0 || len(weights)%len(scales) != 0 {
		return t, fmt.Errorf("%s: %d weights cannot be in %d groups, one for each scale", name, len(weights), len(scales))
	}
	var err error
	if t.Latent, err = NewHistogram(nil, -latentRange, latentRange, 2*latentRange*binsPerScale); err != nil {
		return t, err
	}
	group := len(weights) / len(scales)
	for g, s := range scales {
		scale := float64(s)
		if !(scale > 0) || !finite(scale) {
			return t, fmt.Errorf("%s: scale %d is %g; scales must be positive and finite", name, g, scale)
		}
		t.Scale += scale / float64(len(scales))
		for _, w := range weights[g*group : (g+1)*group] {
			unit := float64(w) / scale
			t.Latent.add(unit)
			if finite(unit) {
				t.Codes[1+int(max(-1, min(1, math.RoundToEven(unit))))]++
			}
		}
	}
	return t, nil
}

// Activations is the inputs of a linear layer as int8 codes: code = clip(round(x/S), -128, 127), with S = max|x|/127 of each
// token where the model quantizes by token (BitNet Distillation, Eq. 3).
type Activations struct {
	Name      string
	Codes     [256]int // how many of -128 ... 127
	Clipped   int      // values beyond the codes
	NotFinite int
}

// NewActivations makes codes of values, with one step size for all of them or one for each of len(steps) equal, contiguous
// groups, such as tokens. Without steps it is max|x|/127 of all of them. A group of zeros may have step 0.
func NewActivations(name string, values []float32, steps ...float32) (Activations, error) {
	a := Activations{Name: name}
	if len(steps) == 0 {
		steps = []float32{absMax(values) / 127}
	}
	if len(values)%len(steps) != 0 {
		return a, fmt.Errorf("%s: %d values cannot be in %d groups, one for each step", name, len(values), len(steps))
	}
	group := len(values) / len(steps)
	for g, step := range steps {
		if !(step >= 0) || !finite(float64(step)) {
			return a, fmt.Errorf("%s: step %d is %g; steps must be finite and not negative", name, g, step)
		}
		for _, v := range values[g*group : (g+1)*group] {
			a.add(float64(v), float64(step))
		}
	}
	return a, nil
}

func (a *Activations) add(v, step float64) {
	if !finite(v) {
		a.NotFinite++
		return
	}
	code := 0.0
	if v != 0 {
		code = math.RoundToEven(v / step) // ±Inf where step is 0, which is clipped
	}
	if code < -128 || code > 127 {
		a.Clipped++
		code = max(-128, min(127, code))
	}
	a.Codes[128+int(code)]++
}

// absMax is the largest finite magnitude.
func absMax(values []float32) float32 {
	most := float32(0)
	for _, v := range values {
		if m := float32(math.Abs(float64(v))); finite(float64(m)) {
			most = max(most, m)
		}
	}
	return most
}

// Total is how many finite values there were.
func (a Activations) Total() int {
	n := 0
	for _, c := range a.Codes {
		n += c
	}
	return n
}
