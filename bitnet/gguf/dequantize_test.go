package gguf

import (
	"bytes"
	_ "embed"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// Written by testdata/generate.py with the Python package gguf.
var (
	//go:embed testdata/golden.gguf
	golden []byte
	//go:embed testdata/golden.f32
	goldenValues []byte
)

// TestGolden wants the values of the Python package bit for bit. Only NaNs may
// differ in sign and payload, and only where they come out of arithmetic.
func TestGolden(t *testing.T) {
	f := opened(t, golden)
	rest := goldenValues
	seen := map[Type]bool{}
	for _, info := range f.Tensors() {
		got, err := f.Float32s(info.Name)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]float32, len(got))
		decodeF32(want, rest)
		rest = rest[4*len(want):]
		seen[info.Type] = true
		copied := slices.Contains([]Type{F32, F16, BF16}, info.Type)
		finite := 0
		for i, v := range got {
			bits, wantBits := math.Float32bits(v), math.Float32bits(want[i])
			if bits != wantBits && (copied || v == v || want[i] == want[i]) {
				t.Fatalf("%s: value %d is %v (%08x), want %v (%08x)", info.Name, i, v, bits, want[i], wantBits)
			}
			if v-v == 0 && v != 0 {
				finite++
			}
		}
		if !copied && finite < len(got)/4 {
			t.Errorf("%s: only %d of %d values are finite and not zero: the test compares little", info.Name, finite, len(got))
		}
	}
	if len(rest) != 0 {
		t.Errorf("%d bytes of values are left", len(rest))
	}
	for _, typ := range floats {
		if !seen[typ] && typ != Q2_0 && typ != F64 { // which the package cannot decode
			t.Errorf("no golden tensor of %s", typ)
		}
	}
}

// TestQ2_0 decodes random blocks again, after the words of the format: a scale
// in half precision, then 64 codes of two bits, of which code j is in byte j/4
// at bit 2(j%4), and stands for code-1 times the scale.
func TestQ2_0(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	scales := []uint16{0x3c00, 0xbc00, 0, 0x8000, 1, 0x83ff, 0x7bff, 0x2e66, 0x5640}
	values := []float64{1, -1, 0, math.Copysign(0, -1), 0x1p-24, -1023 * 0x1p-24, 65504, 0.0999755859375, 100}
	for i, scale := range scales {
		block := []byte{byte(scale), byte(scale >> 8)}
		for range 16 {
			block = append(block, byte(rng.Uint32()))
		}
		got := make([]float32, 64)
		if err := Dequantize(Q2_0, got, block); err != nil {
			t.Fatal(err)
		}
		for j := range got {
			code := 0
			for bit := range 2 {
				at := 2*(j%4) + bit
				code += int(block[2+j/4]) / (1 << at) % 2 * (1 << bit)
			}
			if want := float32(float64(code-1) * values[i]); got[j] != want {
				t.Errorf("scale %v, value %d: %v, want %v", values[i], j, got[j], want)
			}
		}
	}
}

func TestF64IsRounded(t *testing.T) {
	var b []byte
	for _, v := range []float64{0.1, -1e300, 1e-300, math.NaN()} {
		b = append(b, u64(math.Float64bits(v))...)
	}
	got := make([]float32, 4)
	if err := Dequantize(F64, got, b); err != nil {
		t.Fatal(err)
	}
	if got[0] != float32(0.1) || !math.IsInf(float64(got[1]), -1) || got[2] != 0 || got[3] == got[3] {
		t.Errorf("got %v", got)
	}
}

func TestDequantizeRefuses(t *testing.T) {
	for _, c := range []struct {
		typ           Type
		values, bytes int
		says          string
	}{
		{I32, 1, 4, "I32 cannot be turned into float32; the types that can are F32, F16"},
		{16, 256, 66, "IQ2_XXS cannot be turned"},
		{99, 1, 1, "type 99 cannot be turned"},
		{Q4_0, 32, 17, "17 bytes of Q4_0: not whole blocks of 18"},
		{Q4_0, 31, 18, "hold 32 values, there is room for 31"},
		{Q4_0, 33, 18, "hold 32 values, there is room for 33"},
	} {
		err := Dequantize(c.typ, make([]float32, c.values), make([]byte, c.bytes))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %q", c.typ, err, c.says)
		}
	}
	for _, typ := range floats {
		if err := Dequantize(typ, nil, nil); err != nil {
			t.Errorf("%s: nothing to do: %v", typ, err)
		}
	}
}

// BenchmarkReadRows tells the float32 made a second; divide by four for values.
func BenchmarkReadRows(b *testing.B) {
	const rows, columns = 512, 4096
	for _, typ := range floats {
		b.Run(typ.String(), func(b *testing.B) {
			size := rows * columns / typ.BlockSize() * typ.BlockBytes()
			file := withData(size, head(1, 0), desc("w", typ, 0, columns, rows))
			f, err := NewFile("memory", bytes.NewReader(file), int64(len(file)))
			if err != nil {
				b.Fatal(err)
			}
			dst := make([]float32, rows*columns)
			b.SetBytes(4 * rows * columns)
			for b.Loop() {
				if err := f.ReadRows("w", 0, dst); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func ExampleDequantize() {
	block := []byte{0, 0x38, 0b11_10_01_00, 15: 0, 16: 0, 17: 0} // scale 0.5; codes 0, 1, 2, 3, then zeros
	values := make([]float32, Q2_0.BlockSize())
	if err := Dequantize(Q2_0, values, block); err != nil {
		fmt.Println(err)
	}
	fmt.Println(values[:5])
	// Output: [-0.5 0 0.5 1 -0.5]
}
