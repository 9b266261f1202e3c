package rows

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/bitdistill/bitdistill/bitnet/gguf"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// force runs what follows with kernels or without.
func force(t testing.TB, kernels bool) {
	before := vectors
	vectors = kernels
	t.Cleanup(func() { vectors = before })
}

// random is a matrix of normal values, as stored in a type. Its bytes begin at the address of a cache line.
func random(t testing.TB, kind gguf.Type, rows, width int, seed uint64) *Matrix {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	values := make([]float32, min(rows, 1000)*width)
	for i := range values {
		values[i] = float32(r.NormFloat64())
	}
	pitch := width / kind.BlockSize() * kind.BlockBytes()
	part := make([]byte, min(rows, 1000)*pitch)
	check(t, gguf.Quantize(kind, part, values))
	data := make([]byte, rows*pitch+64)
	data = data[64-uintptr(unsafe.Pointer(&data[0]))%64:][:rows*pitch]
	for at := 0; at < len(data); {
		at += copy(data[at:], part)
	}
	m, err := New(kind, rows, width, data)
	check(t, err)
	return m
}

// tokensOf are values for a matrix, and their codes where it needs some.
func tokensOf(t testing.TB, m *Matrix, tokens int, seed uint64) ([]float32, *Codes) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 2))
	x := make([]float32, tokens*m.width)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x, codesOf(t, m, x)
}

func codesOf(t testing.TB, m *Matrix, x []float32) *Codes {
	t.Helper()
	if !m.Blocks() {
		return nil
	}
	c, err := NewCodes(m.width, len(x)/m.width)
	check(t, err)
	for i := range len(x) / m.width {
		check(t, c.Set(i, x[i*m.width:][:m.width]))
	}
	return c
}
