package packed

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

const guard = 64 // values around an output that nobody may write

// guarded is an output of n values between guards, which all hold mark.
func guarded[T any](n int, mark T) (all, middle []T) {
	all = make([]T, n+2*guard)
	for i := range all {
		all[i] = mark
	}
	return all, all[guard : guard+n : guard+n]
}

// compare multiplies with the kernel in use, in one part and in several, and compares with the scalar kernel, and that one with naive
// loops.
func (e *example) compare(t testing.TB) {
	t.Helper()
	what := fmt.Sprintf("%v: [%d, %d] times [%d, %d], %s", active, e.tokens, e.in, e.out, e.in, e.scaling)
	m, a := e.operands(t)
	panels, tokens := Span{0, m.Panels()}, Span{0, e.tokens}

	const mark = math.MinInt32 + 1
	allInts, ints := guarded[int32](e.tokens*e.out, mark)
	check(t, m.MulInts(ints, a, panels, tokens))
	noneWritten(t, what, allInts, mark)

	none := float32(math.Inf(-1))
	all, y := guarded(e.tokens*e.out, none)
	check(t, m.Mul(y, a, panels, tokens))
	noneWritten(t, what, all, none)

	all, parts := guarded(e.tokens*e.out, none)
	for p := range m.Panels() {
		half := e.tokens / 2
		check(t, m.Mul(parts, a, Span{p, p + 1}, Span{half, e.tokens}))
		check(t, m.Mul(parts, a, Span{p, p + 1}, Span{0, half}))
	}
	noneWritten(t, what, all, none)
	if !slices.Equal(parts, y) {
		t.Fatalf("%s: parts of the product are not those of the whole", what)
	}

	if active == scalar {
		e.compareNaive(t, what, ints, y)
		return
	}
	k := active
	defer func() { active = k }()
	active = scalar
	check(t, m.Mul(parts, a, panels, tokens))
	if !slices.Equal(parts, y) {
		t.Fatalf("%s: not the values of the scalar kernel", what)
	}
	sums := make([]int32, len(ints))
	check(t, m.MulInts(sums, a, panels, tokens))
	if !slices.Equal(sums, ints) {
		t.Fatalf("%s: not the sums of the scalar kernel", what)
	}
}

func (e *example) compareNaive(t testing.TB, what string, ints []int32, y []float32) {
	t.Helper()
	sums, want, magnitudes := e.naive()
	roundings := 4.0
	if e.scaling.blocks() {
		roundings += float64(e.in) / float64(max(segment(e.in), 1))
	}
	for i, v := range y {
		if float64(ints[i]) != sums[i] {
			t.Fatalf("%s: sum %d is %d, want %g", what, i, ints[i], sums[i])
		}
		if !(math.Abs(float64(v)-want[i]) <= roundings*0x1p-24*magnitudes[i]) {
			t.Fatalf("%s: value %d is %g, want %g", what, i, v, want[i])
		}
	}
}

func noneWritten[T comparable](t testing.TB, what string, all []T, mark T) {
	t.Helper()
	for _, part := range [][]T{all[:guard], all[len(all)-guard:]} {
		if i := slices.IndexFunc(part, func(v T) bool { return v != mark }); i >= 0 {
			t.Fatalf("%s: written outside of the output", what)
		}
	}
}

var scalings = []Scaling{AbsMean, Channel, Block, BlockPadded}

func TestMulTails(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	eachKernel(t, func(t *testing.T) {
		for in := 1; in <= 40; in++ { // columns, over all tails of groups and of loops that take several
			e := random(r, 65, in, 1+in%14, scalings[in%4])
			e.compare(t)
		}
		for out := 1; out <= 2*panelRows+1; out++ {
			e := random(r, out, 20, 3, scalings[out%4])
			e.compare(t)
		}
		for tokens := 1; tokens <= 2*tokenBlock+1; tokens++ {
			e := random(r, 70, 36, tokens, scalings[tokens%4])
			e.compare(t)
		}
		for _, in := range []int{172, 252, 255, 256, 257, 258, 260, 508, 512, 516, 576, 1152, 2432} { // around blocks of 256
			for i, scaling := range scalings {
				e := random(r, 67, in, []int{1, 2, 5, 8}[i], scaling)
				e.compare(t)
			}
		}
	})
}

// TestMulExtremes has the largest sums of either sign, in every kernel's narrowest numbers.
func TestMulExtremes(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	eachKernel(t, func(t *testing.T) {
		for _, in := range []int{256, 516, 1024} {
			for _, weight := range []int8{-1, 0, 1} {
				for _, code := range []int8{-128, -127, 0, 127} {
					for _, tokens := range []int{1, 7} {
						e := random(r, 64, in, tokens, scalings[tokens%4])
						fill(e.weights, weight)
						fill(e.codes, code)
						e.compare(t)
					}
				}
			}
		}
	})
}

func TestMulWidest(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	eachKernel(t, func(t *testing.T) {
		for _, weight := range []int8{-1, 1} {
			for _, code := range []int8{-128, 127} {
				for _, tokens := range []int{1, 2} {
					e := random(r, 3, MaxIn, tokens, AbsMean)
					fill(e.weights, weight)
					fill(e.codes, code)
					e.compare(t)
				}
			}
		}
	})
}

func fill(codes []int8, code int8) {
	for i := range codes {
		codes[i] = code
	}
}

func TestMulRefuses(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	e := random(r, 65, 8, 2, AbsMean)
	m, a := e.operands(t)
	other := must(NewActivations(12, 2))
	dst := make([]float32, 2*65)
	for name, err := range map[string]error{
		"width":            m.Mul(dst, other, Span{0, 2}, Span{0, 2}),
		"panels":           m.Mul(dst, a, Span{0, 3}, Span{0, 2}),
		"panels backwards": m.Mul(dst, a, Span{2, 1}, Span{0, 2}),
		"tokens":           m.Mul(dst, a, Span{0, 2}, Span{-1, 2}),
		"more tokens":      m.Mul(dst, a, Span{0, 2}, Span{0, 3}),
		"short output":     m.Mul(dst[1:], a, Span{0, 2}, Span{0, 2}),
		"short ints":       m.MulInts(make([]int32, 129), a, Span{0, 2}, Span{0, 2}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := m.Mul(dst[:65], a, Span{0, 2}, Span{0, 1}); err != nil {
		t.Errorf("room for the tokens asked for: %v", err)
	}
}

func TestMulAllocatesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	eachKernel(t, func(t *testing.T) {
		for _, scaling := range scalings {
			e := random(r, 100, 512, 8, scaling)
			m, a := e.operands(t)
			dst, x := make([]float32, e.tokens*e.out), make([]float32, e.tokens*e.in)
			n := testing.AllocsPerRun(5, func() {
				check(t, a.Quantize(x, 0))
				check(t, m.Mul(dst, a, Span{0, m.Panels()}, Span{0, e.tokens}))
				check(t, m.Mul(dst, a, Span{0, m.Panels()}, Span{0, 1}))
			})
			if n != 0 {
				t.Errorf("%s: %g allocations", scaling, n)
			}
		}
	})
}

// TestMulSideBySide computes parts in goroutines of their own, tokens being quantized by several too; the race detector looks on.
func TestMulSideBySide(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	e := random(r, 150, 256, 9, Block)
	m, want := e.operands(t)
	a := must(NewActivations(e.in, e.tokens))
	y := make([]float32, e.tokens*e.out)
	sideBySide := func(n int, work func(i int) error) {
		var wait sync.WaitGroup
		errs := make([]error, n)
		for i := range n {
			wait.Go(func() { errs[i] = work(i) })
		}
		wait.Wait()
		check(t, errors.Join(errs...))
	}
	sideBySide(e.tokens, func(i int) error { return a.Set(i, want.Codes(i), want.Scale(i)) })
	sideBySide(2*m.Panels(), func(i int) error {
		p, tokens := i/2, []Span{{0, 4}, {4, 9}}[i%2]
		return m.Mul(y, a, Span{p, p + 1}, tokens)
	})
	whole := make([]float32, len(y))
	check(t, m.Mul(whole, want, Span{0, m.Panels()}, Span{0, e.tokens}))
	if !slices.Equal(y, whole) {
		t.Error("parts made side by side are not those of the whole")
	}
}

// FuzzMul takes shapes, scaling, weights and codes from the input, for every kernel.
func FuzzMul(f *testing.F) {
	f.Add(uint16(64), uint16(256), uint8(1), uint8(0), []byte{0, 1, 2, 127, 128, 255})
	f.Add(uint16(65), uint16(172), uint8(7), uint8(2), []byte{2, 128})
	f.Add(uint16(3), uint16(7), uint8(30), uint8(3), []byte{})
	f.Fuzz(func(t *testing.T, out, in uint16, tokens, scaling uint8, values []byte) {
		e := example{out: 1 + int(out)%130, in: 1 + int(in)%600, tokens: 1 + int(tokens)%14, scaling: scalings[scaling%4]}
		e.weights, e.codes = make([]int8, e.out*e.in), make([]int8, e.tokens*e.in)
		if len(values) > 0 {
			for i := range e.weights {
				e.weights[i] = int8(values[i%len(values)]%3) - 1
			}
			for i := range e.codes {
				e.codes[i] = int8(values[(i*7+i/len(values))%len(values)])
			}
		}
		e.scale(rand.New(rand.NewPCG(uint64(out), uint64(in))))
		for _, k := range supported() {
			force(t, k)
			e.compare(t)
		}
	})
}
