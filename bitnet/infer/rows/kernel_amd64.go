//go:build !purego

package rows

import (
	"golang.org/x/sys/cpu"

	"github.com/bitdistill/bitdistill/bitnet/gguf"
)

// capable reports whether the processor runs the kernels. The package cpu does not know F16C, and FMA only as GODEBUG allows it: programs
// run with cpu.fma=off, which is meant for math.Exp alone.
func capable() bool {
	const fma, f16c = 1 << 12, 1 << 29
	return cpu.X86.HasAVX2 && features()&(fma|f16c) == fma|f16c
}

// span are the bytes of a panel from a column on: where it begins, and where what is to be fetched meanwhile does, the same part of the
// bytes that follow the panel, in the order of memory.
func (m *Matrix) span(row, column int) (rows *byte, ahead int) {
	size := m.kind.BlockBytes()
	_ = m.data[(row+panel)*m.pitch-1]
	return &m.data[row*m.pitch+column*size], panel*m.pitch + (panel-1)*column*size
}

// dots puts the products of a panel with the first values of one token, a multiple of 8, into sums.
func (m *Matrix) dots(sums, x []float32, row int) {
	rows, ahead := m.span(row, 0)
	_ = sums[panel-1]
	switch n := len(x) / 8; m.kind {
	case gguf.F32:
		dotsF32(&sums[0], rows, &x[0], m.pitch, ahead, n)
	case gguf.F16:
		dotsF16(&sums[0], rows, &x[0], m.pitch, ahead, n)
	case gguf.BF16:
		dotsBF16(&sums[0], rows, &x[0], m.pitch, ahead, n)
	}
}

// spread transposes n columns of a panel, a multiple of 8.
func (m *Matrix) spread(to *[panel * chunk]float32, row, column, n int) {
	rows, ahead := m.span(row, column)
	switch m.kind {
	case gguf.F32:
		spreadF32(&to[0], rows, m.pitch, ahead, n/8)
	case gguf.F16:
		spreadF16(&to[0], rows, m.pitch, ahead, n/8)
	case gguf.BF16:
		spreadBF16(&to[0], rows, m.pitch, ahead, n/8)
	}
}

// tile adds the products of n columns with tokens to their sums.
func tile(sums []float32, columns *[panel * chunk]float32, x []float32, sumsPitch, xPitch, n, tokens int) {
	_, _ = sums[(tokens-1)*sumsPitch+panel-1], x[(tokens-1)*xPitch+n-1]
	tileAVX2(&sums[0], &columns[0], &x[0], sumsPitch, xPitch, n, tokens)
}

// blocks puts the products of n rows with tokens into dst.
func (m *Matrix) blocks(dst []float32, codes []codeBlock, row, n, tokens int) {
	count := m.width / blockSize
	weights := m.data[row*m.pitch:][:n*m.pitch]
	_, _ = dst[(tokens-1)*m.rows+n-1], codes[tokens*count-1]
	if m.kind == gguf.Q8_0 {
		blocksQ8_0(&dst[0], &weights[0], &codes[0].scale, count, n, m.rows, tokens)
		return
	}
	blocksQ4_0(&dst[0], &weights[0], &codes[0].scale, count, n, m.rows, tokens)
}

// ProbePeak does n turns of multiply-adds on registers alone and returns the number of products: what no product of values can be faster than, on
// one core; without a fused multiply-add, as the order of training wants it, half of it on many processors.
func ProbePeak(n int) (products int) {
	if !vectors {
		return 0
	}
	peakAVX2(n)
	return 12 * 8 * n
}
