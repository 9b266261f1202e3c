package gguf

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/bitdistill/bitdistill/internal/tensorfile"
)

// reader walks a file from its start. The first fault stays in err; from then
// on everything reads as zero, so that callers check err once a loop and not
// once a field. Nothing is allocated by a number from the file before it was
// compared with the bytes that are left.
type reader struct {
	file   string
	src    io.ReaderAt
	size   int64
	pos    int64  // of the next byte
	window []byte // bytes read from src from pos on
	buffer []byte // behind window
	err    error

	key, tensor, field string // where the reader is, for errors
}

func newReader(file string, src io.ReaderAt, size int64) *reader {
	return &reader{file: file, src: src, size: size, buffer: make([]byte, min(size, 1<<16))}
}

func (r *reader) left() int64 { return r.size - r.pos }

// fail keeps the first fault; offset is that of the field concerned.
func (r *reader) fail(offset int64, format string, args ...any) {
	if r.err == nil {
		r.err = &FormatError{File: r.file, Key: r.key, Tensor: r.tensor, Field: r.field, Offset: offset, Reason: fmt.Sprintf(format, args...)}
	}
}

// next returns the next n bytes, at most 16, valid until the next call.
func (r *reader) next(n int) []byte {
	if r.err == nil && int64(n) > r.left() {
		r.fail(r.pos, "needs %d bytes, %d are left; the file is truncated", n, r.left())
	}
	if r.err == nil && n > len(r.window) {
		r.fill()
	}
	if r.err != nil {
		return make([]byte, 16)[:n]
	}
	b := r.window[:n]
	r.window, r.pos = r.window[n:], r.pos+int64(n)
	return b
}

func (r *reader) fill() {
	b := r.buffer[:min(int64(len(r.buffer)), r.left())]
	if n, err := r.src.ReadAt(b, r.pos); n < len(b) {
		r.err = tensorfile.ReadError(FormatError{File: r.file, Key: r.key, Tensor: r.tensor, Field: r.field, Offset: r.pos + int64(n)}, err)
		return
	}
	r.window = b
}

func (r *reader) uint8() uint8     { return r.next(1)[0] }
func (r *reader) int8() int8       { return int8(r.uint8()) }
func (r *reader) uint16() uint16   { return binary.LittleEndian.Uint16(r.next(2)) }
func (r *reader) int16() int16     { return int16(r.uint16()) }
func (r *reader) uint32() uint32   { return binary.LittleEndian.Uint32(r.next(4)) }
func (r *reader) int32() int32     { return int32(r.uint32()) }
func (r *reader) uint64() uint64   { return binary.LittleEndian.Uint64(r.next(8)) }
func (r *reader) int64() int64     { return int64(r.uint64()) }
func (r *reader) float32() float32 { return math.Float32frombits(r.uint32()) }
func (r *reader) float64() float64 { return math.Float64frombits(r.uint64()) }

func (r *reader) bool() bool {
	at := r.pos
	v := r.uint8()
	if v > 1 {
		r.fail(at, "a truth value is %d, want 0 or 1", v)
	}
	return v == 1
}

func (r *reader) string() string { return r.text(maxString) }

// text reads a length and that many bytes.
func (r *reader) text(most uint64) string {
	at := r.pos
	n := r.uint64()
	switch {
	case n > uint64(r.left()):
		r.fail(at, "claims %d bytes, %d are left; the file is truncated or damaged", n, r.left())
	case n > most:
		r.fail(at, "claims %d bytes, at most %d are allowed", n, most)
	}
	if r.err != nil {
		return ""
	}
	var b strings.Builder
	b.Grow(int(n))
	for n > 0 && r.err == nil {
		if len(r.window) == 0 {
			r.fill()
			continue
		}
		part := r.window[:min(n, uint64(len(r.window)))]
		b.Write(part)
		n -= uint64(len(part))
		r.window, r.pos = r.window[len(part):], r.pos+int64(len(part))
	}
	return b.String()
}

// count reads the number of things of which each takes at least size bytes
// further on.
func (r *reader) count(size int64, most uint64) int {
	at := r.pos
	n := r.uint64()
	switch {
	case n > uint64(r.left()/size):
		r.fail(at, "claims %d, %d bytes are left and each takes %d or more; the file is truncated or damaged", n, r.left(), size)
	case n > most:
		r.fail(at, "claims %d, at most %d are allowed", n, most)
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

// list reads n values, for which there is room in the file.
func list[T any](r *reader, n int, read func(*reader) T) []T {
	values := make([]T, n)
	for i := range values {
		if values[i] = read(r); r.err != nil {
			return nil
		}
	}
	return values
}
