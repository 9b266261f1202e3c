package rows

import (
	"encoding/binary"
	"math"

	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/internal/half"
)

// Plain Go: what kernels have to equal, and what computes where there are none. float32(x) around a product keeps the compiler from fusing
// it with a sum.

// addProducts adds the products of rows and tokens, from a column on, to dst.
func (m *Matrix) addProducts(dst, x []float32, from, to, column int) {
	const beside, piece = 4, 128
	var w [beside][piece]float32
	for ; from < to; from += beside {
		n := min(beside, to-from)
		for k := column; k < m.width; k += piece {
			size := min(piece, m.width-k)
			for i := range n {
				m.values(w[i][:size], from+i, k)
			}
			for t := 0; t*m.width < len(x); t++ {
				y, x := dst[t*m.rows+from:][:n], x[t*m.width+k:][:size]
				if n == beside {
					addDots(y, w[0][:size], w[1][:size], w[2][:size], w[3][:size], x)
					continue
				}
				for i := range y {
					y[i] = addDot(y[i], w[i][:size], x)
				}
			}
		}
	}
}

// addDots adds four sums side by side: each waits for its last product.
func addDots(y, a, b, c, d, x []float32) {
	a, b, c, d = a[:len(x)], b[:len(x)], c[:len(x)], d[:len(x)]
	sa, sb, sc, sd := y[0], y[1], y[2], y[3]
	for k, v := range x {
		sa += float32(v * a[k])
		sb += float32(v * b[k])
		sc += float32(v * c[k])
		sd += float32(v * d[k])
	}
	y[0], y[1], y[2], y[3] = sa, sb, sc, sd
}

func addDot(sum float32, w, x []float32) float32 {
	for k, v := range x {
		sum += float32(v * w[k])
	}
	return sum
}

// values reads some of a row from a column on. (gguf.Dequantize would have dst escape.)
func (m *Matrix) values(dst []float32, row, column int) {
	b := m.data[row*m.pitch:][:m.pitch]
	switch m.kind {
	case gguf.F32:
		b = b[4*column:]
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	case gguf.F16:
		b = b[2*column:]
		for i := range dst {
			dst[i] = half.ToFloat32(binary.LittleEndian.Uint16(b[2*i:]))
		}
	case gguf.BF16:
		b = b[2*column:]
		for i := range dst {
			dst[i] = half.BFloatToFloat32(binary.LittleEndian.Uint16(b[2*i:]))
		}
	}
}

const (
	lanes    = 8
	maxGroup = 4 // tokens that kernels multiply at once
)

// blockProducts puts the products of rows and tokens into dst; see the package comment.
func (m *Matrix) blockProducts(dst []float32, codes *Codes, tokens, from, to int) {
	for row := from; row < to; row++ {
		for t := range tokens {
			dst[t*m.rows+row] = m.blockProduct(row, codes.token(t)[:m.width/blockSize])
		}
	}
}

func (m *Matrix) blockProduct(row int, token []codeBlock) float32 {
	var sums [2][lanes]float32
	var w [blockSize]int32
	data := m.data[row*m.pitch:][:m.pitch]
	size := m.pitch / len(token)
	for i := range token {
		b, k := data[i*size:][:size], &token[i].codes
		m.codes(&w, b[2:])
		factor := half.ToFloat32(binary.LittleEndian.Uint16(b)) * token[i].scale
		for j := range lanes {
			s := w[4*j]*int32(k[2*j]) + w[4*j+2]*int32(k[2*j+1]) + w[4*j+1]*int32(k[2*j+16]) + w[4*j+3]*int32(k[2*j+17])
			sums[i%2][j] += float32(float32(s) * factor)
		}
	}
	var l [lanes]float32
	for j := range l {
		l[j] = sums[0][j] + sums[1][j]
	}
	return ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
}

// codes are those of a block of weights.
func (m *Matrix) codes(w *[blockSize]int32, b []byte) {
	if m.kind == gguf.Q8_0 {
		for i, c := range (*[blockSize]byte)(b) {
			w[i] = int32(int8(c))
		}
		return
	}
	for i, c := range (*[blockSize / 2]byte)(b) {
		w[i], w[i+16] = int32(c&15)-8, int32(c>>4)-8
	}
}
