package gguf

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
)

// encoder writes a file from its start. The first fault stays in err.
type encoder struct {
	w       *bufio.Writer
	scratch [8]byte
	pos     int64
	err     error
}

func (e *encoder) bytes(b []byte) {
	if e.err == nil {
		_, e.err = e.w.Write(b)
		e.pos += int64(len(b))
	}
}

func (e *encoder) uint8(v uint8)     { e.bytes(append(e.scratch[:0], v)) }
func (e *encoder) int8(v int8)       { e.uint8(uint8(v)) }
func (e *encoder) uint16(v uint16)   { e.bytes(binary.LittleEndian.AppendUint16(e.scratch[:0], v)) }
func (e *encoder) int16(v int16)     { e.uint16(uint16(v)) }
func (e *encoder) uint32(v uint32)   { e.bytes(binary.LittleEndian.AppendUint32(e.scratch[:0], v)) }
func (e *encoder) int32(v int32)     { e.uint32(uint32(v)) }
func (e *encoder) uint64(v uint64)   { e.bytes(binary.LittleEndian.AppendUint64(e.scratch[:0], v)) }
func (e *encoder) int64(v int64)     { e.uint64(uint64(v)) }
func (e *encoder) float32(v float32) { e.uint32(math.Float32bits(v)) }
func (e *encoder) float64(v float64) { e.uint64(math.Float64bits(v)) }

func (e *encoder) bool(v bool) {
	if v {
		e.uint8(1)
	} else {
		e.uint8(0)
	}
}

func (e *encoder) string(s string) {
	e.uint64(uint64(len(s)))
	if e.err == nil {
		_, e.err = e.w.WriteString(s)
		e.pos += int64(len(s))
	}
}

// pad writes zeros up to a multiple of alignment.
func (e *encoder) pad(alignment int64) {
	var zeros [64]byte
	for n := padding(e.pos, alignment); n > 0; n = padding(e.pos, alignment) {
		e.bytes(zeros[:min(n, int64(len(zeros)))])
		if e.err != nil {
			return
		}
	}
}

// value writes the type of a value, which is one of the kinds, and the value.
func (e *encoder) value(v any) {
	number, many := kindOfValue(v)
	if many {
		e.uint32(kindArray)
	}
	e.uint32(uint32(number))
	if many {
		kinds[number].writeMany(e, v)
	} else {
		kinds[number].write(e, v)
	}
}

// info writes the description of a tensor whose data begin at offset, counted
// from where all data begin.
func (e *encoder) info(t Tensor, offset int64) {
	e.string(t.Name)
	e.uint32(uint32(len(t.Shape)))
	for _, n := range slices.Backward(t.Shape) {
		e.uint64(uint64(n))
	}
	e.uint32(uint32(t.Type))
	e.uint64(uint64(offset))
}

// data writes one tensor and makes sure that its size is as announced.
func (e *encoder) data(t Tensor, size int64) error {
	if e.err != nil {
		return e.err
	}
	limited := &exactWriter{w: e.w, left: size}
	if err := t.Data(limited); err != nil {
		return &FormatError{File: "GGUF", Tensor: t.Name, Field: "data", Offset: -1, Reason: "write", Err: err}
	}
	if limited.left != 0 {
		return writeError("", t.Name, "data", "%d bytes, %s %v needs %d", size-limited.left, t.Type, t.Shape, size)
	}
	e.pos += size
	return nil
}

// exactWriter passes on at most left bytes.
type exactWriter struct {
	w    io.Writer
	left int64
}

func (x *exactWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > x.left {
		return 0, fmt.Errorf("%d bytes more than type and shape need", int64(len(p))-x.left)
	}
	n, err := x.w.Write(p)
	x.left -= int64(n)
	return n, err
}
