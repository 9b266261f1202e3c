package gguf

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"unicode/utf8"

	"github.com/bitdistill/bitdistill/internal/atomicfile"
	"github.com/bitdistill/bitdistill/internal/ctxio"
)

// maxWrittenName is the longest name of a tensor that every program opens: the
// format says 64 bytes, and llama.cpp wants room for a zero among them.
const maxWrittenName = 63

// Tensor is one tensor to be written.
type Tensor struct {
	Name  string
	Type  Type
	Shape []int // row-major, the fastest dimension last; 1 to 4 dimensions, the last whole blocks of the type
	// Data writes the stored bytes, exactly as many as type and shape need. It
	// is called once, when the tensor's turn comes, so that a model need not be
	// in memory as a whole.
	Data func(w io.Writer) error
}

// FromBytes is a tensor whose stored bytes are data.
func FromBytes(name string, t Type, shape []int, data []byte) Tensor {
	return Tensor{Name: name, Type: t, Shape: shape, Data: func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}}
}

// FromRows is a tensor that Quantize encodes while it is written. rows fills
// dst with whole rows of the tensor from row first on, as File.ReadRows does;
// it is called for some 64 Ki values at a time, or for one row if that is
// longer.
func FromRows(name string, t Type, shape []int, rows func(first int, dst []float32) error) Tensor {
	return Tensor{Name: name, Type: t, Shape: shape, Data: func(w io.Writer) error {
		info := Info{Shape: shape}
		length, total := info.RowLength(), info.Rows()
		most := min(max(1, 1<<16/length), total)
		values := make([]float32, most*length)
		blocks := make([]byte, len(values)/t.BlockSize()*t.BlockBytes())
		for first := 0; first < total; first += most {
			n := min(most, total-first)
			part := values[:n*length]
			if err := rows(first, part); err != nil {
				return err
			}
			encoded := blocks[:len(part)/t.BlockSize()*t.BlockBytes()]
			if err := Quantize(t, encoded, part); err != nil {
				return fmt.Errorf("rows from %d on: %w", first, err)
			}
			if _, err := w.Write(encoded); err != nil {
				return err
			}
		}
		return nil
	}}
}

// FromFloat32s is FromRows of values that are in memory.
func FromFloat32s(name string, t Type, shape []int, values []float32) Tensor {
	return FromRows(name, t, shape, func(first int, dst []float32) error {
		start := first * shape[len(shape)-1]
		if len(dst) > len(values)-start {
			return fmt.Errorf("%d values, the shape %v has more", len(values), shape)
		}
		copy(dst, values[start:])
		return nil
	})
}

// Copy is a tensor of an open file, byte for byte.
func (f *File) Copy(name string) (Tensor, error) {
	info, err := f.tensor(name)
	if err != nil {
		return Tensor{}, err
	}
	return Tensor{Name: name, Type: info.Type, Shape: info.Shape, Data: func(w io.Writer) error {
		b := make([]byte, min(info.Bytes, 1<<16))
		for from := int64(0); from < info.Bytes; from += int64(len(b)) {
			b = b[:min(info.Bytes-from, int64(len(b)))]
			if err := f.readAt(&info, b, from); err != nil {
				return err
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
		return nil
	}}, nil
}

// Create writes a file with Write that appears at path whole or not at all.
// When ctx ends, so does the writing, with ctx.Err(), at the next piece of
// data. The folder must exist; a file that was there is replaced.
func Create(ctx context.Context, path string, metadata []KV, tensors []Tensor) error {
	return atomicfile.WriteFile(path, func(w io.Writer) error {
		return Write(ctxio.Writer(ctx, w), metadata, tensors)
	})
}

// Write writes a file of version 3 to w: entries and tensors in the order in
// which they are given, so that the same input gives the same bytes. Tensors'
// data begin at multiples of "general.alignment" of the metadata (an uint32, a
// power of two), or of 32 without it.
//
// What the reader would refuse is a *FormatError that names the key or tensor,
// found before the first byte is written unless it is in the data. Names of
// tensors may have 63 bytes, less than what is read: other programs want that.
// Memory stays at a few buffers, beside what the tensors' functions take.
//
// Write does not make a file appear whole or not at all; Create does.
func Write(w io.Writer, metadata []KV, tensors []Tensor) error {
	alignment, err := checkMetadata(metadata)
	if err != nil {
		return err
	}
	sizes, err := checkTensors(tensors, int64(alignment))
	if err != nil {
		return err
	}
	e := &encoder{w: bufio.NewWriterSize(w, 1<<16)}
	e.bytes([]byte("GGUF"))
	e.uint32(3)
	e.uint64(uint64(len(tensors)))
	e.uint64(uint64(len(metadata)))
	for _, entry := range metadata {
		e.string(entry.Key)
		e.value(entry.Value)
	}
	offset := int64(0)
	for i, t := range tensors {
		e.info(t, offset)
		offset += padding(sizes[i], int64(alignment)) + sizes[i]
	}
	e.pad(int64(alignment))
	for i, t := range tensors {
		if err := e.data(t, sizes[i]); err != nil {
			return err
		}
		e.pad(int64(alignment))
	}
	if e.err == nil {
		e.err = e.w.Flush()
	}
	return e.err
}

// padding is what n bytes lack to a multiple of alignment.
func padding(n, alignment int64) int64 { return -n & (alignment - 1) }

// checkMetadata returns the alignment.
func checkMetadata(metadata []KV) (alignment uint32, err error) {
	if len(metadata) > maxKeys {
		return 0, writeError("", "", "key count", "%d, at most %d are allowed", len(metadata), maxKeys)
	}
	alignment = stdAlignment
	for _, e := range metadata {
		switch {
		case e.Key == "" || len(e.Key) > maxKey || !utf8.ValidString(e.Key):
			return 0, writeError(e.Key, "", "key", "want 1 to %d bytes of UTF-8", maxKey)
		case !writable(e.Value):
			return 0, writeError(e.Key, "", "value type", "%T cannot be written; see KV for the types that can", e.Value)
		case !shortEnough(e.Value):
			return 0, writeError(e.Key, "", "value", "a string has more than %d bytes", maxString)
		case e.Key == alignmentKey:
			n, ok := e.Value.(uint32)
			if !ok || n < minAlignment || n > maxAlignment || n&(n-1) != 0 {
				return 0, writeError(e.Key, "", "value", "is %T %v, want uint32, a power of two from %d to %d", e.Value, e.Value, minAlignment, maxAlignment)
			}
			alignment = n
		}
	}
	if _, twice := newIndex(len(metadata), func(i int32) string { return metadata[i].Key }); twice >= 0 {
		return 0, writeError(metadata[twice].Key, "", "key", "is there twice")
	}
	return alignment, nil
}

func writable(value any) bool {
	number, _ := kindOfValue(value)
	return number >= 0
}

func shortEnough(value any) bool {
	switch v := value.(type) {
	case string:
		return len(v) <= maxString
	case []string:
		return !slices.ContainsFunc(v, func(s string) bool { return len(s) > maxString })
	}
	return true
}

// checkTensors returns the bytes of each tensor.
func checkTensors(tensors []Tensor, alignment int64) (sizes []int64, err error) {
	if len(tensors) > maxTensors {
		return nil, writeError("", "", "tensor count", "%d, at most %d are allowed", len(tensors), maxTensors)
	}
	sizes = make([]int64, len(tensors))
	total := int64(0)
	for i, t := range tensors {
		if sizes[i], err = checkTensor(t); err != nil {
			return nil, err
		}
		if total += sizes[i] + padding(sizes[i], alignment); total > maxFile {
			return nil, writeError("", t.Name, "dimensions", "the sum of all sizes is too large")
		}
	}
	if _, twice := newIndex(len(tensors), func(i int32) string { return tensors[i].Name }); twice >= 0 {
		return nil, writeError("", tensors[twice].Name, "name", "is there twice")
	}
	return sizes, nil
}

func checkTensor(t Tensor) (size int64, err error) {
	fault := func(field, format string, args ...any) error { return writeError("", t.Name, field, format, args...) }
	switch {
	case t.Name == "" || len(t.Name) > maxWrittenName || !utf8.ValidString(t.Name):
		return 0, fault("name", "want 1 to %d bytes of UTF-8", maxWrittenName)
	case t.Type.BlockBytes() == 0:
		return 0, fault("type", "%s cannot be written", t.Type)
	case t.Data == nil:
		return 0, fault("data", "no function to write it")
	case len(t.Shape) < 1 || len(t.Shape) > maxRank:
		return 0, fault("dimension count", "is %d, want 1 to %d", len(t.Shape), maxRank)
	}
	elements := uint64(1)
	for _, n := range t.Shape {
		if n < 1 {
			return 0, fault("dimensions", "%v: want 1 or more", t.Shape)
		}
		high, product := bits.Mul64(elements, uint64(n))
		if high != 0 || product > maxFile/8 {
			return 0, fault("dimensions", "%v: the number of elements overflows", t.Shape)
		}
		elements = product
	}
	if row := t.Shape[len(t.Shape)-1]; row%t.Type.BlockSize() != 0 {
		return 0, fault("dimensions", "a row has %d values, not a multiple of the %d in a block of %s", row, t.Type.BlockSize(), t.Type)
	}
	return int64(elements) / int64(t.Type.BlockSize()) * int64(t.Type.BlockBytes()), nil
}

func writeError(key, tensor, field, format string, args ...any) error {
	return &FormatError{File: "GGUF", Key: key, Tensor: tensor, Field: field, Offset: -1, Reason: fmt.Sprintf(format, args...)}
}
