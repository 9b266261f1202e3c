package safetensors

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/bitdistill/bitdistill/internal/half"
	"github.com/bitdistill/bitdistill/internal/tensorfile"
)

// Info describes one tensor of a file.
type Info struct {
	Name  string
	DType DType
	Shape []int // row-major, empty for a scalar

	begin, end   int64 // byte range in the data section
	headerOffset int64 // of the entry in the file, for errors
}

// Elements returns the number of elements. It cannot overflow: the size was
// checked.
func (i Info) Elements() int { return int(i.end-i.begin) / i.DType.Size() }

// File is an open file whose header has been checked. Its reading methods may
// be called from several goroutines.
type File struct {
	path     string
	data     *io.SectionReader // the data section
	start    int64             // its offset in the file
	entries  []Info            // by data offset
	byName   map[string]int
	metadata map[string]string
	close    func() error
}

// Open checks the header of the file at path and keeps the file open for
// reading tensors. Faults of the format are a *FormatError, others wrap the
// operating system's error; both name the path.
func Open(path string) (*File, error) {
	file, size, err := tensorfile.Open(path, "safetensors")
	if err != nil {
		return nil, err
	}
	f, err := NewFile(path, file, size)
	if err != nil {
		file.Close()
		return nil, err
	}
	f.close = file.Close
	return f, nil
}

// NewFile reads from r, which holds size bytes, for files that are embedded in
// a program or in memory. name stands for the path in errors.
func NewFile(name string, r io.ReaderAt, size int64) (*File, error) {
	if size == 0 {
		return nil, tensorfile.FileError(name, "is empty")
	}
	if size < lengthBytes+2 {
		return nil, tensorfile.FileError(name, "has %d bytes, the smallest safetensors file has %d", size, lengthBytes+2)
	}
	var prefix [lengthBytes]byte
	if _, err := r.ReadAt(prefix[:], 0); err != nil {
		return nil, tensorfile.ReadError(FormatError{File: name, Field: "header length"}, err)
	}
	length := binary.LittleEndian.Uint64(prefix[:])
	bad := func(format string, args ...any) error {
		return &FormatError{File: name, Field: "header length", Offset: 0, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case length > uint64(size-lengthBytes):
		return nil, bad("claims %d bytes, %d are left in the file; it is truncated or not a safetensors file", length, size-lengthBytes)
	case length > maxHeader:
		return nil, bad("claims %d bytes, at most %d are allowed", length, maxHeader)
	case length < 2:
		return nil, bad("claims %d bytes, the smallest header {} has 2", length)
	}
	raw := make([]byte, length)
	if _, err := io.ReadFull(io.NewSectionReader(r, lengthBytes, int64(length)), raw); err != nil {
		return nil, tensorfile.ReadError(FormatError{File: name, Field: "header", Offset: lengthBytes}, err)
	}
	start := lengthBytes + int64(length)
	h, err := parseHeader(name, raw, size-start)
	if err != nil {
		return nil, err
	}
	f := &File{
		path: name, start: start, data: io.NewSectionReader(r, start, size-start),
		entries: h.entries, metadata: h.metadata, byName: make(map[string]int, len(h.entries)),
		close: func() error { return nil },
	}
	for i, e := range f.entries {
		f.byName[e.Name] = i
	}
	return f, nil
}

// Close closes the file. Tensors cannot be read afterwards.
func (f *File) Close() error { return f.close() }

// Names returns the names of the tensors in order of data offset.
func (f *File) Names() []string {
	names := make([]string, len(f.entries))
	for i, e := range f.entries {
		names[i] = e.Name
	}
	return names
}

// Info describes a tensor; false if there is none of that name.
func (f *File) Info(name string) (Info, bool) {
	i, ok := f.byName[name]
	if !ok {
		return Info{}, false
	}
	info := f.entries[i]
	info.Shape = slices.Clone(info.Shape)
	return info, true
}

// Metadata returns a copy of the header's __metadata__, empty if it has none.
func (f *File) Metadata() map[string]string { return maps.Clone(f.metadata) }

// Bytes returns a tensor's stored bytes: little-endian, row-major.
func (f *File) Bytes(name string) ([]byte, error) {
	e, err := f.entry(name)
	if err != nil {
		return nil, err
	}
	out := make([]byte, e.end-e.begin)
	if n, err := f.data.ReadAt(out, e.begin); n < len(out) {
		return nil, f.unreadable(e, f.start+e.begin+int64(n), err)
	}
	return out, nil
}

// Float32s returns a tensor of dtype F32, F16 or BF16 exactly, or of F64
// rounded to float32. Other dtypes are refused.
func (f *File) Float32s(name string) ([]float32, error) {
	e, err := f.entry(name)
	if err != nil {
		return nil, err
	}
	if !e.DType.IsFloat() { // before memory is taken for it
		return nil, f.errorf(e, "dtype", "is %s, want F32, F16, BF16 or F64", e.DType)
	}
	out := make([]float32, e.Elements())
	if err := f.ReadFloat32s(name, out); err != nil {
		return nil, err
	}
	return out, nil
}

// ReadFloat32s is Float32s into dst, which must have room for just the
// tensor's elements.
func (f *File) ReadFloat32s(name string, dst []float32) error {
	e, err := f.entry(name)
	if err != nil {
		return err
	}
	if !e.DType.IsFloat() {
		return f.errorf(e, "dtype", "is %s, want F32, F16, BF16 or F64", e.DType)
	}
	if len(dst) != e.Elements() {
		return f.errorf(e, "data", "is read into %d values, the tensor has %d", len(dst), e.Elements())
	}
	return f.readFloats(e, 0, dst)
}

// ReadPart is Float32s of the elements from number first on that dst has room for.
func (f *File) ReadPart(name string, first int, dst []float32) error {
	e, err := f.entry(name)
	if err != nil {
		return err
	}
	if !e.DType.IsFloat() {
		return f.errorf(e, "dtype", "is %s, want F32, F16, BF16 or F64", e.DType)
	}
	if n := e.Elements(); first < 0 || len(dst) > n-first {
		return f.errorf(e, "data", "%d values from number %d on are read, the tensor has %d", len(dst), first, n)
	}
	return f.readFloats(e, first, dst)
}

func (f *File) readFloats(e *Info, first int, dst []float32) error {
	size := e.DType.Size()
	return f.chunks(e, first*size, len(dst)*size, func(done int, chunk []byte) error {
		part := dst[done/size : (done+len(chunk))/size]
		for i := range part {
			part[i] = float32At(e.DType, chunk[i*size:])
		}
		return nil
	})
}

func float32At(d DType, b []byte) float32 {
	switch d {
	case F32:
		return math.Float32frombits(binary.LittleEndian.Uint32(b))
	case F16:
		return half.ToFloat32(binary.LittleEndian.Uint16(b))
	case BF16:
		return half.BFloatToFloat32(binary.LittleEndian.Uint16(b))
	default: // F64
		return float32(math.Float64frombits(binary.LittleEndian.Uint64(b)))
	}
}

// Ints returns a tensor of an integer dtype or BOOL (as 0 and 1). A value that
// an int cannot hold and a BOOL other than 0 and 1 are errors.
func (f *File) Ints(name string) ([]int, error) {
	e, err := f.entry(name)
	if err != nil {
		return nil, err
	}
	if e.DType.IsFloat() {
		return nil, f.errorf(e, "dtype", "is %s, want an integer dtype or BOOL", e.DType)
	}
	out := make([]int, e.Elements())
	size := e.DType.Size()
	err = f.chunks(e, 0, int(e.end-e.begin), func(done int, chunk []byte) error {
		first := done / size
		for i := range len(chunk) / size {
			v, ok := intAt(e.DType, chunk[i*size:])
			if !ok {
				bad := f.errorf(e, "data", "element %d does not fit: as %s it is % x", first+i, e.DType, chunk[i*size:(i+1)*size])
				bad.Offset = f.start + e.begin + int64(done+i*size)
				return bad
			}
			out[first+i] = v
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func intAt(d DType, b []byte) (v int, ok bool) {
	le := binary.LittleEndian
	switch d {
	case I8:
		return int(int8(b[0])), true
	case U8:
		return int(b[0]), true
	case Bool:
		return int(b[0]), b[0] <= 1
	case I16:
		return int(int16(le.Uint16(b))), true
	case U16:
		return int(le.Uint16(b)), true
	case I32:
		return int(int32(le.Uint32(b))), true
	case U32:
		n := le.Uint32(b)
		return int(n), uint64(n) <= math.MaxInt
	case I64:
		n := int64(le.Uint64(b))
		return int(n), int64(int(n)) == n
	default: // U64
		n := le.Uint64(b)
		return int(n), n <= math.MaxInt
	}
}

// chunkBytes is the size of the buffer between file and converted values; a
// multiple of every element size.
const chunkBytes = 1 << 16

// chunks calls use with size bytes of a tensor from number from on, piece by
// piece; done bytes came before.
func (f *File) chunks(e *Info, from, size int, use func(done int, chunk []byte) error) error {
	begin := e.begin + int64(from)
	buffer := make([]byte, min(size, chunkBytes))
	for done := 0; done < size; {
		chunk := buffer[:min(len(buffer), size-done)]
		if n, err := f.data.ReadAt(chunk, begin+int64(done)); n < len(chunk) {
			return f.unreadable(e, f.start+begin+int64(done+n), err)
		}
		if err := use(done, chunk); err != nil {
			return err
		}
		done += len(chunk)
	}
	return nil
}

func (f *File) entry(name string) (*Info, error) {
	i, ok := f.byName[name]
	if !ok {
		return nil, &FormatError{File: f.path, Tensor: name, Field: "header", Offset: -1,
			Reason: fmt.Sprintf("no tensor of that name among %d", len(f.entries))}
	}
	return &f.entries[i], nil
}

func (f *File) errorf(e *Info, field, format string, args ...any) *FormatError {
	return &FormatError{File: f.path, Tensor: e.Name, Field: field, Offset: e.headerOffset, Reason: fmt.Sprintf(format, args...)}
}

func (f *File) unreadable(e *Info, offset int64, err error) error {
	return tensorfile.ReadError(FormatError{File: f.path, Tensor: e.Name, Field: "data", Offset: offset}, err)
}
