package packed

import (
	"fmt"
	"math"
)

// levels is the largest code that quantizing makes.
const levels = 127

const cacheLine = 64

// Activations are the int8 codes of tokens, each with the scale of its own, and the sums of codes that a product takes off again. They
// are made once for a width and a number of tokens and filled again and again, without an allocation.
type Activations struct {
	in, tokens int
	stride     int    // bytes from a token to the next, an odd number of cache lines: with an even one tokens would share sets of the cache
	codes      []int8 // [tokens, stride]; what is behind a token's codes is zero
	scales     []float32
	segment    int     // columns of a sum, as the scales of blocks need them; 0 for a width at which they need none
	sums       []int32 // [tokens, segments]
	totals     []int32 // [tokens]
}

// NewActivations has room for that many tokens [tokens, in], all zero at first.
func NewActivations(in, tokens int) (*Activations, error) {
	if err := checkShape(tokens, in); err != nil {
		return nil, err
	}
	a := &Activations{in: in, tokens: tokens, segment: segment(in)}
	a.stride = ((in+cacheLine-1)/cacheLine | 1) * cacheLine
	a.codes = make([]int8, tokens*a.stride)
	a.scales = make([]float32, tokens)
	a.totals = make([]int32, tokens)
	if a.segment > 0 {
		a.sums = make([]int32, tokens*(in/a.segment))
	}
	return a, nil
}

// Dims is the shape [tokens, in].
func (a *Activations) Dims() (tokens, in int) { return a.tokens, a.in }

// Codes are the codes of a token, not to be changed: see [Activations.Set].
func (a *Activations) Codes(token int) []int8 {
	return a.codes[token*a.stride:][:a.in:a.in]
}

// Scale is the value of a token's code 1.
func (a *Activations) Scale(token int) float32 { return a.scales[token] }

// Quantize quantizes the tokens of x [n, in] into those from first on, with the arithmetic of bitnet.Quantize, in float32: g is the largest
// magnitude of a token, at least ScaleFloor, its codes are x*(127*(1/g)) rounded half to even, its scale is g*(1/127). A token that
// holds a value that is no finite number gets the scale NaN and codes 0, so that NaN is what all products with it are.
// Tokens may be quantized by several goroutines, each its own ones.
func (a *Activations) Quantize(x []float32, first int) error {
	n := len(x) / a.in
	if len(x) != n*a.in || first < 0 || n > a.tokens-first {
		return fmt.Errorf("packed: %d values for tokens of %d from token %d on, of %d", len(x), a.in, first, a.tokens)
	}
	if _, err := Kernel(); err != nil {
		return err
	}
	for i := range n {
		a.quantize(x[i*a.in:(i+1)*a.in], first+i)
	}
	return nil
}

func (a *Activations) quantize(x []float32, token int) {
	codes := a.Codes(token)
	bits := active.maxAbs(x)
	if bits >= infinity {
		clear(codes)
		a.scales[token] = float32(math.NaN())
		a.addUp(token)
		return
	}
	g := max(math.Float32frombits(bits), ScaleFloor)
	active.quantize(codes, x, levels*(1/g))
	const step = 1 / float64(levels)
	a.scales[token] = g * float32(step)
	a.addUp(token)
}

// Set gives a token codes and a scale that were made elsewhere.
func (a *Activations) Set(token int, codes []int8, scale float32) error {
	if token < 0 || token >= a.tokens || len(codes) != a.in {
		return fmt.Errorf("packed: %d codes for token %d of activations [%d, %d]", len(codes), token, a.tokens, a.in)
	}
	if _, err := Kernel(); err != nil {
		return err
	}
	copy(a.Codes(token), codes)
	a.scales[token] = scale
	a.addUp(token)
	return nil
}

// addUp sums up a token's codes.
func (a *Activations) addUp(token int) {
	codes := a.Codes(token)
	if a.segment == 0 {
		a.totals[token] = active.sum(codes)
		return
	}
	sums := a.segmentSums(token)
	var total int32
	for s := range sums {
		sums[s] = active.sum(codes[s*a.segment : (s+1)*a.segment])
		total += sums[s]
	}
	a.totals[token] = total
}

func (a *Activations) segmentSums(token int) []int32 {
	n := a.in / a.segment
	return a.sums[token*n : (token+1)*n]
}
