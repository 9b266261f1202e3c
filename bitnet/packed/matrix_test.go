package packed

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestCodesRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for _, shape := range [][2]int{{1, 1}, {64, 4}, {65, 5}, {130, 172}, {3, 258}, {200, 7}} {
		out, in := shape[0], shape[1]
		e := random(r, out, in, 1, Channel)
		m, _ := e.operands(t)
		if got := m.Codes(nil); !slices.Equal(got, e.weights) {
			t.Errorf("%v: other codes come back", shape)
		}
		again, err := FromPanels(m.Bytes(), out, in, Channel, m.Scales())
		check(t, err)
		check(t, again.Check())
		if !slices.Equal(again.Codes([]int8{5})[1:], e.weights) || &again.Bytes()[0] != &m.Bytes()[0] {
			t.Errorf("%v: from panels: other codes, or a copy", shape)
		}
		packed, err := PackBase3(nil, e.weights)
		check(t, err)
		if want := (out*in + 4) / 5; len(packed) != want {
			t.Errorf("%v: %d bytes in base 3, want %d", shape, len(packed), want)
		}
		codes, err := UnpackBase3(nil, packed, out*in)
		check(t, err)
		if !slices.Equal(codes, e.weights) {
			t.Errorf("%v: base 3: other codes come back", shape)
		}
	}
}

// TestLayout has the panel of one weight each, as doc.go says where it lies.
func TestLayout(t *testing.T) {
	const out, in = 130, 9
	groups := 3
	for _, at := range [][2]int{{0, 0}, {17, 3}, {63, 8}, {64, 0}, {129, 5}} {
		row, k := at[0], at[1]
		codes := make([]int8, out*in)
		codes[row*in+k] = 1
		m, err := FromCodes(codes, out, in, AbsMean, []float32{1})
		check(t, err)
		want := slices.Repeat([]byte{0b01010101}, 3*groups*64)
		want[(row/64*groups+k/4)*64+4*(row%16)+k%4] += 1 << (2 * (row % 64 / 16))
		if !slices.Equal(m.Bytes(), want) {
			t.Errorf("row %d, column %d lies elsewhere", row, k)
		}
	}
}

func TestBase3(t *testing.T) {
	got, err := PackBase3([]byte{7}, []int8{1, 0, -1, 0, 1, -1, 1})
	check(t, err)
	if want := []byte{7, 2 + 1*3 + 0*9 + 1*27 + 2*81, 0 + 2*3}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for b := range 256 {
		codes, err := UnpackBase3(nil, []byte{byte(b)}, 5)
		if (err == nil) != (b < 243) {
			t.Fatalf("byte %d: %v", b, err)
		}
		if err == nil {
			if again := must(PackBase3(nil, codes)); again[0] != byte(b) {
				t.Fatalf("byte %d becomes %d", b, again[0])
			}
		}
	}
	for name, err := range map[string]error{
		"a code that is none": second(PackBase3(nil, []int8{0, 2})),
		"too few bytes":       second(UnpackBase3(nil, []byte{0}, 6)),
		"too many bytes":      second(UnpackBase3(nil, []byte{0, 0}, 5)),
		"negative":            second(UnpackBase3(nil, nil, -1)),
		"digit behind":        second(UnpackBase3(nil, []byte{3}, 1)),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMatrixRefuses(t *testing.T) {
	panels := make([]byte, 64)
	nan := float32(math.NaN())
	for name, err := range map[string]error{
		"bytes":        second(FromPanels(panels[:63], 64, 4, AbsMean, []float32{1})),
		"more bytes":   second(FromPanels(panels, 65, 4, AbsMean, []float32{1})),
		"scales":       second(FromPanels(panels, 64, 4, Channel, []float32{1})),
		"NaN":          second(FromPanels(panels, 64, 4, AbsMean, []float32{nan})),
		"scaling":      second(FromPanels(panels, 64, 4, "", []float32{1})),
		"no rows":      second(FromPanels(nil, 0, 4, AbsMean, []float32{1})),
		"huge":         second(FromPanels(panels, math.MaxInt/2, 4, AbsMean, []float32{1})),
		"product":      second(FromPanels(panels, math.MaxInt/4+1, 4, AbsMean, []float32{1})),
		"too wide":     second(FromPanels(panels, 64, MaxIn+1, AbsMean, []float32{1})),
		"code":         second(FromCodes([]int8{0, 2}, 1, 2, AbsMean, []float32{1})),
		"number":       second(FromCodes([]int8{0}, 1, 2, AbsMean, []float32{1})),
		"size of huge": second(PanelBytes(math.MaxInt, 3)),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	m := must(FromPanels(panels, 64, 4, AbsMean, []float32{1}))
	check(t, m.Check())
	for _, at := range []int{0, 31, 63} {
		for _, code := range []byte{3, 3 << 2, 3 << 4, 3 << 6} {
			panels[at] = code
			if m.Check() == nil {
				t.Errorf("byte %d, %#x: no error", at, code)
			}
			panels[at] = zeroCodes
		}
	}
	panels[5], panels[6] = 0b10101010, 0
	check(t, m.Check())
}

func TestBitsPerWeight(t *testing.T) {
	for _, c := range []struct {
		out, in int
		scaling Scaling
		want    float64
	}{
		{1024, 1024, AbsMean, 2 + 32.0/(1<<20)},
		{64, 256, Channel, 2 + 32.0/256},
		{64, 256, Block, 2 + 32.0/256},
		{1, 1, AbsMean, 64*8 + 32},
	} {
		size := must(PanelBytes(c.out, c.in))
		m := must(FromPanels(make([]byte, size), c.out, c.in, c.scaling, make([]float32, must(c.scaling.Count(c.out, c.in)))))
		if got := m.BitsPerWeight(); got != c.want {
			t.Errorf("[%d, %d] %s: %g bits a weight, want %g", c.out, c.in, c.scaling, got, c.want)
		}
	}
}

func TestChoose(t *testing.T) {
	has := []kernel{avxVNNI, avx2, scalar}
	for name, want := range map[string]kernel{"": avxVNNI, "avx2": avx2, "scalar": scalar} {
		if got, err := choose(name, has); err != nil || got != want {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
	for name, say := range map[string]string{"avx512vnni": "this processor or this build has no such kernel; it has avxvnni, avx2, scalar", "AVX2": "there is no such kernel"} {
		if _, err := choose(name, has); err == nil || !strings.Contains(err.Error(), EnvKernel+"="+name) || !strings.Contains(err.Error(), say) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if all := Kernels(); all[len(all)-1] != "scalar" {
		t.Errorf("kernels %q, want the scalar one last", all)
	}
}

// TestWrongKernel shows that nothing is computed by another kernel than the one asked for.
func TestWrongKernel(t *testing.T) {
	e := random(rand.New(rand.NewPCG(7, 7)), 3, 4, 1, AbsMean)
	m, a := e.operands(t)
	force(t, scalar)
	_, errKernel = choose("fast", supported())
	if name, err := Kernel(); err == nil {
		t.Errorf("kernel %q", name)
	}
	for name, err := range map[string]error{
		"Mul":      m.Mul(make([]float32, 3), a, Span{0, 1}, Span{0, 1}),
		"MulInts":  m.MulInts(make([]int32, 3), a, Span{0, 1}, Span{0, 1}),
		"Quantize": a.Quantize(make([]float32, 4), 0),
		"Set":      a.Set(0, make([]int8, 4), 1),
	} {
		if err == nil || !strings.Contains(err.Error(), EnvKernel) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
