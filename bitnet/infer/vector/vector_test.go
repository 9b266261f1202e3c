package vector

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// eachKernel runs a test with every kernel that this processor has against the Go loops.
func eachKernel(t *testing.T, test func(t *testing.T, k kernel)) {
	for _, k := range supported() {
		t.Run(fmt.Sprintf("%+v", k), func(t *testing.T) { test(t, k) })
	}
}

var extremes = []float32{0, float32(math.Copysign(0, -1)), 1, -1, 88.7, 88.8, -87.4, -103.9, -104.1, 709.5, 1e30, -1e30, -200, -745,
	math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, 1e-39, -1e-39, 65504, 65519, 65520, -70000, 1e-7, 3e-8,
	float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())}

// values are n of them behind an offset that no register has, one in some of them extreme.
func values(r *rand.Rand, n int, wild bool) []float32 {
	x := make([]float32, n+3)[3:]
	for i := range x {
		x[i] = float32(5 * r.NormFloat64())
		if wild && r.IntN(9) == 0 {
			x[i] = extremes[r.IntN(len(extremes))]
		}
	}
	return x
}

// guarded is a copy in the middle of others, which check looks at.
func guarded[T any](x []T, guard T) (inner, all []T) {
	all = make([]T, len(x)+64)
	for i := range all {
		all[i] = guard
	}
	copy(all[32:], x)
	return all[32:][:len(x):len(x)], all
}

func check(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i, w := range want {
		if g := got[i]; math.Float32bits(g) != math.Float32bits(w) && !(g != g && w != w) {
			t.Fatalf("%s: value %d of %d is %g, want %g", what, i, len(want), g, w)
		}
	}
}

// TestLoops: every loop gives what the Go loop does, at all lengths, and writes nothing else.
func TestLoops(t *testing.T) {
	loops := map[string]func(k kernel, a, b, c, d []float32){
		"add":      func(k kernel, a, b, _, _ []float32) { k.add(a, b) },
		"multiply": func(k kernel, a, b, _, _ []float32) { k.multiply(a, b) },
		"scale":    func(k kernel, a, b, _, _ []float32) { k.scale(a, 0.3) },
		"scaleBy":  func(k kernel, a, b, c, _ []float32) { k.scaleBy(a, b, c, 1.7) },
		"in place": func(k kernel, a, _, c, _ []float32) { k.scaleBy(a, a, c, 1.7) },
		"rotate":   func(k kernel, a, b, c, d []float32) { k.rotate(a, b, c, d) },
		"exp":      func(k kernel, a, _, _, _ []float32) { k.exponential(a, 1.25) },
		"silu":     func(k kernel, a, b, c, _ []float32) { k.silu(a, b, c) },
		"gelu":     func(k kernel, a, b, c, _ []float32) { k.gelu(a, b, c) },
		"max": func(k kernel, a, _, _, _ []float32) {
			if len(a) > 0 {
				a[0] = k.max(a)
			}
		},
		"maxAbs": func(k kernel, a, b, _, _ []float32) { copy(a, []float32{math.Float32frombits(k.maxAbs(b))}) },
		"toHalf": func(k kernel, a, b, _, _ []float32) {
			h := make([]uint16, len(b))
			k.toHalf(h, b)
			fromHalfScalar(a, h)
		},
		"fromHalf": func(k kernel, a, b, _, _ []float32) {
			h := make([]uint16, len(b))
			toHalfScalar(h, b)
			k.fromHalf(a, h)
		},
	}
	eachKernel(t, func(t *testing.T, k kernel) {
		r := rand.New(rand.NewPCG(1, 2))
		for name, loop := range loops {
			for n := range 71 {
				for round := range 6 {
					var x [4][]float32
					for i := range x {
						x[i] = values(r, n, round > 0)
					}
					var got, want, around [4][]float32
					for i := range x {
						got[i], around[i] = guarded(x[i], -77)
						want[i], _ = guarded(x[i], -77)
					}
					loop(k, got[0], got[1], got[2], got[3])
					loop(scalar, want[0], want[1], want[2], want[3])
					for i := range x {
						check(t, name, got[i], want[i])
						for j, v := range around[i] {
							if v != -77 && (j < 32 || j >= 32+n) {
								t.Fatalf("%s: %d values: wrote %d beside them", name, n, j-32)
							}
						}
					}
				}
			}
		}
	})
}

// TestProduct: all numbers of vectors, rows and blocks, in one piece and in two.
func TestProduct(t *testing.T) {
	eachKernel(t, func(t *testing.T, k kernel) {
		r := rand.New(rand.NewPCG(3, 4))
		for range 1500 {
			n, blocks, rows := r.IntN(40), r.IntN(20), r.IntN(12)
			m := Blocks{Stride: lanes*n + r.IntN(5), Rows: n, Count: blocks}
			m.Values = values(r, m.Stride*blocks, r.IntN(4) == 0)
			x := Rows{Stride: n + r.IntN(4), Count: rows}
			x.Values = values(r, x.Stride*rows, false)
			dst := Rows{Stride: lanes*blocks + r.IntN(9), Count: rows}
			start := values(r, dst.Stride*rows, false)
			want := dst
			got, all := guarded(start, -77)
			dst.Values = got
			want.Values, _ = guarded(start, -77)
			productScalar(want, x, m)
			cut := 0
			if n > 0 {
				cut = r.IntN(n)
			}
			first, second, rest := m, m, x
			first.Rows, second.Rows = cut, n-cut
			if blocks > 0 && rows > 0 {
				second.Values, rest.Values = m.Values[lanes*cut:], x.Values[min(cut, len(x.Values)):]
			}
			k.product(dst, x, first)
			k.product(dst, rest, second)
			check(t, fmt.Sprintf("%d rows, %d of %d in %d blocks", rows, cut, n, blocks), dst.Values, want.Values)
			for i, v := range all {
				if v != -77 && (i < 32 || i >= len(all)-32) {
					t.Fatalf("wrote %d", i-32)
				}
			}
		}
	})
}

func TestSumSquares(t *testing.T) {
	eachKernel(t, func(t *testing.T, k kernel) {
		r := rand.New(rand.NewPCG(5, 6))
		for width := 1; width < 71; width++ {
			for rows := 1; rows <= lanes; rows++ {
				x := values(r, rows*width, width%3 == 0)
				var got, want [lanes]float32
				k.sumSquares(&got, x, width, rows)
				for i := range rows {
					for _, v := range x[i*width:][:width] {
						want[i] += float32(v * v)
					}
				}
				check(t, fmt.Sprintf("%d rows of %d", rows, width), got[:rows], want[:rows])
			}
		}
	})
}

func TestInt8(t *testing.T) {
	eachKernel(t, func(t *testing.T, k kernel) {
		before := active
		active = k
		defer func() { active = before }()
		r := rand.New(rand.NewPCG(7, 8))
		for n := range 71 {
			x := values(r, n, false)
			got, around := guarded(make([]int8, n), 99)
			scale := ToInt8(got, x)
			back := make([]float32, n)
			FromInt8(back, got)
			peak := 0.0
			for i, v := range x {
				peak = max(peak, math.Abs(float64(v)))
				if e := math.Abs(float64(back[i])*float64(scale) - float64(v)); e > 0.5001*float64(scale) {
					t.Fatalf("%g became %g", v, back[i]*scale)
				}
				if want := int8(math.RoundToEven(float64(v * (127 / math.Float32frombits(maxAbsScalar(x)))))); got[i] != want {
					t.Fatalf("%g: code %d, want %d", v, got[i], want)
				}
			}
			if math.Abs(float64(scale)-peak/127) > 1e-6*peak {
				t.Errorf("scale %g of %g", scale, peak)
			}
			for i, v := range around {
				if v != 99 && (i < 32 || i >= 32+n) {
					t.Fatalf("wrote %d", i-32)
				}
			}
		}
		codes := make([]int8, 9)
		if scale := ToInt8(codes, []float32{0, 0, 1e-40, 0, 0, 0, 0, 0, 0}); scale != 0 {
			t.Errorf("scale %g", scale)
		}
		if scale := ToInt8(codes, extremes[len(extremes)-9:]); scale == scale {
			t.Errorf("scale %g of a NaN", scale)
		}
	})
}

func TestSumAndNorm(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	rows := [SumGroup][]float32{values(r, 20, false), values(r, 7, false), nil, values(r, 33, false)}
	var want [SumGroup]float32
	for i, row := range rows {
		for _, v := range row {
			want[i] += v
		}
	}
	if got := Sum(&rows); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	const width, n = 21, 19
	x, weight := values(r, width*n, false), values(r, width, false)
	got := make([]float32, len(x))
	RMSNorm(got, x, weight, 1e-5)
	for i := range n {
		sum := 0.0
		for _, v := range x[i*width:][:width] {
			sum += float64(v) * float64(v)
		}
		for j, v := range x[i*width:][:width] {
			want := float64(v) / math.Sqrt(sum/width+1e-5) * float64(weight[j])
			if d := float64(got[i*width+j]) - want; math.Abs(d) > 1e-6*(1+math.Abs(want)) {
				t.Fatalf("row %d, value %d is off by %g", i, j, d)
			}
		}
	}
}

// TestExp: the exponential of a softmax is near math.Exp, which is not.
func TestExp(t *testing.T) {
	worst := 0.0
	for x := float32(-87); x <= 0; x += 0.00037 {
		want := math.Exp(float64(x))
		worst = max(worst, math.Abs(float64(exp(x))/want-1))
	}
	if worst > 1.2e-7 {
		t.Errorf("off by %.3g", worst)
	}
}

// FuzzExp: a bit pattern becomes what the Go loop makes of it.
func FuzzExp(f *testing.F) {
	for _, v := range extremes {
		f.Add(math.Float32bits(v), math.Float32bits(1.5))
	}
	f.Fuzz(func(t *testing.T, bits, less uint32) {
		for _, k := range supported() {
			x := make([]float32, 11)
			for i := range x {
				x[i] = math.Float32frombits(bits + uint32(i))
			}
			want := append([]float32{}, x...)
			l := math.Float32frombits(less)
			k.exponential(x, l)
			expScalar(want, l)
			check(t, "exp", x, want)
		}
	})
}
