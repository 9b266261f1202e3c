package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bitdistill/bitdistill/internal/half"
	"github.com/bitdistill/bitdistill/internal/tensorfile"
)

// Tensor is one tensor to be written.
type Tensor struct {
	Name  string
	DType DType
	Shape []int
	// Data writes the elements, little-endian and row-major: exactly the bytes
	// that dtype and shape need. It is called once, when the tensor's turn
	// comes, so that a model need not be in memory as a whole.
	Data func(w io.Writer) error
}

// FromBytes is a tensor whose stored bytes are data.
func FromBytes(name string, dtype DType, shape []int, data []byte) Tensor {
	return Tensor{Name: name, DType: dtype, Shape: shape, Data: func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}}
}

// FromFloat32s is a tensor of dtype F32 or F64 (exact), or F16 or BF16 (rounded
// to nearest, ties to even), converted piece by piece while it is written.
func FromFloat32s(name string, dtype DType, shape []int, values []float32) Tensor {
	return Tensor{Name: name, DType: dtype, Shape: shape, Data: func(w io.Writer) error {
		if !dtype.IsFloat() {
			return fmt.Errorf("float32 values cannot be written as %s", dtype)
		}
		return encode(w, dtype, values, func(b []byte, v float32) ([]byte, error) {
			le := binary.LittleEndian
			switch dtype {
			case F32:
				return le.AppendUint32(b, math.Float32bits(v)), nil
			case F16:
				return le.AppendUint16(b, half.FromFloat32(v)), nil
			case BF16:
				return le.AppendUint16(b, half.BFloatFromFloat32(v)), nil
			default: // F64
				return le.AppendUint64(b, math.Float64bits(float64(v))), nil
			}
		})
	}}
}

// FromInts is a tensor of an integer dtype or BOOL; a value that the dtype
// cannot hold is an error when it is written.
func FromInts(name string, dtype DType, shape []int, values []int) Tensor {
	return Tensor{Name: name, DType: dtype, Shape: shape, Data: func(w io.Writer) error {
		if dtype.IsFloat() {
			return fmt.Errorf("integers cannot be written as %s", dtype)
		}
		size := dtype.Size()
		return encode(w, dtype, values, func(b []byte, v int) ([]byte, error) {
			b = binary.LittleEndian.AppendUint64(b, uint64(v))[:len(b)+size]
			if back, ok := intAt(dtype, b[len(b)-size:]); !ok || back != v {
				return nil, fmt.Errorf("%d does not fit %s", v, dtype)
			}
			return b, nil
		})
	}}
}

// encode writes values through a bounded buffer.
func encode[T any](w io.Writer, dtype DType, values []T, add func([]byte, T) ([]byte, error)) error {
	most := chunkBytes / max(dtype.Size(), 1)
	buffer := make([]byte, 0, min(len(values), most)*dtype.Size()+8)
	for part := range slices.Chunk(values, most) {
		buffer = buffer[:0]
		for _, v := range part {
			var err error
			if buffer, err = add(buffer, v); err != nil {
				return err
			}
		}
		if _, err := w.Write(buffer); err != nil {
			return err
		}
	}
	return nil
}

// Write writes a file to w: the same bytes for the same input, in whatever
// order the tensors come. Tensors are laid out by falling element size and
// then by name, as the reference implementation does, so that each begins at a
// multiple of its element size; the header is padded with spaces to a multiple
// of 8. A fault of the input is a *FormatError that names the tensor, found
// before the first byte is written unless it is in the data.
//
// Write does not make a file appear whole or not at all; see
// internal/atomicfile for that.
func Write(w io.Writer, metadata map[string]string, tensors []Tensor) error {
	tensors = slices.Clone(tensors)
	slices.SortFunc(tensors, func(a, b Tensor) int {
		if d := b.DType.Size() - a.DType.Size(); d != 0 {
			return d
		}
		return strings.Compare(a.Name, b.Name)
	})
	head, sizes, err := encodeHeader(metadata, tensors)
	if err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return fmt.Errorf("write safetensors header: %w", err)
	}
	for i, t := range tensors {
		if err := writeData(w, t, sizes[i]); err != nil {
			return err
		}
	}
	return nil
}

// encodeHeader returns length and header, and the bytes of each tensor.
func encodeHeader(metadata map[string]string, tensors []Tensor) ([]byte, []int, error) {
	head := bytes.NewBuffer(make([]byte, lengthBytes))
	head.WriteByte('{')
	if len(metadata) > 0 {
		if err := encodeMetadata(head, metadata); err != nil {
			return nil, nil, err
		}
	}
	sizes := make([]int, len(tensors))
	names := make(map[string]bool, len(tensors))
	offset := 0
	for i, t := range tensors {
		size, err := checkTensor(t, names)
		if err != nil {
			return nil, nil, err
		}
		if size > math.MaxInt-offset {
			return nil, nil, writeError(t.Name, "shape", "the sum of all sizes overflows")
		}
		if i > 0 || len(metadata) > 0 {
			head.WriteByte(',')
		}
		head.Write(quoteJSON(t.Name))
		shape := strings.ReplaceAll(fmt.Sprint(t.Shape), " ", ",")
		fmt.Fprintf(head, `:{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}`, t.DType, shape, offset, offset+size)
		sizes[i] = size
		offset += size
	}
	head.WriteByte('}')
	for head.Len()%8 != 0 {
		head.WriteByte(' ')
	}
	length := head.Len() - lengthBytes
	if length > maxHeader {
		return nil, nil, writeError("", "header", "%d bytes, at most %d are allowed", length, maxHeader)
	}
	binary.LittleEndian.PutUint64(head.Bytes(), uint64(length))
	return head.Bytes(), sizes, nil
}

func encodeMetadata(head *bytes.Buffer, metadata map[string]string) error {
	fmt.Fprintf(head, `"%s":{`, metadataName)
	for i, key := range slices.Sorted(maps.Keys(metadata)) {
		value := metadata[key]
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return writeError("", metadataName, "%s or its value is not valid UTF-8", tensorfile.Quote(key))
		}
		if i > 0 {
			head.WriteByte(',')
		}
		head.Write(quoteJSON(key))
		head.WriteByte(':')
		head.Write(quoteJSON(value))
	}
	head.WriteByte('}')
	return nil
}

// checkTensor refuses what the reader would refuse; it returns the size in
// bytes and adds the name to names.
func checkTensor(t Tensor, names map[string]bool) (int, error) {
	switch {
	case t.Name == "" || t.Name == metadataName || !utf8.ValidString(t.Name):
		return 0, writeError(t.Name, "name", "%s cannot be a tensor's name", tensorfile.Quote(t.Name))
	case names[t.Name]:
		return 0, writeError(t.Name, "name", "is there twice")
	case t.DType.Size() == 0:
		return 0, writeError(t.Name, "dtype", "%s is not known; known are %s", tensorfile.Quote(string(t.DType)), knownNames())
	case t.Data == nil:
		return 0, writeError(t.Name, "data", "no function to write it")
	}
	names[t.Name] = true
	size, err := byteSize(t.DType, t.Shape)
	if err != nil {
		return 0, writeError(t.Name, "shape", "%v", err)
	}
	return size, nil
}

// writeData writes one tensor and makes sure that its size is as announced.
func writeData(w io.Writer, t Tensor, size int) error {
	limited := &exactWriter{w: w, left: size}
	if err := t.Data(limited); err != nil {
		return &FormatError{Tensor: t.Name, Field: "data", Offset: -1, Reason: "write", Err: err}
	}
	if limited.left != 0 {
		return writeError(t.Name, "data", "%d bytes, %s %v needs %d", size-limited.left, t.DType, t.Shape, size)
	}
	return nil
}

// exactWriter passes on at most left bytes.
type exactWriter struct {
	w    io.Writer
	left int
}

func (e *exactWriter) Write(p []byte) (int, error) {
	if len(p) > e.left {
		return 0, fmt.Errorf("%d bytes more than dtype and shape need", len(p)-e.left)
	}
	n, err := e.w.Write(p)
	e.left -= n
	return n, err
}

// quoteJSON quotes a string without escaping <, > and &: files are not HTML.
func quoteJSON(s string) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.Encode(s) // a string into memory cannot fail
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func writeError(tensor, field, format string, args ...any) error {
	return &FormatError{File: "safetensors", Tensor: tensor, Field: field, Offset: -1, Reason: fmt.Sprintf(format, args...)}
}
