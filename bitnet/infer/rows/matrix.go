package rows

import (
	"fmt"

	"github.com/bitdistill/bitdistill/bitnet/gguf"
)

// Matrix is one [rows, width] as a file stores it.
type Matrix struct {
	kind               gguf.Type
	rows, width, pitch int // pitch is the bytes of a row
	data               []byte
}

// Types are those that a matrix may have.
func Types() []gguf.Type { return []gguf.Type{gguf.F32, gguf.F16, gguf.BF16, gguf.Q8_0, gguf.Q4_0} }

// New takes the bytes of a matrix and keeps them. The type is one of [Types]; those with blocks need a width of whole ones.
func New(kind gguf.Type, rows, width int, data []byte) (*Matrix, error) {
	m := &Matrix{kind: kind, rows: rows, width: width, data: data}
	block := 1
	switch kind {
	case gguf.Q8_0, gguf.Q4_0:
		block = blockSize
	case gguf.F32, gguf.F16, gguf.BF16:
	default:
		return nil, fmt.Errorf("rows: type %s, want one of %v", kind, Types())
	}
	if rows < 1 || width < 1 || width%block != 0 {
		return nil, fmt.Errorf("rows: a matrix [%d, %d] of %s: want at least a row, of a multiple of %d values", rows, width, kind, block)
	}
	m.pitch = width / block * kind.BlockBytes()
	if len(data) != rows*m.pitch {
		return nil, fmt.Errorf("rows: %d bytes for a matrix [%d, %d] of %s, want %d", len(data), rows, width, kind, rows*m.pitch)
	}
	return m, nil
}

// Dims are rows and width.
func (m *Matrix) Dims() (rows, width int) { return m.rows, m.width }

// Blocks reports whether the type has blocks, so that Mul wants codes.
func (m *Matrix) Blocks() bool { return m.kind.BlockSize() > 1 }

// Nanoseconds is roughly how long some rows times tokens take.
func (m *Matrix) Nanoseconds(rows, tokens int) float64 {
	const bytes, products = 16, 16 // in one
	if !vectors {
		return float64(rows * m.width * tokens)
	}
	return float64(rows) * (float64(m.pitch)/bytes + float64(m.width*tokens)/products)
}

// Read puts the values of a row into dst, which has room for them.
func (m *Matrix) Read(dst []float32, row int) error {
	return gguf.Dequantize(m.kind, dst, m.data[row*m.pitch:][:m.pitch])
}

// Mul computes rows from to to of y = x·Wᵀ for tokens x [tokens, width] into dst [tokens, rows]; the rest of dst stays as it is. Where
// [Matrix.Blocks] says so, codes hold these tokens too, from the first on. Nothing is allocated. Several goroutines may compute different rows.
func (m *Matrix) Mul(dst, x []float32, codes *Codes, from, to int) error {
	tokens := len(x) / m.width
	if from < 0 || to > m.rows || len(x) != tokens*m.width || len(dst) < tokens*m.rows {
		return fmt.Errorf("rows: rows %d to %d for %d values in room for %d: the matrix is [%d, %d]", from, to, len(x), len(dst), m.rows, m.width)
	}
	if from >= to || tokens == 0 {
		return nil
	}
	if !m.Blocks() {
		m.mulValues(dst, x, tokens, from, to)
		return nil
	}
	if codes == nil || codes.width != m.width || codes.tokens < tokens {
		return fmt.Errorf("rows: a matrix [%d, %d] of %s with %d tokens needs their codes", m.rows, m.width, m.kind, tokens)
	}
	m.mulBlocks(dst, codes, tokens, from, to)
	return nil
}

const (
	panel   = 16  // rows that kernels add up side by side
	chunk   = 256 // columns that are transposed at once for several tokens: 16 KiB of a panel
	maxTile = 6   // tokens that kernels multiply at once
)

// mulValues takes panels with kernels, and what is left of rows and columns with loops.
func (m *Matrix) mulValues(dst, x []float32, tokens, from, to int) {
	for t := range tokens {
		clear(dst[t*m.rows+from : t*m.rows+to])
	}
	done := 0 // columns
	if vectors {
		done = m.width / 8 * 8
	}
	whole := from
	if done > 0 {
		whole += (to - from) / panel * panel
	}
	if tokens == 1 {
		for row := from; row < whole; row += panel {
			m.dots(dst[row:][:panel], x[:done], row)
		}
	} else if from < whole {
		m.mulPanels(dst, x, tokens, from, whole, done)
	}
	m.addProducts(dst, x, from, whole, done)
	m.addProducts(dst, x, whole, to, 0)
}

// mulPanels adds the products of the first columns of whole panels for several tokens.
func (m *Matrix) mulPanels(dst, x []float32, tokens, from, to, columns int) {
	var room [panel * chunk]float32
	for row := from; row < to; row += panel {
		for k := 0; k < columns; k += chunk {
			n := min(chunk, columns-k)
			m.spread(&room, row, k, n)
			for t := 0; t < tokens; t += maxTile {
				count := min(maxTile, tokens-t)
				tile(dst[t*m.rows+row:], &room, x[t*m.width+k:], m.rows, m.width, n, count)
			}
		}
	}
}

// batch is how many bytes of blocks are multiplied with one token after another: they stay in the second cache.
const batch = 128 << 10

func (m *Matrix) mulBlocks(dst []float32, codes *Codes, tokens, from, to int) {
	if !vectors {
		m.blockProducts(dst, codes, tokens, from, to)
		return
	}
	size := to - from
	if tokens > maxGroup {
		size = max(1, batch/m.pitch)
	}
	for ; from < to; from += size {
		n := min(size, to-from)
		for t := 0; t < tokens; t += maxGroup {
			m.blocks(dst[t*m.rows+from:], codes.token(t), from, n, min(maxGroup, tokens-t))
		}
	}
}
