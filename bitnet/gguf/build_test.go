package gguf

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"testing"
)

// Pieces of files, good or bad, as the format's description has them.

var le = binary.LittleEndian

func u32(v uint32) []byte { return le.AppendUint32(nil, v) }
func u64(v uint64) []byte { return le.AppendUint64(nil, v) }

func cat(parts ...[]byte) []byte { return slices.Concat(parts...) }

func text(s string) []byte { return cat(u64(uint64(len(s))), []byte(s)) }

func head(tensors, keys uint64) []byte {
	return cat([]byte("GGUF"), u32(3), u64(tensors), u64(keys))
}

// The numbers of the types of values.
const (
	tUint8, tInt8, tUint16, tInt16, tUint32, tInt32, tFloat32 = 0, 1, 2, 3, 4, 5, 6
	tBool, tString, tArray, tUint64, tInt64, tFloat64         = 7, 8, 9, 10, 11, 12
)

func entry(key string, kind uint32, value ...[]byte) []byte {
	return cat(text(key), u32(kind), cat(value...))
}

func array(key string, kind uint32, n uint64, values ...[]byte) []byte {
	return entry(key, tArray, u32(kind), u64(n), cat(values...))
}

func desc(name string, t Type, offset uint64, dims ...uint64) []byte {
	b := cat(text(name), u32(uint32(len(dims))))
	for _, n := range dims {
		b = append(b, u64(n)...)
	}
	return cat(b, u32(uint32(t)), u64(offset))
}

// withData adds padding to a multiple of 32 and n bytes to a header.
func withData(n int, header ...[]byte) []byte {
	b := cat(header...)
	return append(b, make([]byte, (32-len(b)%32)%32+n)...)
}

// one is a file without metadata that has one tensor.
func one(n int, desc []byte) []byte { return withData(n, head(1, 0), desc) }

// aligned is a file with an alignment and one tensor of 8 floats.
func aligned(kind uint32, value []byte) []byte {
	return withData(32, head(1, 1), entry("general.alignment", kind, value), desc("w", F32, 0, 8))
}

// sample has every type of value, and a tensor of every type, each of 256
// columns and 2 rows.
func sample() []byte {
	f32, f64 := u32(math.Float32bits(-1.5)), u64(math.Float64bits(2.25))
	keys := [][]byte{
		entry("u8", tUint8, []byte{200}), entry("i8", tInt8, []byte{0xfe}),
		entry("u16", tUint16, []byte{0xff, 0xff}), entry("i16", tInt16, []byte{0xff, 0xff}),
		entry("u32", tUint32, u32(math.MaxUint32)), entry("i32", tInt32, u32(math.MaxUint32)),
		entry("u64", tUint64, u64(math.MaxUint64)), entry("i64", tInt64, u64(math.MaxUint64)),
		entry("f32", tFloat32, f32), entry("f64", tFloat64, f64),
		entry("yes", tBool, []byte{1}), entry("no", tBool, []byte{0}), entry("s", tString, text("héllo")),
		array("a.u8", tUint8, 3, []byte{1, 2, 255}), array("a.i8", tInt8, 2, []byte{1, 255}),
		array("a.u16", tUint16, 1, []byte{1, 1}), array("a.i16", tInt16, 1, []byte{0, 0x80}),
		array("a.u32", tUint32, 2, u32(7), u32(math.MaxUint32)), array("a.i32", tInt32, 2, u32(7), u32(math.MaxUint32)),
		array("a.u64", tUint64, 1, u64(1<<40)), array("a.i64", tInt64, 1, u64(1<<40)),
		array("a.f32", tFloat32, 2, f32, f32), array("a.f64", tFloat64, 1, f64),
		array("a.bool", tBool, 2, []byte{1, 0}), array("a.s", tString, 3, text("a"), text(""), text("\xff")),
		array("empty", tString, 0),
	}
	var tensors, data []byte
	count := uint64(0)
	for t := Type(0); t < 64; t++ {
		if t.BlockBytes() == 0 {
			continue
		}
		tensors = append(tensors, desc("t."+t.String(), t, uint64(len(data)), 256, 2)...)
		b := make([]byte, 512/t.BlockSize()*t.BlockBytes())
		for i := range b {
			b[i] = byte(i*37 + int(t))
		}
		data = append(data, b...)
		data = append(data, make([]byte, (32-len(data)%32)%32)...)
		count++
	}
	return cat(withData(0, head(count, uint64(len(keys))), cat(keys...), tensors), data)
}

func opened(t *testing.T, file []byte) *File {
	t.Helper()
	f, err := NewFile("memory", bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}
