package rows

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/gguf"
)

// widths are some for a type: with and without whole steps and chunks of kernels.
func widths(kind gguf.Type) []int {
	if kind.BlockSize() > 1 {
		return []int{32, 64, 96, 160, 1024}
	}
	return []int{1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 63, 64, 65, 172, 256, 263, 264, 300, 520}
}

// mul computes rows from to to, with guards around them.
func mul(t testing.TB, m *Matrix, x []float32, codes *Codes, from, to int) []float32 {
	t.Helper()
	const guard = 7e7
	tokens := len(x) / m.width
	room := make([]float32, tokens*m.rows+2*panel)
	for i := range room {
		room[i] = guard
	}
	dst := room[panel : len(room)-panel]
	check(t, m.Mul(dst, x, codes, from, to))
	for i, v := range room {
		at := i - panel
		if inside := at >= 0 && at < len(dst) && at%m.rows >= from && at%m.rows < to; !inside && v != guard {
			t.Fatalf("%v [%d, %d], %d tokens, rows %d to %d: value %d was written to", m.kind, m.rows, m.width, tokens, from, to, at)
		}
	}
	return dst
}

// same compares bits, but for what NaNs carry.
func same(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

// checkKernels compares kernels, where there are any, with plain Go, all rows and some, all tokens at once and each alone.
func checkKernels(t *testing.T, m *Matrix, x []float32, from, to int) {
	t.Helper()
	codes := codesOf(t, m, x)
	tokens := len(x) / m.width
	force(t, false)
	want := mul(t, m, x, codes, 0, m.rows)
	force(t, capable())
	for _, part := range [][2]int{{0, m.rows}, {from, to}} {
		got := mul(t, m, x, codes, part[0], part[1])
		for token := range tokens {
			one := x[token*m.width:][:m.width]
			alone := mul(t, m, one, codesOf(t, m, one), part[0], part[1])
			for row := part[0]; row < part[1]; row++ {
				i := token*m.rows + row
				if !same(got[i], want[i]) || !same(alone[row], want[i]) {
					t.Fatalf("%v [%d, %d], token %d of %d, row %d of %v: %g, alone %g, plain Go %g",
						m.kind, m.rows, m.width, token, tokens, row, part, got[i], alone[row], want[i])
				}
			}
		}
	}
}

func TestKernels(t *testing.T) {
	for _, kind := range Types() {
		t.Run(kind.String(), func(t *testing.T) {
			for _, width := range widths(kind) {
				for tokens := 1; tokens <= 9; tokens++ {
					m := random(t, kind, 1+(width*7+tokens*13)%70, width, uint64(tokens))
					x, _ := tokensOf(t, m, tokens, uint64(width))
					from := m.rows / 3
					checkKernels(t, m, x, from, from+(m.rows-from)*2/3)
				}
			}
		})
	}
}

// TestBytes takes weights of any bytes, thus NaN, infinities and subnormal values of all types, and tokens with such values.
func TestBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	special := []float32{0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), 1e-45, -1e-39, 1e-36, math.MaxFloat32}
	for _, kind := range Types() {
		for round := range 60 {
			m := random(t, kind, 35, 96, 1)
			m.data = make([]byte, len(m.data)+7)[round%7:][:len(m.data)] // at any address
			for i := range m.data {
				m.data[i] = byte(r.Uint32())
			}
			x, _ := tokensOf(t, m, 3, uint64(round))
			for range round % 5 {
				x[r.IntN(len(x))] = special[r.IntN(len(special))]
			}
			checkKernels(t, m, x, 3, 30)
		}
	}
}

// TestValues compares with sums in float64 of the values that gguf reads.
func TestValues(t *testing.T) {
	for _, kernels := range []bool{false, capable()} {
		force(t, kernels)
		for _, kind := range Types() {
			tolerance := 1e-6 // of the sum of magnitudes
			if kind.BlockSize() > 1 {
				tolerance = 2e-5 // a token's values in 16 bits
			}
			const rows, width, tokens = 40, 352, 5
			m := random(t, kind, rows, width, 3)
			x, codes := tokensOf(t, m, tokens, 4)
			y, w := mul(t, m, x, codes, 0, rows), make([]float32, width)
			worst := 0.0
			for row := range rows {
				check(t, m.Read(w, row))
				for token := range tokens {
					sum, magnitude := 0.0, 0.0
					for k, v := range w {
						product := float64(v) * float64(x[token*width+k])
						sum += product
						magnitude += math.Abs(product)
					}
					worst = max(worst, math.Abs(float64(y[token*rows+row])-sum)/magnitude)
				}
			}
			t.Logf("%v: off by at most %.2g of the sum of magnitudes", kind, worst)
			if !(worst <= tolerance) {
				t.Errorf("%v: more than %g", kind, tolerance)
			}
		}
	}
}

// TestOrder: values that are stored one by one are added up from the first to the last.
func TestOrder(t *testing.T) {
	for _, kernels := range []bool{false, capable()} {
		force(t, kernels)
		for _, kind := range []gguf.Type{gguf.F32, gguf.F16, gguf.BF16} {
			m := random(t, kind, 33, 300, 5)
			x, _ := tokensOf(t, m, 7, 6)
			y, w := mul(t, m, x, nil, 0, m.rows), make([]float32, m.width)
			for row := range m.rows {
				check(t, m.Read(w, row))
				for token := range 7 {
					sum := float32(0)
					for k, v := range w {
						sum += float32(x[token*m.width+k] * v)
					}
					if sum != y[token*m.rows+row] {
						t.Fatalf("%v: row %d, token %d: %g, want %g", kind, row, token, y[token*m.rows+row], sum)
					}
				}
			}
		}
	}
}

// TestCodes: integers of 16 bits are within half of a step of the values, and what is not finite stays so.
func TestCodes(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	c, err := NewCodes(64, 1)
	check(t, err)
	x := make([]float32, 64)
	for _, scale := range []float64{1, 1e-30, 1e30} {
		for i := range x {
			x[i] = float32(scale * r.NormFloat64())
		}
		check(t, c.Set(0, x))
		for i, v := range x {
			b := c.blocks[i/32]
			place := i % 32
			code := b.codes[place%2*16+place/2]
			if d := math.Abs(float64(v) - float64(code)*float64(b.scale)); !(d <= 0.501*float64(b.scale)) {
				t.Errorf("%g is %d times %g", v, code, b.scale)
			}
		}
	}
	for _, bad := range []float64{math.Inf(1), math.Inf(-1), math.NaN()} {
		x[40] = float32(bad)
		check(t, c.Set(0, x))
		if s := c.blocks[1].scale; s == s {
			t.Errorf("%g gives the scale %g", bad, s)
		}
	}
	clear(x)
	check(t, c.Set(0, x))
	if c.blocks[0] != (codeBlock{}) {
		t.Errorf("zeros are %v", c.blocks[0])
	}
}

func TestRefuses(t *testing.T) {
	m := random(t, gguf.Q8_0, 4, 64, 1)
	x, codes := tokensOf(t, m, 2, 1)
	other, err := NewCodes(32, 4)
	check(t, err)
	second := func(_ any, err error) error { return err }
	for says, err := range map[string]error{
		"type Q4_K, want one of":                 second(New(gguf.Q4_K, 1, 256, make([]byte, 144))),
		"a multiple of 32 values":                second(New(gguf.Q4_0, 1, 40, make([]byte, 18))),
		"3 bytes for a matrix [1, 1] of F32":     second(New(gguf.F32, 1, 1, make([]byte, 3))),
		"a matrix [0, 1] of F32":                 second(New(gguf.F32, 0, 1, nil)),
		"rows 0 to 5 for 128 values":             m.Mul(make([]float32, 8), x, codes, 0, 5),
		"in room for 7":                          m.Mul(make([]float32, 7), x, codes, 0, 4),
		"rows 0 to 4 for 65 values":              m.Mul(make([]float32, 8), x[:65], codes, 0, 4),
		"with 2 tokens needs their codes":        m.Mul(make([]float32, 8), x, nil, 0, 4),
		"of Q8_0 with 2 tokens needs":            m.Mul(make([]float32, 8), x, other, 0, 4),
		"2 tokens of 33 values":                  second(NewCodes(33, 2)),
		"64 values for token 2":                  codes.Set(2, x[:64]),
		"gguf: 68 bytes of Q8_0 hold 64 values,": m.Read(make([]float32, 3), 0),
	} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %s", err, says)
		}
	}
}

// TestAllocations: nothing is allocated.
func TestAllocations(t *testing.T) {
	for _, kind := range Types() {
		m := random(t, kind, 50, 96, 1)
		for _, tokens := range []int{1, 5} {
			x, codes := tokensOf(t, m, tokens, 1)
			dst := make([]float32, tokens*m.rows)
			if n := testing.AllocsPerRun(10, func() { check(t, m.Mul(dst, x, codes, 0, m.rows)) }); n != 0 {
				t.Errorf("%v: %v allocations with %d tokens", kind, n, tokens)
			}
		}
	}
}

// FuzzMul compares kernels with plain Go on any bytes.
func FuzzMul(f *testing.F) {
	f.Add([]byte(strings.Repeat("a few bytes of weights. ", 50)), uint8(0), uint8(2), uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, kind, tokens, blocks uint8) {
		k := Types()[int(kind)%len(Types())]
		width, n := 32*(1+int(blocks)%9), 1+int(tokens)%9
		if k.BlockSize() == 1 {
			width -= int(blocks) % 32
		}
		pitch := width / k.BlockSize() * k.BlockBytes()
		rows := len(data) / pitch
		if rows == 0 {
			return
		}
		m, err := New(k, rows, width, data[:rows*pitch])
		check(t, err)
		x := make([]float32, n*width)
		for i := range x {
			x[i] = math.Float32frombits(binary.LittleEndian.Uint32([]byte{data[i%len(data)], byte(i), data[(i*7)%len(data)], data[(i*5)%len(data)]}))
		}
		checkKernels(t, m, x, rows/2, rows)
	})
}

func ExampleMatrix_Mul() {
	weights := make([]byte, 2*3*4)
	_ = gguf.Quantize(gguf.F32, weights, []float32{1, 2, 3, 4, 5, 6})
	m, err := New(gguf.F32, 2, 3, weights)
	if err != nil {
		fmt.Println(err)
		return
	}
	y := make([]float32, 2)
	err = m.Mul(y, []float32{1, 0, -1}, nil, 0, 2)
	fmt.Println(y, err)
	// Output: [-2 -2] <nil>
}
