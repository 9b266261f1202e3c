package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// raw builds a file from a header and a number of data bytes.
func raw(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	return append(b, make([]byte, data)...)
}

// lie is raw with another header length.
func lie(length uint64, header string, data int) []byte {
	b := raw(header, data)
	binary.LittleEndian.PutUint64(b, length)
	return b
}

// one is a file with one tensor "w" whose entry is given, and data bytes.
func one(entry string, data int) []byte { return raw(`{"w":`+entry+`}`, data) }

// malformed lists files that must be refused: the fault's field and tensor,
// and what the message says beside them.
var malformed = []struct {
	name          string
	file          []byte
	field, tensor string
	says          string
}{
	{"empty", nil, "file", "", "empty"},
	{"shorter than any", raw("{", 0), "file", "", "9 bytes"},
	{"seven bytes", make([]byte, 7), "file", "", "7 bytes"},
	{"header length 0", lie(0, "{}", 0), "header length", "", "claims 0 bytes"},
	{"header length 1", lie(1, "{}", 0), "header length", "", "claims 1 bytes"},
	{"header longer than file", lie(3, "{}", 0), "header length", "", "claims 3 bytes, 2 are left"},
	{"header length 2^63", lie(1<<63, "{}", 0), "header length", "", "truncated"},
	{"header length all ones", lie(^uint64(0), "{}", 0), "header length", "", "truncated"},
	{"header length + 8 wraps", lie(^uint64(0)-7, "{}", 0), "header length", "", "truncated"},
	{"not an object", raw(`[]`, 0), "header", "", "want '{'"},
	{"space in front", raw(` {}`, 0), "header", "", "want '{'"},
	{"byte order mark", raw("\xef\xbb\xbf{}", 0), "header", "", "want '{'"},
	{"pickle", []byte("PK\x03\x04\x00\x00\x00\x00\x00\x00\x00\x00"), "header length", "", "truncated or not"},
	{"not UTF-8", raw("{\"\xff\":1}", 0), "header", "", "UTF-8 (at byte 10)"},
	{"header cut", raw(`{"w":{"dtype":"F32"`, 0), "header", "", "JSON"},
	{"two documents", raw(`{}{}`, 0), "header", "", "JSON"},
	{"zeros after the header", raw("{}\x00\x00", 0), "header", "", "JSON"},
	{"trailing comma", raw(`{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},}`, 1), "header", "", "JSON"},
	{"nested deeply", raw(`{"w":`+strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000)+`}`, 0), "header", "", "JSON"},
	{"NaN offset", one(`{"dtype":"U8","shape":[1],"data_offsets":[0,NaN]}`, 1), "header", "", "JSON"},

	{"duplicate tensor", raw(`{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1), "header", "", `key "w" is there twice`},
	{"duplicate by escape", raw(`{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0077":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2), "header", "", `key "w" is there twice`},
	{"duplicate field", one(`{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}`, 1), "entry", "w", `"dtype" is there twice`},
	{"duplicate metadata block", raw(`{"__metadata__":{},"__metadata__":{}}`, 0), "header", "", "twice"},
	{"duplicate metadata key", raw(`{"__metadata__":{"a":"1","a":"2"}}`, 0), "__metadata__", "", `"a" is there twice`},
	{"metadata number", raw(`{"__metadata__":{"a":1}}`, 0), "__metadata__", "", `value of "a" is the number 1, want a string`},
	{"metadata null", raw(`{"__metadata__":{"a":null}}`, 0), "__metadata__", "", "is null"},
	{"metadata nested", raw(`{"__metadata__":{"a":{"b":"c"}}}`, 0), "__metadata__", "", "an object, want a string"},
	{"metadata array", raw(`{"__metadata__":[]}`, 0), "__metadata__", "", "is an array, want an object"},
	{"entry null", one(`null`, 0), "entry", "w", "is null"},
	{"entry array", one(`[]`, 0), "entry", "w", "is an array, want an object"},
	{"empty name", raw(`{"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1), "entry", "", "empty name"},
	{"unknown field", one(`{"dtype":"U8","shape":[1],"data_offsets":[0,1],"strides":[1]}`, 1), "entry", "w", `unknown field "strides"`},
	{"field in other case", one(`{"DType":"U8","shape":[1],"data_offsets":[0,1]}`, 1), "entry", "w", `unknown field "DType"`},

	{"no dtype", one(`{"shape":[1],"data_offsets":[0,1]}`, 1), "dtype", "w", "missing"},
	{"unknown dtype", one(`{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}`, 1), "dtype", "w", `"F8_E4M3" is not known`},
	{"dtype in lower case", one(`{"dtype":"f32","shape":[1],"data_offsets":[0,4]}`, 4), "dtype", "w", `"f32" is not known`},
	{"empty dtype", one(`{"dtype":"","shape":[1],"data_offsets":[0,4]}`, 4), "dtype", "w", `"" is not known`},
	{"dtype number", one(`{"dtype":32,"shape":[1],"data_offsets":[0,4]}`, 4), "dtype", "w", "the number 32, want a string"},

	{"no shape", one(`{"dtype":"U8","data_offsets":[0,1]}`, 1), "shape", "w", "missing"},
	{"shape null", one(`{"dtype":"U8","shape":null,"data_offsets":[0,1]}`, 1), "shape", "w", "is null"},
	{"shape number", one(`{"dtype":"U8","shape":1,"data_offsets":[0,1]}`, 1), "shape", "w", "the number 1, want an array"},
	{"negative dimension", one(`{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}`, 1), "shape", "w", "element 0 is -1, want a non-negative"},
	{"minus zero", one(`{"dtype":"U8","shape":[-0],"data_offsets":[0,0]}`, 0), "shape", "w", "element 0 is -0"},
	{"fraction", one(`{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}`, 1), "shape", "w", "element 0 is 1.0"},
	{"exponent", one(`{"dtype":"U8","shape":[1,1e0],"data_offsets":[0,1]}`, 1), "shape", "w", "element 1 is 1e0"},
	{"dimension string", one(`{"dtype":"U8","shape":["1"],"data_offsets":[0,1]}`, 1), "shape", "w", `element 0 is the string "1"`},
	{"dimension true", one(`{"dtype":"U8","shape":[true],"data_offsets":[0,1]}`, 1), "shape", "w", "element 0 is true"},
	{"dimension array", one(`{"dtype":"U8","shape":[[1]],"data_offsets":[0,1]}`, 1), "shape", "w", "element 0 is an array"},
	{"dimension 2^64", one(`{"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,1]}`, 1), "shape", "w", "too large"},
	{"dimension of a thousand digits", one(`{"dtype":"U8","shape":[`+strings.Repeat("9", 1000)+`],"data_offsets":[0,1]}`, 1), "shape", "w", "999..., too large"},
	{"product wraps to 0", one(`{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}`, 0), "shape", "w", "overflows"},
	{"bytes wrap to 0", one(`{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}`, 0), "shape", "w", "overflows"},
	{"zero hides overflow", one(`{"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}`, 0), "shape", "w", "overflows"},
	{"rank 9", one(`{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}`, 1), "shape", "w", "at most 8 dimensions"},

	{"no offsets", one(`{"dtype":"U8","shape":[1]}`, 1), "data_offsets", "w", "missing"},
	{"one offset", one(`{"dtype":"U8","shape":[1],"data_offsets":[1]}`, 1), "data_offsets", "w", "1 numbers, want two"},
	{"three offsets", one(`{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}`, 1), "data_offsets", "w", "too many numbers"},
	{"negative offset", one(`{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}`, 1), "data_offsets", "w", "element 0 is -1"},
	{"offset 2^63", one(`{"dtype":"U8","shape":[1],"data_offsets":[0,9223372036854775808]}`, 1), "data_offsets", "w", "too large"},
	{"begin after end", one(`{"dtype":"U8","shape":[1],"data_offsets":[1,0]}`, 1), "data_offsets", "w", "begin 1 is after end 0"},
	{"too few bytes", one(`{"dtype":"F32","shape":[2],"data_offsets":[0,7]}`, 7), "data_offsets", "w", "are 7 bytes, F32 [2] needs 8"},
	{"too many bytes", one(`{"dtype":"F16","shape":[2],"data_offsets":[0,8]}`, 8), "data_offsets", "w", "F16 [2] needs 4"},
	{"scalar without bytes", one(`{"dtype":"F32","shape":[],"data_offsets":[0,0]}`, 0), "data_offsets", "w", "F32 [] needs 4"},
	{"data truncated", one(`{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`, 7), "data_offsets", "w", "data section has 7 bytes; the file may be truncated"},
	{"data far beyond the file", one(`{"dtype":"U8","shape":[4611686018427387904],"data_offsets":[0,4611686018427387904]}`, 8), "data_offsets", "w", "reach beyond the end of the file"},
	{"bytes after the data", one(`{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`, 9), "data", "", "1 bytes after the last tensor"},
	{"data without tensors", raw(`{}`, 4), "data", "", "4 bytes after the last tensor belong to none (at byte 10)"},
	{"hole in front", one(`{"dtype":"U8","shape":[1],"data_offsets":[1,2]}`, 2), "data_offsets", "w", "hole of 1 bytes after the start"},
	{"hole", raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 3), "data_offsets", "b", `hole of 1 bytes after tensor "a"`},
	{"overlap", raw(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3), "data_offsets", "b", `overlap tensor "a", which ends at 2`},
	{"same bytes twice", raw(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}`, 2), "data_offsets", "b", `overlap tensor "a"`},
	{"empty tensor inside another", raw(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}}`, 2), "data_offsets", "b", `overlap tensor "a"`},
	{"too much metadata", raw(manyKeys(), 0), "__metadata__", "", "more than 65536 keys"},
}

func manyKeys() string {
	var b strings.Builder
	b.WriteString(`{"__metadata__":{"0":""`)
	for i := 1; i <= maxMetadata; i++ {
		fmt.Fprintf(&b, `,"%d":""`, i)
	}
	b.WriteString("}}")
	return b.String()
}

func TestMalformed(t *testing.T) {
	if len(malformed) < 40 {
		t.Fatalf("only %d kinds of malformed files", len(malformed))
	}
	for _, c := range malformed {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewFile("dir/bad.safetensors", bytes.NewReader(c.file), int64(len(c.file)))
			if err == nil {
				t.Fatal("accepted")
			}
			message := err.Error()
			var f *FormatError
			if !errors.As(err, &f) {
				t.Fatalf("%T, want a *FormatError: %v", err, err)
			}
			if f.Field != c.field || f.Tensor != c.tensor {
				t.Errorf("field %q of tensor %q, want %q of %q: %s", f.Field, f.Tensor, c.field, c.tensor, message)
			}
			wants := []string{"dir/bad.safetensors: ", c.field + ": ", c.says}
			if c.tensor != "" {
				wants = append(wants, fmt.Sprintf("tensor %q: ", c.tensor))
			}
			if c.field != "file" {
				wants = append(wants, "(at byte ")
			}
			for _, want := range wants {
				if !strings.Contains(message, want) {
					t.Errorf("message lacks %q: %s", want, message)
				}
			}
			if f.Offset > int64(len(c.file)) || len(message) > 500 {
				t.Errorf("offset %d in a file of %d bytes, message of %d bytes", f.Offset, len(c.file), len(message))
			}
		})
	}
}

// prefixOnly is a huge file of which only the header length can be read.
type prefixOnly []byte

func (p prefixOnly) ReadAt(b []byte, offset int64) (int, error) {
	if offset != 0 || len(b) != lengthBytes {
		panic("read beyond the header length")
	}
	return copy(b, p), nil
}

func TestHeaderOverTheLimit(t *testing.T) {
	_, err := NewFile("f", prefixOnly(lie(maxHeader+1, "", 0)), 1<<40)
	if err == nil || !strings.Contains(err.Error(), "f: header length: claims 100000001 bytes, at most 100000000") {
		t.Fatalf("got %v", err)
	}
}

func TestHostileNamesAreShortened(t *testing.T) {
	name := strings.Repeat("n", 1<<20)
	file := raw(`{"`+name+`":{"dtype":"U9","shape":[],"data_offsets":[0,0]}}`, 0)
	_, err := NewFile("f", bytes.NewReader(file), int64(len(file)))
	if err == nil || len(err.Error()) > 500 {
		t.Fatalf("want a short error, got %.600v", err)
	}
}
