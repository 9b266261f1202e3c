package infer

import (
	"encoding/binary"
	"unsafe"

	"github.com/bitdistill/bitdistill/bitnet/gguf"
)

// table is a matrix in full precision: values, or bytes as a file stores them, which are turned into values a few rows at a time.
type table struct {
	rows, width int
	values      []float32 // nil if the type is another
	kind        gguf.Type
	bytes       []byte
}

// newTable takes the bytes of a tensor. It keeps them, as values where those are what they hold.
func newTable(rows, width int, kind gguf.Type, bytes []byte) table {
	t := table{rows: rows, width: width, kind: kind, bytes: bytes}
	little := binary.NativeEndian.Uint16([]byte{1, 0}) == 1
	if at := unsafe.Pointer(unsafe.SliceData(bytes)); kind == gguf.F32 && little && uintptr(at)%4 == 0 {
		t.values = unsafe.Slice((*float32)(at), rows*width)
	}
	return t
}

// read gives n rows from row first on, in room if they are not there as values. room has n*width values.
func (t *table) read(first, n int, room []float32) ([]float32, error) {
	if t.values != nil {
		return t.values[first*t.width:][:n*t.width], nil
	}
	row := t.width / t.kind.BlockSize() * t.kind.BlockBytes()
	room = room[:n*t.width]
	return room, gguf.Dequantize(t.kind, room, t.bytes[first*row:][:n*row])
}

// multiply computes rows from to to of y = x·Wᵀ for tokens x [tokens, width] into dst [tokens, rows]. room is as for read, of
// tableRows rows.
func (t *table) multiply(dst, x []float32, from, to int, room []float32) error {
	for ; from < to; from += tableRows {
		n := min(tableRows, to-from)
		w, err := t.read(from, n, room)
		if err != nil {
			return err
		}
		for token := 0; token*t.width < len(x); token++ {
			dots(dst[token*t.rows+from:][:n], w, x[token*t.width:][:t.width])
		}
	}
	return nil
}

// tableRows is how many rows are turned into values at once: they stay in the first cache, or near it.
const tableRows = 8
