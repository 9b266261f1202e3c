package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sample has every dtype, a scalar, an empty tensor, and names that JSON must
// escape.
func sample() (map[string]string, []Tensor) {
	bytesOf := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i*37 + n)
		}
		return b
	}
	tensors := []Tensor{
		FromBytes("odd.u8", U8, []int{3}, bytesOf(3)),
		FromBytes("a<b>&\"c\"\n\u2028é", I8, []int{5, 1}, bytesOf(5)),
		FromBytes("flags", Bool, []int{2, 2}, []byte{1, 0, 0, 1}),
		FromBytes("scalar", F32, nil, bytesOf(4)),
		FromBytes("empty", F64, []int{4, 0}, nil),
	}
	for _, d := range known {
		if d != Bool {
			tensors = append(tensors, FromBytes("all."+string(d), d, []int{2, 3}, bytesOf(6*d.Size())))
		}
	}
	return map[string]string{"format": "pt", "note": "<\">\\\n", "": ""}, tensors
}

func encoded(t *testing.T, metadata map[string]string, tensors []Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, metadata, tensors); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func opened(t *testing.T, file []byte) *File {
	t.Helper()
	f, err := NewFile("memory", bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRoundTrip(t *testing.T) {
	metadata, tensors := sample()
	file := encoded(t, metadata, tensors)
	f := opened(t, file)
	if got := f.Metadata(); len(got) != len(metadata) || got["format"] != "pt" || got["note"] != metadata["note"] {
		t.Errorf("metadata %q, want %q", got, metadata)
	}
	if len(f.Names()) != len(tensors) {
		t.Fatalf("%d names, want %d", len(f.Names()), len(tensors))
	}
	for _, want := range tensors {
		info, ok := f.Info(want.Name)
		if !ok || info.DType != want.DType || !slices.Equal(info.Shape, want.Shape) {
			t.Errorf("%q: info %+v, want %s %v", want.Name, info, want.DType, want.Shape)
			continue
		}
		var data bytes.Buffer
		want.Data(&data)
		got, err := f.Bytes(want.Name)
		if err != nil || !bytes.Equal(got, data.Bytes()) {
			t.Errorf("%q: bytes % x (%v), want % x", want.Name, got, err, data.Bytes())
		}
		if at := f.start + info.begin; at%int64(info.DType.Size()) != 0 {
			t.Errorf("%q begins at byte %d: not aligned to %s", want.Name, at, info.DType)
		}
	}
}

// TestWriteIsDeterministic also decodes the header without this package's
// reader.
func TestWriteIsDeterministic(t *testing.T) {
	metadata, tensors := sample()
	file := encoded(t, metadata, tensors)
	for range 10 {
		rand.Shuffle(len(tensors), func(i, j int) { tensors[i], tensors[j] = tensors[j], tensors[i] })
		if !bytes.Equal(encoded(t, metadata, tensors), file) {
			t.Fatal("another order gave other bytes")
		}
	}
	length := binary.LittleEndian.Uint64(file)
	if length%8 != 0 {
		t.Errorf("header length %d is no multiple of 8", length)
	}
	got := string(encoded(t, map[string]string{"b": "2", "a": "1"}, []Tensor{
		FromFloat32s("z", F32, []int{1}, []float32{1}),
		FromFloat32s("y", BF16, []int{1, 1}, []float32{-2}),
		FromInts("b", I64, []int{}, []int{-2}),
		FromFloat32s("a", F32, []int{1}, []float32{0}),
	}))
	want := `{"__metadata__":{"a":"1","b":"2"},"b":{"dtype":"I64","shape":[],"data_offsets":[0,8]},` +
		`"a":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},"z":{"dtype":"F32","shape":[1],"data_offsets":[12,16]},` +
		`"y":{"dtype":"BF16","shape":[1,1],"data_offsets":[16,18]}}`
	want += strings.Repeat(" ", (8-len(want)%8)%8)
	want = string(binary.LittleEndian.AppendUint64(nil, uint64(len(want)))) + want +
		"\xfe\xff\xff\xff\xff\xff\xff\xff" + "\x00\x00\x00\x00" + "\x00\x00\x80\x3f" + "\x00\xc0"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestFloatsAndInts(t *testing.T) {
	n := chunkBytes/2 + 3 // more than one chunk for every size
	floats := make([]float32, n)
	for i := range floats {
		floats[i] = float32(i%97) / 4 // exact in half precision and bfloat16
	}
	var tensors []Tensor
	for _, d := range []DType{F32, F16, BF16, F64} {
		tensors = append(tensors, FromFloat32s(string(d), d, []int{n}, floats))
	}
	ints := map[DType][]int{
		I8: {-128, 127, 0}, U8: {0, 255}, I16: {-32768, 32767}, U16: {65535}, Bool: {0, 1, 1},
		I32: {math.MinInt32, math.MaxInt32}, U32: {0, 1 << 20}, I64: {math.MinInt, math.MaxInt}, U64: {0, math.MaxInt},
	}
	for d, values := range ints {
		tensors = append(tensors, FromInts(string(d), d, []int{len(values)}, values))
	}
	f := opened(t, encoded(t, nil, tensors))
	for _, d := range []DType{F32, F16, BF16, F64} {
		if got, err := f.Float32s(string(d)); err != nil || !slices.Equal(got, floats) {
			t.Errorf("%s: floats differ (%v)", d, err)
		}
		if _, err := f.Ints(string(d)); err == nil || !strings.Contains(err.Error(), "dtype: is "+string(d)) {
			t.Errorf("%s read as integers: %v", d, err)
		}
	}
	for d, want := range ints {
		if got, err := f.Ints(string(d)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v (%v), want %v", d, got, err, want)
		}
		if _, err := f.Float32s(string(d)); err == nil || !strings.Contains(err.Error(), "dtype: is "+string(d)) {
			t.Errorf("%s read as floats: %v", d, err)
		}
	}
}

func TestIntsThatDoNotFit(t *testing.T) {
	f := opened(t, encoded(t, nil, []Tensor{
		FromBytes("big", U64, []int{2}, []byte("\x01\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff")),
		FromBytes("flag", Bool, []int{3}, []byte{0, 1, 2}),
	}))
	for name, want := range map[string]string{"big": "element 1 does not fit: as U64", "flag": "element 2 does not fit: as BOOL"} {
		if got, err := f.Ints(name); got != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestUnknownName(t *testing.T) {
	f := opened(t, raw(`{}`, 0))
	for _, err := range []error{second(f.Bytes("no")), second(f.Float32s("no")), second(f.Ints("no"))} {
		if err == nil || !strings.Contains(err.Error(), `memory: tensor "no"`) {
			t.Errorf("got %v", err)
		}
	}
	if _, ok := f.Info("no"); ok {
		t.Error("info of a tensor that is not there")
	}
}

func second[T any](_ T, err error) error { return err }

// TestInfoIsACopy: callers must not be able to change what was checked.
func TestInfoIsACopy(t *testing.T) {
	f := opened(t, one(`{"dtype":"U8","shape":[1],"data_offsets":[0,1]}`, 1))
	info, _ := f.Info("w")
	info.Shape[0] = 99
	if again, _ := f.Info("w"); again.Shape[0] != 1 {
		t.Error("shape changed through Info")
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	metadata, tensors := sample()
	if err := os.WriteFile(good, encoded(t, metadata, tensors), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := Open(good)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Bytes("scalar"); err != nil {
		t.Error(err)
	}
	// The file shrinks behind the reader's back.
	if err := os.Truncate(good, f.start+1); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Float32s("scalar"); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), `tensor "scalar": data`) {
		t.Errorf("shrunk file: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, err := f.Bytes("scalar"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("closed file: %v", err)
	}

	empty := filepath.Join(dir, "empty")
	os.WriteFile(empty, nil, 0o644)
	for path, want := range map[string]string{dir: "is a folder", empty: "is empty", filepath.Join(dir, "none"): "no such file"} {
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if _, err := Open(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

// TestTruncated cuts a good file at every length.
func TestTruncated(t *testing.T) {
	file := encoded(t, map[string]string{"k": "v"}, []Tensor{FromBytes("w", U8, []int{16}, make([]byte, 16))})
	for n := range file {
		_, err := NewFile("cut", bytes.NewReader(file[:n]), int64(n))
		var f *FormatError
		if !errors.As(err, &f) {
			t.Errorf("cut to %d of %d bytes: %v", n, len(file), err)
		}
	}
}

// TestReadPart reads every part of a tensor that is larger than the buffer, in steps.
func TestReadPart(t *testing.T) {
	want := make([]float32, 40_000)
	for i := range want {
		want[i] = float32(i)
	}
	var b bytes.Buffer
	if err := Write(&b, nil, []Tensor{FromFloat32s("first", F32, []int{3}, want[:3]), FromFloat32s("w", F32, []int{40, 1000}, want), FromInts("n", I32, []int{1}, []int{7})}); err != nil {
		t.Fatal(err)
	}
	f, err := NewFile("memory", bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 999, 20_000, 40_000} {
		for first := 0; first+n <= len(want); first += 997 {
			got := make([]float32, n)
			if err := f.ReadPart("w", first, got); err != nil || !slices.Equal(got, want[first:first+n]) {
				t.Fatalf("%d values from number %d on differ (%v)", n, first, err)
			}
		}
	}
	for _, first := range []int{-1, 39_999, 40_001, math.MaxInt} {
		if err := f.ReadPart("w", first, make([]float32, 2)); err == nil || !strings.Contains(err.Error(), "the tensor has 40000") {
			t.Errorf("from number %d on: %v", first, err)
		}
	}
	if err := f.ReadPart("n", 0, make([]float32, 1)); err == nil || !strings.Contains(err.Error(), "want F32") {
		t.Errorf("got %v", err)
	}
}
