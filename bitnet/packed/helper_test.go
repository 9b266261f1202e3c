package packed

import (
	"math"
	"math/rand/v2"
	"testing"
)

// eachKernel runs a test with every kernel that this processor has, and says which.
func eachKernel(t *testing.T, test func(t *testing.T)) {
	for _, k := range supported() {
		t.Run(k.String(), func(t *testing.T) {
			force(t, k)
			test(t)
		})
	}
}

func force(t testing.TB, k kernel) {
	before, err := active, errKernel
	active, errKernel = k, nil
	t.Cleanup(func() { active, errKernel = before, err })
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// example is a product with everything given.
type example struct {
	out, in, tokens int
	weights         []int8 // [out, in]
	codes           []int8 // [tokens, in]
	scaling         Scaling
	scales          []float32
	perToken        []float32
}

func random(r *rand.Rand, out, in, tokens int, scaling Scaling) example {
	e := example{out: out, in: in, tokens: tokens, scaling: scaling, weights: make([]int8, out*in), codes: make([]int8, tokens*in)}
	for i := range e.weights {
		e.weights[i] = int8(r.IntN(3) - 1)
	}
	for i := range e.codes {
		e.codes[i] = int8(r.IntN(256) - 128)
	}
	e.scale(r)
	return e
}

func (e *example) scale(r *rand.Rand) {
	e.scales = make([]float32, must(e.scaling.Count(e.out, e.in)))
	for i := range e.scales {
		e.scales[i] = 0.1 + r.Float32()
	}
	e.perToken = make([]float32, e.tokens)
	for i := range e.perToken {
		e.perToken[i] = 0.01 + r.Float32()
	}
}

func (e *example) operands(t testing.TB) (*Matrix, *Activations) {
	t.Helper()
	m, err := FromCodes(e.weights, e.out, e.in, e.scaling, e.scales)
	check(t, err)
	a, err := NewActivations(e.in, e.tokens)
	check(t, err)
	for i := range e.tokens {
		check(t, a.Set(i, e.codes[i*e.in:(i+1)*e.in], e.perToken[i]))
	}
	return m, a
}

// naive multiplies in float64, which holds these sums, without the scales and with them. Magnitudes are the largest that the scaled sums
// could be: what their rounding errors are measured by.
func (e *example) naive() (sums, scaled, magnitudes []float64) {
	for t := range e.tokens {
		for row := range e.out {
			var sum, y, magnitude float64
			for k := range e.in {
				product := float64(e.weights[row*e.in+k]) * float64(e.codes[t*e.in+k])
				value := product * float64(e.scales[e.scaling.index(row*e.in+k, e.in)])
				sum += product
				y += value
				magnitude += math.Abs(value)
			}
			sums = append(sums, sum)
			scaled = append(scaled, y*float64(e.perToken[t]))
			magnitudes = append(magnitudes, magnitude*float64(e.perToken[t]))
		}
	}
	return sums, scaled, magnitudes
}
