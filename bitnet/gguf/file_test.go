package gguf

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestSampleMetadata(t *testing.T) {
	m := opened(t, sample()).Metadata()
	want := map[string]any{
		"u8": uint8(200), "i8": int8(-2), "u16": uint16(65535), "i16": int16(-1), "u32": uint32(math.MaxUint32), "i32": int32(-1),
		"u64": uint64(math.MaxUint64), "i64": int64(-1), "f32": float32(-1.5), "f64": 2.25, "yes": true, "no": false, "s": "héllo",
		"a.u8": []uint8{1, 2, 255}, "a.i8": []int8{1, -1}, "a.u16": []uint16{257}, "a.i16": []int16{math.MinInt16},
		"a.u32": []uint32{7, math.MaxUint32}, "a.i32": []int32{7, -1}, "a.u64": []uint64{1 << 40}, "a.i64": []int64{1 << 40},
		"a.f32": []float32{-1.5, -1.5}, "a.f64": []float64{2.25}, "a.bool": []bool{true, false}, "a.s": []string{"a", "", "\xff"}, "empty": []string{},
	}
	got := map[string]any{}
	for _, e := range m.Entries() {
		got[e.Key] = e.Value
		if !m.Has(e.Key) {
			t.Errorf("Has(%q) is false", e.Key)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	for key, want := range map[string]int{"u8": 200, "i8": -2, "u16": 65535, "i16": -1, "u32": math.MaxUint32, "i32": -1, "i64": -1} {
		if n, err := m.Int(key); err != nil || n != want {
			t.Errorf("Int(%q) = %d, %v", key, n, err)
		}
	}
	for key, want := range map[string][]int{"a.u8": {1, 2, 255}, "a.i8": {1, -1}, "a.u16": {257}, "a.i16": {math.MinInt16}, "a.u32": {7, math.MaxUint32}, "a.i32": {7, -1}, "a.i64": {1 << 40}} {
		if n, err := m.Ints(key); err != nil || !slices.Equal(n, want) {
			t.Errorf("Ints(%q) = %d, %v", key, n, err)
		}
	}
	for key, want := range map[string]float64{"f32": -1.5, "f64": 2.25} {
		if v, err := m.Float(key); err != nil || v != want {
			t.Errorf("Float(%q) = %v, %v", key, v, err)
		}
	}
	if s, err := Get[[]string](m, "a.s"); err != nil || len(s) != 3 {
		t.Errorf("Get: %q, %v", s, err)
	}
}

// TestGettersName the key, the type wanted and the type found.
func TestGettersName(t *testing.T) {
	m := opened(t, sample()).Metadata()
	i64At := int64(bytes.Index(sample(), cat(text("i64"), u32(tInt64)))) + 11
	for want, call := range map[string]func() error{
		`memory: key "x.y": metadata: is missing, want array of string`:                func() error { _, err := Get[[]string](m, "x.y"); return err },
		`memory: key "x": metadata: is missing, want an integer`:                       func() error { _, err := m.Int("x"); return err },
		`memory: key "s": value type: is string, want an integer`:                      func() error { _, err := m.Int("s"); return err },
		`memory: key "yes": value type: is bool, want an integer`:                      func() error { _, err := m.Int("yes"); return err },
		`memory: key "u64": value: 18446744073709551615 does not fit`:                  func() error { _, err := m.Int("u64"); return err },
		`memory: key "i64": value type: is int64, want float32 or float64 (at byte`:    func() error { _, err := m.Float("i64"); return err },
		`memory: key "a.s": value type: is array of string, want an array of integers`: func() error { _, err := m.Ints("a.s"); return err },
		`memory: key "u8": value type: is uint8, want an array of integers`:            func() error { _, err := m.Ints("u8"); return err },
		`memory: key "a.f32": value type: is array of float32, want string`:            func() error { _, err := Get[string](m, "a.f32"); return err },
	} {
		err := call()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		var f *FormatError
		if errors.As(err, &f) && f.Key == "i64" && f.Offset != i64At {
			t.Errorf("offset %d, want %d", f.Offset, i64At)
		}
	}
}

func TestSampleTensors(t *testing.T) {
	file := sample()
	f := opened(t, file)
	if f.Version() != 3 || f.Alignment() != 32 || len(f.Tensors()) != len(floats)+4 {
		t.Fatalf("version %d, alignment %d, %d tensors", f.Version(), f.Alignment(), len(f.Tensors()))
	}
	for _, info := range f.Tensors() {
		data, err := f.Bytes(info.Name)
		if err != nil || !bytes.Equal(data, file[info.Offset:info.Offset+info.Bytes]) {
			t.Fatalf("%s: other bytes than in the file (%v)", info.Name, err)
		}
		for i, b := range data {
			if b != byte(i*37+int(info.Type)) {
				t.Fatalf("%s: byte %d is %d", info.Name, i, b)
			}
		}
		raw, err := f.Raw(info.Name)
		if err != nil {
			t.Fatal(err)
		}
		if all, err := io.ReadAll(raw); err != nil || !bytes.Equal(all, data) {
			t.Errorf("%s: Raw gives other bytes (%v)", info.Name, err)
		}
		if !slices.Equal(info.Shape, []int{2, 256}) || !slices.Equal(info.Dims(), []int{256, 2}) || info.Rows() != 2 || info.RowLength() != 256 || info.Elements() != 512 {
			t.Errorf("%s: shape %v, dims %v", info.Name, info.Shape, info.Dims())
		}
		values, err := f.Float32s(info.Name)
		if !info.Type.IsFloat() {
			if err == nil || !strings.Contains(err.Error(), "holds integers") {
				t.Errorf("%s: got %v", info.Name, err)
			}
			continue
		}
		want := make([]float32, 512)
		if err := errors.Join(err, Dequantize(info.Type, want, data)); err != nil {
			t.Fatal(err)
		}
		one := make([]float32, 256)
		if err := f.ReadRows(info.Name, 1, one); err != nil {
			t.Fatal(err)
		}
		if !sameBits(values, want) || !sameBits(one, want[256:]) {
			t.Errorf("%s: rows differ from the blocks decoded at once", info.Name)
		}
	}
	info, _ := f.Info("t.F32")
	info.Shape[0] = 99
	if again, _ := f.Info("t.F32"); again.Shape[0] != 2 {
		t.Error("a caller can change the file's shape")
	}
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// TestRowsInPieces reads a tensor larger than the buffer in pieces of all sizes.
func TestRowsInPieces(t *testing.T) {
	const rows, columns = 700, 512
	file := withData(rows*columns/256*210, head(1, 0), desc("w", Q6_K, 0, columns, 350, 2))
	for i := range rows * columns / 256 * 210 {
		file[len(file)-1-i] = byte(i * i >> 3)
	}
	f := opened(t, file)
	whole, err := f.Float32s("w")
	if err != nil {
		t.Fatal(err)
	}
	want := make([]float32, rows*columns)
	data, _ := f.Bytes("w")
	decodeQ6_K(want, data)
	if !sameBits(whole, want) {
		t.Fatal("Float32s differs from the blocks decoded at once")
	}
	for _, n := range []int{1, 7, 311, 350, 699, 700} {
		for first := 0; first+n <= rows; first += n {
			got := make([]float32, n*columns)
			if err := f.ReadRows("w", first, got); err != nil {
				t.Fatal(err)
			}
			if !sameBits(got, want[first*columns:(first+n)*columns]) {
				t.Fatalf("%d rows from %d differ", n, first)
			}
		}
	}
	if err := f.ReadRows("w", 700, nil); err != nil {
		t.Errorf("no rows: %v", err)
	}
	for _, c := range []struct {
		first, values int
		says          string
	}{
		{0, columns + 1, `memory: tensor "w": rows: room for 513 values is not a number of rows of 512`},
		{-1, columns, "1 rows from row -1 wanted, there are 700"},
		{700, columns, "1 rows from row 700 wanted"},
		{699, 2 * columns, "2 rows from row 699 wanted"},
		{math.MaxInt, columns, "wanted, there are 700"},
	} {
		if err := f.ReadRows("w", c.first, make([]float32, c.values)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("got %v, want %s", err, c.says)
		}
	}
}

// TestOddButValid opens files that look strange and are none the worse for it.
func TestOddButValid(t *testing.T) {
	version2 := one(32, desc("w", F32, 0, 8))
	version2[4] = 2
	mebibyte := cat(head(1, 1), entry("general.alignment", tUint32, u32(1<<20)), desc("w", F32, 0, 1))
	mebibyte = append(mebibyte, make([]byte, 1<<20+4-len(mebibyte))...)
	alignment8 := cat(head(2, 1), entry("general.alignment", tUint32, u32(8)), desc("w", F32, 0, 1), desc("v", F32, 8, 1))
	alignment8 = append(alignment8, make([]byte, (8-len(alignment8)%8)%8+12)...)
	for name, file := range map[string][]byte{
		"no metadata, no tensors":     head(0, 0),
		"vocabulary only":             cat(head(0, 1), array("tokenizer.ggml.tokens", tString, 2, text("a"), text("b"))),
		"no tensors but padding":      withData(0, head(0, 0)),
		"version 2":                   version2,
		"no padding at the end":       one(20, desc("w", F32, 0, 5)),
		"padding at the end":          one(32, desc("w", F32, 0, 5)),
		"not in the order of offsets": withData(72, head(2, 0), desc("second", F32, 64, 2), desc("first", F32, 0, 10)),
		"alignment 8":                 alignment8,
		"four dimensions of 1":        one(4, desc("w", F32, 0, 1, 1, 1, 1)),
		"same key in another case":    cat(head(0, 2), entry("K", tUint8, []byte{1}), entry("k", tUint8, []byte{2})),
		"empty string and array":      cat(head(0, 2), entry("k", tString, text("")), array("a", tFloat64, 0)),
		"value that is not UTF-8":     cat(head(0, 1), entry("k", tString, text("\xff\xfe\x00"))),
		"name of 256 bytes":           one(4, desc(strings.Repeat("n", 256), F32, 0, 1)),
		"key of 65535 bytes":          cat(head(0, 1), entry(strings.Repeat("k", 65535), tBool, []byte{1})),
		"alignment of a mebibyte":     mebibyte,
	} {
		f, err := NewFile(name, bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, info := range f.Tensors() {
			values, err := f.Float32s(info.Name)
			if err != nil || len(values) != info.Elements() {
				t.Errorf("%s: %d values, %v", name, len(values), err)
			}
		}
	}
}

func TestOpen(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "model.gguf")
	if err := os.WriteFile(path, sample(), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Float32s("t.Q4_K"); err != nil {
		t.Error(err)
	}
	if _, err := f.Float32s("none"); err == nil || !strings.Contains(err.Error(), `tensor "none": name: no tensor of that name among 21`) {
		t.Errorf("got %v", err)
	}
	last := f.Tensors()[len(f.Tensors())-1]
	if err := os.Truncate(path, last.Offset+5); err != nil {
		t.Fatal(err)
	}
	_, err = f.Float32s(last.Name)
	var format *FormatError
	if !errors.As(err, &format) || !errors.Is(err, io.ErrUnexpectedEOF) || format.Offset != last.Offset+5 || format.Tensor != last.Name {
		t.Errorf("cut behind the reader's back: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, err := f.Bytes("t.F32"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
	if _, err := Open(filepath.Join(folder, "none.gguf")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none.gguf") {
		t.Errorf("no file: %v", err)
	}
	if _, err := Open(folder); err == nil || !strings.Contains(err.Error(), "is a folder, want a GGUF file inside it") {
		t.Errorf("folder: %v", err)
	}
	if _, err := Open(os.DevNull); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("device: %v", err)
	}
}

// broken fails from some offset on.
type broken struct {
	io.ReaderAt
	from int64
}

func (b broken) ReadAt(p []byte, offset int64) (int, error) {
	if offset+int64(len(p)) > b.from {
		return 0, errors.New("disk on fire")
	}
	return b.ReaderAt.ReadAt(p, offset)
}

func TestDiskErrors(t *testing.T) {
	file := sample()
	if _, err := NewFile("f", broken{bytes.NewReader(file), 0}, int64(len(file))); err == nil || err.Error() != "f: magic: cannot be read: disk on fire (at byte 0)" {
		t.Errorf("header: %v", err)
	}
	large := cat(head(0, 1), entry("k", tString, text(strings.Repeat("x", 200_000))))
	if _, err := NewFile("f", broken{bytes.NewReader(large), 1 << 17}, int64(len(large))); err == nil || !strings.HasPrefix(err.Error(), `f: key "k": value: cannot be read: disk on fire`) {
		t.Errorf("string: %v", err)
	}
}

// TestGoldenMetadata reads what another program wrote.
func TestGoldenMetadata(t *testing.T) {
	m := opened(t, golden).Metadata()
	for key, want := range map[string]any{
		"general.architecture": "test", "test.u8": uint8(1), "test.i8": int8(-1), "test.u16": uint16(2), "test.i16": int16(-2),
		"test.u32": uint32(3), "test.i32": int32(-3), "test.u64": uint64(1 << 40), "test.i64": int64(-1 << 40), "test.f32": float32(0.1), "test.f64": 0.1,
		"test.bool": true, "test.string": "größer", "test.strings": []string{"a", "Ġb", "</s>"}, "test.ints": []int32{1, -2, 3}, "test.floats": []float32{0.5, -1.5},
	} {
		if e := m.find(key); e == nil || !reflect.DeepEqual(e.Value, want) {
			t.Errorf("%s: got %v, want %v", key, e, want)
		}
	}
	for _, info := range opened(t, golden).Tensors() {
		if !slices.Equal(info.Shape, []int{12, 256}) || info.Name != "t."+info.Type.String() {
			t.Errorf("%s of %s: shape %v", info.Name, info.Type, info.Shape)
		}
	}
}
