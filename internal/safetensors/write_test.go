package safetensors

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

func TestWriteRefuses(t *testing.T) {
	ok := FromBytes("w", U8, []int{1}, []byte{1})
	for _, c := range []struct {
		name     string
		metadata map[string]string
		tensors  []Tensor
		want     string
		partial  bool // found only while the data is written
	}{
		{"duplicate", nil, []Tensor{ok, ok}, `tensor "w": name: is there twice`, false},
		{"empty name", nil, []Tensor{FromBytes("", U8, nil, nil)}, `name: ""`, false},
		{"metadata's name", nil, []Tensor{FromBytes("__metadata__", U8, nil, nil)}, "cannot be", false},
		{"name not UTF-8", nil, []Tensor{FromBytes("\xff", U8, nil, nil)}, "cannot be", false},
		{"metadata not UTF-8", map[string]string{"a": "\xff"}, nil, "__metadata__", false},
		{"unknown dtype", nil, []Tensor{FromBytes("w", "F8", nil, nil)}, `dtype: "F8" is not known`, false},
		{"negative", nil, []Tensor{FromBytes("w", U8, []int{-1}, nil)}, "shape: dimension 0 is -1", false},
		{"overflow", nil, []Tensor{FromBytes("w", F32, []int{math.MaxInt / 2, 2}, nil)}, "overflows", false},
		{"sum overflows", nil, []Tensor{FromBytes("a", U8, []int{math.MaxInt}, nil), ok}, "sum of all sizes", false},
		{"rank", nil, []Tensor{FromBytes("w", U8, make([]int, 9), nil)}, "9 dimensions", false},
		{"no data", nil, []Tensor{{Name: "w", DType: U8}}, "no function", false},
		{"too short", nil, []Tensor{FromBytes("w", U8, []int{2}, []byte{1})}, "data: 1 bytes, U8 [2] needs 2", true},
		{"too long", nil, []Tensor{FromBytes("w", U8, []int{2}, []byte{1, 2, 3})}, "1 bytes more", true},
		{"floats as integers", nil, []Tensor{FromFloat32s("w", I32, []int{1}, []float32{1})}, "cannot be written as I32", true},
		{"integers as floats", nil, []Tensor{FromInts("w", F32, []int{1}, []int{1})}, "cannot be written as F32", true},
		{"integer too large", nil, []Tensor{FromInts("w", I8, []int{1}, []int{128})}, "128 does not fit I8", true},
		{"negative unsigned", nil, []Tensor{FromInts("w", U64, []int{1}, []int{-1})}, "-1 does not fit U64", true},
		{"not a bool", nil, []Tensor{FromInts("w", Bool, []int{1}, []int{2})}, "2 does not fit BOOL", true},
	} {
		var b bytes.Buffer
		err := Write(&b, c.metadata, c.tensors)
		var f *FormatError
		if !errors.As(err, &f) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if b.Len() > 0 && !c.partial {
			t.Errorf("%s: %d bytes written before the refusal", c.name, b.Len())
		}
	}
}

// failing accepts some bytes, then fails.
type failing struct {
	left int
	err  error
}

func (f *failing) Write(p []byte) (int, error) {
	if len(p) > f.left {
		return 0, f.err
	}
	f.left -= len(p)
	return len(p), nil
}

func TestWritePassesOnErrors(t *testing.T) {
	full := errors.New("full")
	tensors := []Tensor{FromFloat32s("w", F32, []int{4}, make([]float32, 4))}
	for _, left := range []int{0, 70} { // in the header, in the data
		if err := Write(&failing{left, full}, nil, tensors); !errors.Is(err, full) {
			t.Errorf("full after %d bytes: %v", left, err)
		}
	}
}

// TestWriteStreams: each tensor's data is asked for once, when its turn comes.
func TestWriteStreams(t *testing.T) {
	var calls []string
	lazy := func(name string) Tensor {
		return Tensor{Name: name, DType: U8, Shape: []int{1}, Data: func(w io.Writer) error {
			calls = append(calls, name)
			_, err := w.Write([]byte{7})
			return err
		}}
	}
	encoded(t, nil, []Tensor{lazy("b"), lazy("c"), lazy("a")})
	if got := strings.Join(calls, ""); got != "abc" {
		t.Errorf("data asked for in order %q, want abc", got)
	}
}
