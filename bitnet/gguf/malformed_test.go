package gguf

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

// malformed lists files that must be refused: where the fault is, and what the
// message says. Without metadata the first tensor's description begins at byte
// 24: its name "w" at 32, rank at 33, dimensions from 37.
var malformed = []struct {
	name               string
	file               []byte
	key, tensor, field string
	offset             int64
	says               string
}{
	{"empty", nil, "", "", "file", -1, "is empty"},
	{"three bytes", []byte("GGU"), "", "", "magic", 0, "needs 4 bytes, 3 are left; the file is truncated"},
	{"other file", []byte("PK\x03\x04 and so on, and so on"), "", "", "magic", 0, `begins with "PK\x03\x04", want "GGUF"`},
	{"small letters", cat([]byte("gguf"), u32(3), u64(0), u64(0)), "", "", "magic", 0, "not a GGUF file"},
	{"older format", cat([]byte("tjgg"), u32(3), u64(0), u64(0)), "", "", "magic", 0, "older than GGUF: convert the model again"},
	{"LFS pointer", []byte("version https://git-lfs.github.com/spec/v1\n"), "", "", "magic", 0, "Git LFS pointer"},
	{"big endian magic", []byte("FUGG\x00\x00\x00\x03"), "", "", "magic", 0, "big endian"},
	{"magic alone", []byte("GGUF"), "", "", "version", 4, "needs 4 bytes, 0 are left"},
	{"big endian", cat([]byte("GGUF\x00\x00\x00\x03"), make([]byte, 16)), "", "", "version", 4, "big endian, which is not supported: convert it to little endian"},
	{"version 0", cat([]byte("GGUF"), u32(0), make([]byte, 16)), "", "", "version", 4, "0 is not known, want 2 or 3"},
	{"version 1", cat([]byte("GGUF"), u32(1), make([]byte, 16)), "", "", "version", 4, "1 is not supported (2 and 3 are): convert"},
	{"version 4", cat([]byte("GGUF"), u32(4), make([]byte, 16)), "", "", "version", 4, "4 is not known"},
	{"cut in the counts", head(0, 0)[:20], "", "", "key count", 16, "needs 8 bytes, 4 are left"},

	{"2^64-1 tensors", head(math.MaxUint64, 0), "", "", "tensor count", 8, "claims 18446744073709551615, 8 bytes are left"},
	{"one tensor, no bytes", head(1, 0), "", "", "tensor count", 8, "claims 1, 8 bytes are left and each takes 33"},
	{"2^64-1 keys", head(0, math.MaxUint64), "", "", "key count", 16, "claims 18446744073709551615, 0 bytes are left"},
	{"keys that wrap", cat(head(0, 1<<60+1), make([]byte, 64)), "", "", "key count", 16, "claims 1152921504606846977, 64 bytes"},
	{"one key too many", cat(head(0, 3), entry("a", tUint8, []byte{0}), entry("b", tUint8, []byte{0})), "", "", "key count", 16, "claims 3, 28 bytes are left and each takes 14"},
	{"too many keys", cat(head(0, 1<<16+1), make([]byte, 1<<20)), "", "", "key count", 16, "at most 65536"},
	{"too many tensors", cat(head(1<<20+1, 0), make([]byte, 36<<20)), "", "", "tensor count", 8, "at most 1048576"},
	{"metadata takes the tensors' room", cat(head(1, 1), entry("k", tString, text(strings.Repeat("x", 64)))), "", "", "tensor count", 8, "the 0 bytes after the metadata have no room"},

	{"key longer than file", cat(head(0, 1), u64(100), make([]byte, 20)), "", "", "key", 24, "claims 100 bytes, 20 are left"},
	{"key of 2^63 bytes", cat(head(0, 1), u64(1<<63), make([]byte, 20)), "", "", "key", 24, "claims 9223372036854775808 bytes"},
	{"key too long", cat(head(0, 1), entry(strings.Repeat("k", 1<<16), tUint8, []byte{0})), "", "", "key", 24, "at most 65535"},
	{"empty key", cat(head(0, 1), entry("", tUint32, u32(0))), "", "", "key", 24, "is empty"},
	{"key not UTF-8", cat(head(0, 1), entry("\xc3(", tUint32, u32(0))), "", "", "key", 24, "not valid UTF-8"},
	{"key twice", cat(head(0, 3), entry("k", tUint8, []byte{1}), entry("j", tUint8, []byte{1}), entry("k", tUint8, []byte{2})), "k", "", "key", 52, "is there twice"},
	{"unknown type", cat(head(0, 1), entry("k", 13, u64(0))), "k", "", "value type", 33, "13 is not known"},
	{"type of 32 ones", cat(head(0, 1), entry("k", math.MaxUint32, u64(0))), "k", "", "value type", 33, "4294967295 is not known"},
	{"value cut", cat(head(0, 1), entry("k", tUint64, u32(0))), "k", "", "value", 37, "needs 8 bytes, 4 are left"},
	{"bool 2", cat(head(0, 1), entry("k", tBool, []byte{2})), "k", "", "value", 37, "is 2, want 0 or 1"},
	{"string longer than file", cat(head(0, 1), entry("k", tString, u64(9), make([]byte, 8))), "k", "", "value", 37, "claims 9 bytes, 8 are left"},
	{"string of 2^64-1 bytes", cat(head(0, 1), entry("k", tString, u64(math.MaxUint64))), "k", "", "value", 37, "truncated or damaged"},
	{"string length cut", cat(head(0, 1), entry("k", tString, u32(1))), "k", "", "value", 37, "needs 8 bytes, 4 are left"},

	{"array type cut", cat(head(0, 1), entry("k", tArray, []byte{8, 0})), "k", "", "array type", 37, "needs 4 bytes"},
	{"array of arrays", cat(head(0, 1), array("k", tArray, 1, make([]byte, 32))), "k", "", "array type", 37, "arrays of arrays are not supported"},
	{"array of unknown type", cat(head(0, 1), array("k", 77, 0)), "k", "", "array type", 37, "77 is not known"},
	{"array of 2^64-1", cat(head(0, 1), array("k", tUint8, math.MaxUint64)), "k", "", "array length", 41, "claims 18446744073709551615, 0 bytes"},
	{"array whose size wraps", cat(head(0, 1), array("k", tFloat64, 1<<61+1, make([]byte, 8))), "k", "", "array length", 41, "8 bytes are left and each takes 8"},
	{"array one too long", cat(head(0, 1), array("k", tUint32, 3, make([]byte, 11))), "k", "", "array length", 41, "claims 3, 11 bytes are left"},
	{"strings without room", cat(head(0, 1), array("k", tString, 2, make([]byte, 15))), "k", "", "array length", 41, "each takes 8 or more"},
	{"string in an array too long", cat(head(0, 1), array("k", tString, 2, text("ab"), u64(3), []byte("ab"))), "k", "", "array", 59, "claims 3 bytes, 2 are left"},
	{"bool in an array", cat(head(0, 1), array("k", tBool, 3, []byte{1, 0, 3})), "k", "", "array", 51, "is 3, want 0 or 1"},

	{"alignment 0", aligned(tUint32, u32(0)), "general.alignment", "", "value", 53, "is 0, want a power of two from 8 to 1048576"},
	{"alignment 1", aligned(tUint32, u32(1)), "general.alignment", "", "value", 53, "is 1, want"},
	{"alignment 48", aligned(tUint32, u32(48)), "general.alignment", "", "value", 53, "is 48, want a power of two"},
	{"alignment 2^31", aligned(tUint32, u32(1<<31)), "general.alignment", "", "value", 53, "is 2147483648"},
	{"alignment as uint64", aligned(tUint64, u64(32)), "general.alignment", "", "value type", 49, "is uint64, want uint32"},
	{"alignment as string", aligned(tString, text("32")), "general.alignment", "", "value type", 49, "is string, want uint32"},

	{"name longer than file", cat(head(1, 0), u64(math.MaxInt64), make([]byte, 40)), "", "", "name", 24, "claims 9223372036854775807 bytes, 40 are left"},
	{"name too long", one(32, desc(strings.Repeat("w", 257), F32, 0, 8)), "", "", "name", 24, "claims 257 bytes, at most 256"},
	{"empty name", one(32, desc("", F32, 0, 8)), "", "", "name", 24, "is empty"},
	{"name not UTF-8", one(32, desc("\xff", F32, 0, 8)), "", "", "name", 24, "not valid UTF-8"},
	{"name twice", withData(64, head(2, 0), desc("w", F32, 0, 8), desc("w", F32, 32, 8)), "", "w", "name", 57, "is there twice"},
	{"rank 0", one(32, desc("w", F32, 0)), "", "w", "dimension count", 33, "is 0, want 1 to 4"},
	{"rank 5", one(32, desc("w", F32, 0, 8, 1, 1, 1, 1)), "", "w", "dimension count", 33, "is 5, want 1 to 4"},
	{"rank 2^32-1", one(64, cat(text("w"), u32(math.MaxUint32))), "", "w", "dimension count", 33, "is 4294967295"},
	{"dimension 0", one(32, desc("w", F32, 0, 8, 0)), "", "w", "dimension 1", 45, "is 0, want 1 or more"},
	{"dimension -1", one(32, desc("w", F32, 0, math.MaxUint64)), "", "w", "dimension 0", 37, "overflows"},
	{"dimension 2^60", one(32, desc("w", F32, 0, 1<<60)), "", "w", "dimension 0", 37, "overflows"},
	{"dimension 2^59", one(32, desc("w", F32, 0, 1<<59)), "", "w", "dimensions", 37, "need 2305843009213693952 bytes, the file has 96"},
	{"product wraps to 0", one(32, desc("w", F32, 0, 1<<32, 1<<32)), "", "w", "dimension 1", 45, "overflows"},
	{"product wraps to 8", one(32, desc("w", F32, 0, 8, 1<<40, 1<<63+1)), "", "w", "dimension 2", 53, "overflows"},
	{"zero hides overflow", one(32, desc("w", F32, 0, 1<<32, 1<<32, 0)), "", "w", "dimension 1", 45, "overflows"},
	{"row not whole blocks", one(64, desc("w", Q4_0, 0, 48)), "", "w", "dimension 0", 37, "is 48, not a multiple of the 32 values in a block of Q4_0"},
	{"row of half a block", one(512, desc("w", Q6_K, 0, 128, 2)), "", "w", "dimension 0", 37, "256 values in a block of Q6_K"},
	{"type not known", one(32, desc("w", 99, 0, 8)), "", "w", "type", 45, "type 99 (number 99) cannot be read: requantize the model to one of F32, F16"},
	{"type known but not read", one(66, desc("w", 16, 0, 256)), "", "w", "type", 45, "IQ2_XXS (number 16) cannot be read: requantize"},
	{"type removed", one(66, desc("w", 4, 0, 256)), "", "w", "type", 45, "Q4_2 (number 4) cannot be read"},
	{"type of a fork", one(66, desc("w", 142, 0, 128)), "", "w", "type", 45, "type 142"},
	{"description cut", one(0, desc("w", F32, 0, 8, 1))[:64], "", "w", "offset", 57, "needs 8 bytes, 7 are left"},

	{"offset not aligned", one(64, desc("w", F32, 4, 8)), "", "w", "offset", 49, "4 is not a multiple of the alignment 32"},
	{"offset 2^64-32", one(32, desc("w", F32, math.MaxUint64-31, 8)), "", "w", "offset", 49, "beyond the end of the file"},
	{"offset 2^63", one(32, desc("w", F32, 1<<63, 8)), "", "w", "offset", 49, "beyond the end"},
	{"hole in front", one(64, desc("w", F32, 32, 8)), "", "w", "offset", 49, "32 leaves a hole of 32 bytes"},
	{"hole", withData(96, head(2, 0), desc("w", F32, 0, 8), desc("v", F32, 64, 8)), "", "v", "offset", 82, "64 leaves a hole of 32 bytes"},
	{"overlap", withData(96, head(2, 0), desc("w", F32, 0, 9), desc("v", F32, 32, 8)), "", "v", "offset", 82, `32 overlaps tensor "w", whose 36 bytes begin at 0`},
	{"same bytes twice", withData(32, head(2, 0), desc("w", F32, 0, 8), desc("v", I32, 0, 8)), "", "v", "offset", 82, `0 overlaps tensor "w"`},
	{"overlap, other order", withData(96, head(2, 0), desc("w", F32, 32, 8), desc("v", F32, 0, 9)), "", "w", "offset", 49, `32 overlaps tensor "v"`},
	{"data cut", one(31, desc("w", F32, 0, 8)), "", "w", "offset", 49, "0 and 32 bytes reach beyond the end of the file, whose data has 31"},
	{"no data", one(0, desc("w", F32, 0, 8)), "", "w", "offset", 49, "whose data has 0"},
	{"data before its alignment", cat(head(1, 0), desc("w", I8, 0, 1)), "", "w", "offset", 49, "whose data has 0"},
	{"bytes after the data", one(33, desc("w", F32, 0, 8)), "", "", "data", 96, "1 bytes after the last tensor"},
	{"file glued twice", cat(one(32, desc("w", F32, 0, 8)), one(32, desc("w", F32, 0, 8))), "", "", "data", 96, "96 bytes after the last tensor belong to none"},
	{"data without tensors", withData(64, head(0, 0)), "", "", "data", 24, "72 bytes after the last tensor"},
	{"Q2_0 in blocks of 128", withData(2*34*32, head(2, 0), desc("w", Q2_0, 0, 128, 32), desc("v", Q2_0, 34*32, 128, 32)), "", "v", "offset", 98, "some programs write blocks of 128"},
	{"Q2_0 in blocks of 128 at the end", one(34*32, desc("w", Q2_0, 0, 128, 32)), "", "w", "offset", 57, "some programs write blocks of 128"},
}

func TestMalformed(t *testing.T) {
	if len(malformed) < 40 {
		t.Fatalf("only %d kinds of malformed files", len(malformed))
	}
	for _, c := range malformed {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewFile("dir/bad.gguf", bytes.NewReader(c.file), int64(len(c.file)))
			if err == nil {
				t.Fatal("accepted")
			}
			var f *FormatError
			if !errors.As(err, &f) {
				t.Fatalf("%T, want a *FormatError: %v", err, err)
			}
			message := err.Error()
			if f.Field != c.field || f.Tensor != c.tensor || f.Key != c.key || f.Offset != c.offset {
				t.Errorf("key %q, tensor %q, field %q at %d; want %q, %q, %q at %d: %s",
					f.Key, f.Tensor, f.Field, f.Offset, c.key, c.tensor, c.field, c.offset, message)
			}
			wants := []string{"dir/bad.gguf: ", c.field + ": ", c.says}
			if c.key != "" {
				wants = append(wants, fmt.Sprintf("key %q: ", c.key))
			}
			if c.tensor != "" {
				wants = append(wants, fmt.Sprintf("tensor %q: ", c.tensor))
			}
			if c.offset >= 0 {
				wants = append(wants, fmt.Sprintf("(at byte %d)", c.offset))
			}
			for _, want := range wants {
				if !strings.Contains(message, want) {
					t.Errorf("message lacks %q: %s", want, message)
				}
			}
			if len(message) > 500 {
				t.Errorf("message of %d bytes", len(message))
			}
		})
	}
}

// TestEveryCut opens every beginning of a good file: none may be accepted,
// since the last tensor reaches to the end.
func TestEveryCut(t *testing.T) {
	file := sample()
	unpadded := int64(len(file)) - 512/64*18%32 // Q2_0 is the last type
	for n := range unpadded {
		_, err := NewFile("cut", bytes.NewReader(file), n)
		var f *FormatError
		if !errors.As(err, &f) || f.Offset > n {
			t.Fatalf("%d of %d bytes: %v", n, len(file), err)
		}
	}
}

// sparse is a large file of which only the beginning is there.
type sparse []byte

func (s sparse) ReadAt(b []byte, offset int64) (int, error) {
	if offset+int64(len(b)) > 1<<20 {
		panic("read far beyond what was checked")
	}
	clear(b)
	if offset < int64(len(s)) {
		copy(b, s[offset:])
	}
	return len(b), nil
}

func TestLimitsOfLargeFiles(t *testing.T) {
	for _, c := range []struct {
		name, want string
		size       int64
		file       []byte
	}{
		{"string", `f: key "k": value: claims 67108865 bytes, at most 67108864 are allowed (at byte 37)`, 1 << 40, cat(head(0, 1), entry("k", tString, u64(64<<20+1)))},
		{"string in array", `f: key "k": array: claims 67108865 bytes, at most 67108864 are allowed (at byte 49)`, 1 << 40, cat(head(0, 1), array("k", tString, 1, u64(64<<20+1)))},
		{"array", `f: key "k": array length: claims 2147483648, at most 2147483647 are allowed (at byte 41)`, 1 << 40, cat(head(0, 1), array("k", tUint8, 1<<31))},
		{"size", "f: file: has an impossible size of 2305843009213693952 bytes", 1 << 61, head(0, 0)},
	} {
		if _, err := NewFile("f", sparse(c.file), c.size); err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

func TestHostileNamesAreShortened(t *testing.T) {
	file := cat(head(0, 1), entry(strings.Repeat("\x01", 60_000), 99))
	_, err := NewFile("f", bytes.NewReader(file), int64(len(file)))
	if err == nil || len(err.Error()) > 800 {
		t.Fatalf("want a short error, got %.900v", err)
	}
}
