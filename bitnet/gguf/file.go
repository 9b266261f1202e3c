package gguf

import (
	"fmt"
	"io"
	"slices"

	"github.com/bitdistill/bitdistill/internal/tensorfile"
)

// Info describes one tensor of a file.
type Info struct {
	Name   string
	Type   Type
	Shape  []int // row-major, the fastest dimension last: [out, in] for a linear layer
	Offset int64 // of the data in the file
	Bytes  int64 // of the data

	at int64 // offset of the description in the file
}

// Dims returns the dimensions in the order of the file, the fastest first.
func (i Info) Dims() []int {
	dims := slices.Clone(i.Shape)
	slices.Reverse(dims)
	return dims
}

// RowLength returns the number of values in a row: the last dimension.
func (i Info) RowLength() int { return i.Shape[len(i.Shape)-1] }

// Rows returns the number of rows: the product of all dimensions but the last.
func (i Info) Rows() int {
	rows := 1
	for _, n := range i.Shape[:len(i.Shape)-1] {
		rows *= n
	}
	return rows
}

// Elements returns the number of values.
func (i Info) Elements() int { return i.Rows() * i.RowLength() }

// offsetAt is the place of the field "offset" in the description.
func (i Info) offsetAt() int64 { return i.at + 8 + int64(len(i.Name)) + 4 + 8*int64(len(i.Shape)) + 4 }

// File is an open file whose header has been checked. Its methods may be called
// from several goroutines.
type File struct {
	path   string
	src    io.ReaderAt
	header *header
	close  func() error
}

// Open checks the header of the file at path and keeps the file open for
// reading tensors. Faults of the format are a *FormatError, others wrap the
// operating system's error; both name the path.
func Open(path string) (*File, error) {
	file, size, err := tensorfile.Open(path, "GGUF")
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
// a program, in memory or mapped. name stands for the path in errors.
func NewFile(name string, r io.ReaderAt, size int64) (*File, error) {
	switch {
	case size == 0:
		return nil, tensorfile.FileError(name, "is empty")
	case size < 0 || size > maxFile:
		return nil, tensorfile.FileError(name, "has an impossible size of %d bytes", size)
	}
	h, err := parseHeader(newReader(name, r, size))
	if err != nil {
		return nil, err
	}
	return &File{path: name, src: r, header: h, close: func() error { return nil }}, nil
}

// Close closes the file. Tensors cannot be read afterwards.
func (f *File) Close() error { return f.close() }

// Version returns the version of the format, 2 or 3. They differ in byte order
// only, and only little endian is read.
func (f *File) Version() int { return f.header.version }

// Alignment returns the bytes of which every tensor's offset is a multiple.
func (f *File) Alignment() int { return f.header.alignment }

// Metadata returns the file's keys and values.
func (f *File) Metadata() *Metadata { return &f.header.metadata }

// Tensors describes all tensors, in the order of the header.
func (f *File) Tensors() []Info {
	all := slices.Clone(f.header.tensors)
	for i := range all {
		all[i].Shape = slices.Clone(all[i].Shape)
	}
	return all
}

// Info describes a tensor; false if there is none of that name.
func (f *File) Info(name string) (Info, bool) {
	i, ok := f.header.byName.find(name, func(i int32) string { return f.header.tensors[i].Name })
	if !ok {
		return Info{}, false
	}
	info := f.header.tensors[i]
	info.Shape = slices.Clone(info.Shape)
	return info, true
}

// Raw returns a reader of a tensor's stored bytes.
func (f *File) Raw(name string) (*io.SectionReader, error) {
	info, err := f.tensor(name)
	if err != nil {
		return nil, err
	}
	return io.NewSectionReader(f.src, info.Offset, info.Bytes), nil
}

// Bytes returns all of a tensor's stored bytes.
func (f *File) Bytes(name string) ([]byte, error) {
	info, err := f.tensor(name)
	if err != nil {
		return nil, err
	}
	b := make([]byte, info.Bytes)
	return b, f.readAt(&info, b, 0)
}

// Float32s returns a tensor as float32, row-major. Types of integers are
// refused. It takes four bytes a value; see ReadRows for pieces.
func (f *File) Float32s(name string) ([]float32, error) {
	info, err := f.tensor(name)
	if err != nil {
		return nil, err
	}
	if err := f.wantFloat(&info); err != nil {
		return nil, err
	}
	values := make([]float32, info.Elements())
	return values, f.ReadRows(name, 0, values)
}

// ReadRows fills dst with whole rows of a tensor as float32, from row first on.
// The length of dst must be a multiple of the row's. Beside dst it takes at
// most 64 KiB.
func (f *File) ReadRows(name string, first int, dst []float32) error {
	info, err := f.tensor(name)
	if err != nil {
		return err
	}
	if err := f.wantFloat(&info); err != nil {
		return err
	}
	length, rows := info.RowLength(), info.Rows()
	if len(dst)%length != 0 {
		return f.errorf(&info, "rows", "room for %d values is not a number of rows of %d", len(dst), length)
	}
	if n := len(dst) / length; first < 0 || n > rows-first {
		return f.errorf(&info, "rows", "%d rows from row %d wanted, there are %d", n, first, rows)
	}
	block, size := info.Type.BlockSize(), info.Type.BlockBytes()
	from := int64(first) * int64(length/block*size)
	buffer := make([]byte, min(len(dst)/block, 1<<16/size)*size)
	for len(dst) > 0 {
		n := min(len(dst)/block, len(buffer)/size)
		part := buffer[:n*size]
		if err := f.readAt(&info, part, from); err != nil {
			return err
		}
		if err := Dequantize(info.Type, dst[:n*block], part); err != nil {
			return err
		}
		dst, from = dst[n*block:], from+int64(len(part))
	}
	return nil
}

// readAt fills b with a tensor's bytes from its byte number from on.
func (f *File) readAt(info *Info, b []byte, from int64) error {
	if n, err := f.src.ReadAt(b, info.Offset+from); n < len(b) {
		return tensorfile.ReadError(FormatError{File: f.path, Tensor: info.Name, Field: "data", Offset: info.Offset + from + int64(n)}, err)
	}
	return nil
}

func (f *File) wantFloat(info *Info) error {
	if info.Type.IsFloat() {
		return nil
	}
	return f.errorf(info, "type", "%s holds integers, not numbers to compute with; read its bytes", info.Type)
}

func (f *File) tensor(name string) (Info, error) {
	info, ok := f.Info(name)
	if !ok {
		return info, &FormatError{File: f.path, Tensor: name, Field: "name", Offset: -1,
			Reason: fmt.Sprintf("no tensor of that name among %d", len(f.header.tensors))}
	}
	return info, nil
}

func (f *File) errorf(info *Info, field, format string, args ...any) error {
	return &FormatError{File: f.path, Tensor: info.Name, Field: field, Offset: info.at, Reason: fmt.Sprintf(format, args...)}
}
