package packed

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/internal/golden"
)

// goldenNames are how the golden files call our scalings.
var goldenNames = map[string]Scaling{"absmean": AbsMean, "channel": Channel, "block256": BlockPadded}

func TestQuantizeGolden(t *testing.T) {
	f := golden.Open(t, "quant.safetensors")
	tested := 0
	for _, name := range f.Names() {
		name, ok := strings.CutPrefix(name, "weight.")
		if !ok {
			continue
		}
		w, shape := golden.Floats(t, f, "weight."+name)
		for prefix, scaling := range goldenNames {
			key := prefix + "." + name
			m, err := Quantize(w, shape[0], shape[1], scaling)
			check(t, err)
			codes, _ := golden.Ints(t, f, key+".codes")
			for i, c := range m.Codes(nil) {
				if int(c) != codes[i] {
					t.Fatalf("%s: code %d is %d, want %d", key, i, c, codes[i])
				}
			}
			scales, _ := golden.Floats(t, f, key+".scale")
			golden.Close(t, key, m.Scales(), scales, 1e-6)
			tested++
		}
	}
	if tested == 0 {
		t.Fatal("no golden weights")
	}
}

func TestQuantizeActivationsGolden(t *testing.T) {
	f := golden.Open(t, "quant.safetensors")
	eachKernel(t, func(t *testing.T) {
		tested := 0
		for _, name := range f.Names() {
			if !strings.HasPrefix(name, "act.") || strings.HasSuffix(name, ".codes") || strings.HasSuffix(name, ".scale") {
				continue
			}
			x, shape := golden.Floats(t, f, name)
			in := shape[len(shape)-1]
			a, err := NewActivations(in, len(x)/in)
			check(t, err)
			check(t, a.Quantize(x, 0))
			codes, _ := golden.Ints(t, f, name+".codes")
			scales, _ := golden.Floats(t, f, name+".scale")
			for i, want := range codes {
				if got := a.Codes(i / in)[i%in]; int(got) != want {
					t.Fatalf("%s: code %d is %d, want %d", name, i, got, want)
				}
			}
			golden.Close(t, name, a.scales, perCode(scales), 1e-6)
			tested++
		}
		if tested == 0 {
			t.Fatal("no golden activations")
		}
	})
}

// TestLinearGolden multiplies what PyTorch has quantized and multiplied.
func TestLinearGolden(t *testing.T) {
	f := golden.Open(t, "bitlinear.safetensors")
	eachKernel(t, func(t *testing.T) {
		tested := 0
		for _, name := range f.Names() {
			name, ok := strings.CutSuffix(name, ".x_codes")
			if !ok {
				continue
			}
			x, _ := golden.Ints(t, f, name+".x_codes")
			w, shape := golden.Ints(t, f, name+".w_codes")
			e := example{out: shape[0], in: shape[1], tokens: len(x) / shape[1], weights: narrow(w), codes: narrow(x)}
			e.scales, _ = golden.Floats(t, f, name+".w_scale")
			magnitudes, _ := golden.Floats(t, f, name+".x_scale")
			e.perToken = perCode(magnitudes)
			switch {
			case strings.HasPrefix(name, "channel"):
				e.scaling = Channel
			case strings.HasPrefix(name, "block"):
				e.scaling = BlockPadded
			default:
				e.scaling = AbsMean
			}
			m, a := e.operands(t)
			y := make([]float32, e.tokens*e.out)
			check(t, m.Mul(y, a, Span{0, m.Panels()}, Span{0, e.tokens}))
			want, _ := golden.Floats(t, f, name+".y")
			if !strings.Contains(name, "bias") {
				golden.Close(t, name+".y", y, want, 1e-6)
			}
			if e.scaling != BlockPadded {
				ints := make([]int32, len(y))
				check(t, m.MulInts(ints, a, Span{0, m.Panels()}, Span{0, e.tokens}))
				want, _ := golden.Ints(t, f, name+".int_product")
				for i, v := range ints {
					if int(v) != want[i] {
						t.Fatalf("%s: sum %d is %d, want %d", name, i, v, want[i])
					}
				}
			}
			tested++
		}
		if tested == 0 {
			t.Fatal("no golden products")
		}
	})
}

// perCode are scales of tokens whose largest magnitudes those are.
func perCode(magnitudes []float32) []float32 {
	scales := slices.Clone(magnitudes)
	for i := range scales {
		scales[i] /= 127
	}
	return scales
}

func narrow(x []int) []int8 {
	codes := make([]int8, len(x))
	for i, v := range x {
		codes[i] = int8(v)
	}
	return codes
}

// TestQuantizeActivationsTails compares kernels with the formula at all lengths, and looks for codes behind the end.
func TestQuantizeActivationsTails(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	eachKernel(t, func(t *testing.T) {
		for in := 1; in <= 130; in++ {
			a, err := NewActivations(in, 3)
			check(t, err)
			x := make([]float32, 3*in)
			for i := range x {
				x[i] = float32(r.NormFloat64()) * 3
			}
			x[r.IntN(len(x))] *= -40
			check(t, a.Quantize(x[:in], 2))
			check(t, a.Quantize(x[in:], 0))
			for token, x := range [][]float32{x[in : 2*in], x[2*in:], x[:in]} {
				var g float32
				for _, v := range x {
					g = max(g, float32(math.Abs(float64(v))))
				}
				factor := 127 * (1 / g)
				var sum int32
				for i, v := range x {
					want := math.RoundToEven(float64(v * factor))
					if got := a.Codes(token)[i]; float64(got) != want {
						t.Fatalf("width %d, token %d: code %d is %d, want %g", in, token, i, got, want)
					}
					sum += int32(want)
				}
				if a.totals[token] != sum || a.Scale(token) != g*float32(1.0/127) {
					t.Fatalf("width %d, token %d: sum %d and scale %g, want %d and %g", in, token, a.totals[token], a.Scale(token), sum, g*float32(1.0/127))
				}
				for _, c := range a.codes[token*a.stride+in : (token+1)*a.stride] {
					if c != 0 {
						t.Fatalf("width %d, token %d: a code behind its end", in, token)
					}
				}
			}
		}
	})
}

func TestQuantizeActivationsSpecial(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	eachKernel(t, func(t *testing.T) {
		for _, in := range []int{1, 7, 8, 33, 64} {
			a, err := NewActivations(in, 1)
			check(t, err)
			for _, bad := range []float32{inf, -inf, nan, -nan} {
				x := make([]float32, in)
				x[0], x[in-1] = 3, bad
				check(t, a.Quantize(x, 0))
				m, err := FromCodes(make([]int8, in), 1, in, AbsMean, []float32{1})
				check(t, err)
				y := make([]float32, 1)
				check(t, m.Mul(y, a, Span{0, 1}, Span{0, 1}))
				if y[0] == y[0] {
					t.Errorf("width %d: a product with %g is %g, want NaN", in, bad, y[0])
				}
			}
			for _, v := range []float32{0, 1e-9, -1e-9, 1e-40, math.MaxFloat32} {
				x := slices.Repeat([]float32{v}, in)
				check(t, a.Quantize(x, 0))
				want := int8(0)
				if v == math.MaxFloat32 {
					want = 127
				}
				if got := a.Codes(0)[in-1]; got != want || !(a.Scale(0) > 0) {
					t.Errorf("width %d: %g has the code %d and the scale %g, want %d", in, v, got, a.Scale(0), want)
				}
			}
		}
	})
}

func TestQuantizeRefuses(t *testing.T) {
	w := []float32{1, -1, 0.2, 0}
	for name, err := range map[string]error{
		"shape":   second(Quantize(w, 2, 3, AbsMean)),
		"scaling": second(Quantize(w, 2, 2, "none")),
		"NaN":     second(Quantize([]float32{1, float32(math.NaN())}, 1, 2, Channel)),
		"Inf":     second(Quantize([]float32{1, float32(math.Inf(-1))}, 1, 2, Block)),
		"range":   second(Quantize([]float32{math.MaxFloat32, math.MaxFloat32}, 1, 2, AbsMean)),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	a := must(NewActivations(4, 2))
	for name, err := range map[string]error{
		"half a token":    a.Quantize(w[:3], 0),
		"too many tokens": a.Quantize(slices.Repeat(w, 2), 1),
		"negative token":  a.Quantize(w, -1),
		"codes":           a.Set(0, []int8{1}, 1),
		"token":           a.Set(2, make([]int8, 4), 1),
		"no tokens":       second(NewActivations(4, 0)),
		"no width":        second(NewActivations(0, 4)),
		"too wide":        second(NewActivations(MaxIn+1, 4)),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }
