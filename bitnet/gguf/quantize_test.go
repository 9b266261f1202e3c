package gguf

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/internal/half"
)

// Written by testdata/generate.py with the Python package gguf.
//
//go:embed testdata/quantized.gguf
var quantized []byte

// TestQuantizeGolden wants the blocks of the Python package bit for bit, and of
// Q2_0, which that does not know, those of the generating script.
func TestQuantizeGolden(t *testing.T) {
	f := opened(t, quantized)
	x, err := f.Float32s("x")
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range encodable {
		want, err := f.Bytes(typ.String())
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		if err := Quantize(typ, got, x); err != nil {
			t.Fatal(err)
		}
		size := typ.BlockBytes()
		for i := 0; i < len(want); i += size {
			if !bytes.Equal(got[i:i+size], want[i:i+size]) {
				first := i / size * typ.BlockSize()
				t.Fatalf("%s: values from %d on, %v:\n%x, want\n%x", typ, first, x[first:first+typ.BlockSize()], got[i:i+size], want[i:i+size])
			}
		}
	}
}

// TestQuantizeIsClose decodes what was encoded. A code is off by half a step at
// most, and the scale by 2^-11 of it, or by half the least half.
func TestQuantizeIsClose(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, typ := range encodable {
		block := typ.BlockSize()
		steps := map[Type]float64{Q8_0: 127, Q4_0: 8}[typ] // in the largest magnitude
		if steps == 0 {
			steps = 1
		}
		x, got := make([]float32, block), make([]float32, block)
		blocks := make([]byte, typ.BlockBytes())
		for try := range 2000 {
			most := 0.0
			for i := range x {
				x[i] = float32(rng.NormFloat64() * math.Pow(2, float64(try%40-30)))
				most = max(most, math.Abs(float64(x[i])))
			}
			if err := Quantize(typ, blocks, x); err != nil {
				t.Fatal(err)
			}
			if err := Dequantize(typ, got, blocks); err != nil {
				t.Fatal(err)
			}
			allowed := most*0x1p-10 + steps*0x1p-25
			switch typ {
			case F32:
				allowed = 0
			case BF16:
				allowed = most * 0x1p-8
			case Q4_0: // an extreme of the other sign lacks a ninth code
				allowed += most / steps
			case Q8_0, TQ1_0, TQ2_0, Q2_0:
				allowed += most / steps / 2
			}
			for i := range x {
				if off := math.Abs(float64(got[i]) - float64(x[i])); off > allowed {
					t.Fatalf("%s: %v became %v, off by %g, allowed %g; the largest magnitude is %g", typ, x[i], got[i], off, allowed, most)
				}
			}
		}
	}
}

// TestTernaryIsExact: matrices of -D, 0 and D survive if half precision holds D.
func TestTernaryIsExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, typ := range []Type{TQ1_0, TQ2_0, Q2_0} {
		for code := uint16(1); code < 0x7c00; code += 61 { // all positive scales from subnormal to large
			d := half.ToFloat32(code)
			x, got := make([]float32, 256), make([]float32, 256)
			for i := range x {
				x[i] = d * float32(rng.IntN(3)-1)
			}
			blocks := make([]byte, 256/typ.BlockSize()*typ.BlockBytes())
			if err := Quantize(typ, blocks, x); err != nil {
				t.Fatal(err)
			}
			if err := Dequantize(typ, got, blocks); err != nil {
				t.Fatal(err)
			}
			for i := range x {
				if got[i] != x[i] {
					t.Fatalf("%s: scale %v: %v became %v", typ, d, x[i], got[i])
				}
			}
		}
	}
}

// TestQuantizeExtremes: numbers beyond a type, and what is not a number.
func TestQuantizeExtremes(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	most := map[Type]float32{ // largest magnitudes that are held
		F32: math.MaxFloat32, F16: math.Nextafter32(65520, 0), BF16: math.Nextafter32(0x1.ffp127, 0), Q8_0: math.Nextafter32(127*65520, 0),
		Q4_0: math.Nextafter32(8*65520, 0), TQ1_0: math.Nextafter32(65520, 0), TQ2_0: math.Nextafter32(65520, 0), Q2_0: math.Nextafter32(65520, 0),
	}
	for _, typ := range encodable {
		x, got := make([]float32, typ.BlockSize()), make([]float32, typ.BlockSize())
		blocks := make([]byte, typ.BlockBytes())
		at := len(x) - 1
		for _, sign := range []float32{1, -1} {
			x[at] = sign * most[typ]
			if err := Quantize(typ, blocks, x); err != nil {
				t.Error(err)
			}
			if err := Dequantize(typ, got, blocks); err != nil || got[at]-got[at] != 0 {
				t.Errorf("%s: %v became %v (%v)", typ, x[at], got[at], err)
			}
			for _, beyond := range []float32{math.Nextafter32(most[typ], inf), inf, nan} {
				x[at] = sign * beyond
				err := Quantize(typ, blocks, x)
				if finite := beyond-beyond == 0; typ.BlockSize() == 1 && !finite { // what is not finite has a code of its own
					if errors.Join(err, Dequantize(typ, got, blocks)) != nil || got[at] != x[at] && (beyond == beyond || got[at] == got[at]) {
						t.Errorf("%s: %v became %v (%v)", typ, x[at], got[at], err)
					}
					continue
				}
				if want := fmt.Sprintf("value %d is %v, which %s cannot hold", at, x[at], typ); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: got %v, want %s", typ, err, want)
				}
			}
		}
	}
}

func TestQuantizeRefuses(t *testing.T) {
	for _, c := range []struct {
		typ           Type
		values, bytes int
		says          string
	}{
		{Q6_K, 256, 210, "cannot be encoded as Q6_K; the types that can be are F32, F16, BF16, Q8_0"},
		{99, 1, 1, "cannot be encoded as type 99"},
		{Q4_0, 31, 18, "31 values: not whole blocks of 32, as Q4_0 has"},
		{Q4_0, 32, 17, "32 values of Q4_0 need 18 bytes, there is room for 17"},
		{F32, 2, 12, "2 values of F32 need 8 bytes, there is room for 12"},
	} {
		if err := Quantize(c.typ, make([]byte, c.bytes), make([]float32, c.values)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %q", c.typ, err, c.says)
		}
	}
	for _, typ := range encodable {
		if err := Quantize(typ, nil, nil); err != nil {
			t.Errorf("%s: nothing to do: %v", typ, err)
		}
		if !typ.IsFloat() {
			t.Errorf("%s cannot be read", typ)
		}
	}
}

// BenchmarkQuantize tells the float32 encoded a second; divide by four for
// values.
func BenchmarkQuantize(b *testing.B) {
	rng := rand.New(rand.NewPCG(7, 8))
	x := make([]float32, 1<<20)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	for _, typ := range encodable {
		b.Run(typ.String(), func(b *testing.B) {
			blocks := make([]byte, len(x)/typ.BlockSize()*typ.BlockBytes())
			b.SetBytes(4 << 20)
			for b.Loop() {
				if err := Quantize(typ, blocks, x); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
