package gguf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// copies are all tensors of a file.
func copies(t *testing.T, f *File) []Tensor {
	t.Helper()
	var all []Tensor
	for _, info := range f.Tensors() {
		tensor, err := f.Copy(info.Name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, tensor)
	}
	return all
}

func written(t *testing.T, metadata []KV, tensors []Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, metadata, tensors); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestRewrite reads files and writes them again, byte for byte: those of the
// Python package's own writer, and one with all types of values and tensors.
func TestRewrite(t *testing.T) {
	aligned := withData(64+18, head(2, 1), entry("general.alignment", tUint32, u32(64)), desc("b", TQ2_0, 0, 256), desc("a", Q4_0, 128, 32))
	aligned = slices.Concat(aligned[:len(aligned)-82], make([]byte, (64-(len(aligned)-82)%64)%64+192))
	for name, file := range map[string][]byte{"golden": golden, "quantized": quantized, "sample": sample(), "alignment 64": aligned, "empty": withData(0, head(0, 0))} {
		f := opened(t, file)
		got := written(t, f.Metadata().Entries(), copies(t, f))
		if !bytes.Equal(got, file) {
			t.Errorf("%s: other bytes than those that were read (%d, were %d)", name, len(got), len(file))
		}
	}
}

// TestWriteTypes writes rows of every type that can be encoded and reads them
// again, of tensors with less and more than a piece.
func TestWriteTypes(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for _, typ := range encodable {
		columns := 172 // of a small model: not a multiple of any block
		if typ.BlockSize() > 1 {
			columns = 512
		}
		for _, shape := range [][]int{{columns}, {3, columns}, {2, 100, columns}, {131, columns}, {1, 2, 3, 70_400}} {
			if typ.BlockSize() == 1 && len(shape) == 4 {
				shape[3]++
			}
			info := Info{Shape: shape}
			values := make([]float32, info.Elements())
			for i := range values {
				values[i] = float32(rng.NormFloat64())
			}
			path := filepath.Join(t.TempDir(), "model.gguf")
			tensors := []Tensor{FromFloat32s("first", F32, []int{3}, []float32{1, 2, 3}), FromFloat32s("w", typ, shape, values)}
			if err := Create(t.Context(), path, nil, tensors); err != nil {
				t.Fatal(err)
			}
			f, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			blocks := make([]byte, len(values)/typ.BlockSize()*typ.BlockBytes())
			if err := Quantize(typ, blocks, values); err != nil {
				t.Fatal(err)
			}
			if got, err := f.Bytes("w"); err != nil || !bytes.Equal(got, blocks) {
				t.Errorf("%s %v: other blocks than those of Quantize (%v)", typ, shape, err)
			}
			want := make([]float32, len(values))
			if err := Dequantize(typ, want, blocks); err != nil {
				t.Fatal(err)
			}
			if got, err := f.Float32s("w"); err != nil || !sameBits(got, want) {
				t.Errorf("%s %v: other values than were written (%v)", typ, shape, err)
			}
			if again, _ := f.Info("w"); !slices.Equal(again.Shape, shape) || again.Type != typ {
				t.Errorf("%s %v: is %s %v in the file", typ, shape, again.Type, again.Shape)
			}
			if got, err := f.Float32s("first"); err != nil || !slices.Equal(got, []float32{1, 2, 3}) {
				t.Errorf("the tensor before it: %v, %v", got, err)
			}
			f.Close()
		}
	}
}

// randomValue is of a random kind, one or a list.
func randomValue(rng *rand.Rand) any {
	text := func() string {
		b := make([]byte, rng.IntN(20))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return string(b)
	}
	float := func() float64 { return math.Ldexp(rng.NormFloat64(), rng.IntN(60)-30) }
	if rng.IntN(2) == 0 {
		return []any{uint8(rng.Uint32()), int8(rng.Uint32()), uint16(rng.Uint32()), int16(rng.Uint32()), rng.Uint32(), int32(rng.Uint32()),
			rng.Uint64(), int64(rng.Uint64()), float32(float()), float(), rng.IntN(2) == 0, text()}[rng.IntN(12)]
	}
	n := rng.IntN(5)
	return []any{some(n, func() uint8 { return uint8(rng.Uint32()) }), some(n, func() int8 { return int8(rng.Uint32()) }),
		some(n, func() uint16 { return uint16(rng.Uint32()) }), some(n, func() int16 { return int16(rng.Uint32()) }),
		some(n, rng.Uint32), some(n, func() int32 { return int32(rng.Uint32()) }), some(n, rng.Uint64), some(n, func() int64 { return int64(rng.Uint64()) }),
		some(n, func() float32 { return float32(float()) }), some(n, float), some(n, func() bool { return rng.IntN(2) == 0 }), some(n, text)}[rng.IntN(12)]
}

func some[T any](n int, one func() T) []T {
	list := make([]T, n)
	for i := range list {
		list[i] = one()
	}
	return list
}

// TestRandomFiles: whatever is written is read, in its order, and gives the
// same bytes when it is written again.
func TestRandomFiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	kinds := map[string]bool{}
	for range 500 {
		var metadata []KV
		for i := range rng.IntN(12) {
			v := randomValue(rng)
			kinds[typeName(v)] = true
			metadata = append(metadata, KV{Key: fmt.Sprintf("%c.%d", 'z'-rune(rng.IntN(26)), i), Value: v})
		}
		if rng.IntN(2) == 0 {
			metadata = append(metadata, KV{Key: "general.alignment", Value: uint32(8) << rng.IntN(8)})
		}
		var tensors []Tensor
		var data [][]byte
		for i := range rng.IntN(6) {
			typ := []Type{F32, F16, I8, I64, Q8_0, Q4_K, TQ1_0, Q2_0}[rng.IntN(8)]
			shape := append(some(rng.IntN(3), func() int { return 1 + rng.IntN(3) }), typ.BlockSize()*(1+rng.IntN(3)))
			b := make([]byte, (&Info{Shape: shape}).Elements()/typ.BlockSize()*typ.BlockBytes())
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			data = append(data, b)
			tensors = append(tensors, FromBytes(fmt.Sprintf("%c.%d", 'z'-rune(rng.IntN(26)), i), typ, shape, b))
		}
		file := written(t, metadata, tensors)
		f := opened(t, file)
		for i, e := range f.Metadata().Entries() {
			if e.Key != metadata[i].Key || !reflect.DeepEqual(e.Value, metadata[i].Value) {
				t.Fatalf("%s: %#v came back as %s: %#v", metadata[i].Key, metadata[i].Value, e.Key, e.Value)
			}
		}
		for i, info := range f.Tensors() {
			got, err := f.Bytes(info.Name)
			if err != nil || !bytes.Equal(got, data[i]) || info.Name != tensors[i].Name || info.Type != tensors[i].Type || !slices.Equal(info.Shape, tensors[i].Shape) {
				t.Fatalf("%s %s %v came back as %s %s %v (%v)", tensors[i].Name, tensors[i].Type, tensors[i].Shape, info.Name, info.Type, info.Shape, err)
			}
		}
		if n := len(f.Metadata().Entries()); n != len(metadata) || len(f.Tensors()) != len(tensors) {
			t.Fatalf("%d keys and %d tensors came back of %d and %d", n, len(f.Tensors()), len(metadata), len(tensors))
		}
		if !bytes.Equal(written(t, f.Metadata().Entries(), copies(t, f)), file) {
			t.Fatal("written again it has other bytes")
		}
	}
	if len(kinds) != 24 {
		t.Errorf("%d kinds of values were tried, there are 24: %v", len(kinds), kinds)
	}
}

// TestWriteRefuses: nothing is written, and the fault is named.
func TestWriteRefuses(t *testing.T) {
	good := FromBytes("w", F32, []int{1}, make([]byte, 4))
	tensor := func(change func(*Tensor)) []Tensor {
		w := good
		change(&w)
		return []Tensor{w}
	}
	long := strings.Repeat("n", 64)
	for says, c := range map[string]struct {
		metadata []KV
		tensors  []Tensor
	}{
		`GGUF: key: want 1 to 65535 bytes of UTF-8`:                                                   {[]KV{{Key: "", Value: true}}, nil},
		`key "\xc3(": key: want 1 to`:                                                                 {[]KV{{Key: "\xc3(", Value: true}}, nil},
		`key: want 1 to 65535 bytes`:                                                                  {[]KV{{Key: strings.Repeat("k", 1<<16), Value: true}}, nil},
		`GGUF: key "k": key: is there twice`:                                                          {[]KV{{Key: "k", Value: true}, {Key: "j", Value: true}, {Key: "k", Value: uint8(1)}}, nil},
		`key "k": value type: int cannot be written`:                                                  {[]KV{{Key: "k", Value: 1}}, nil},
		`key "k": value type: <nil> cannot be written`:                                                {[]KV{{Key: "k"}}, nil},
		`key "k": value type: [][]string cannot be written`:                                           {[]KV{{Key: "k", Value: [][]string{{"a"}}}}, nil},
		`key "k": value: a string has more than 67108864 bytes`:                                       {[]KV{{Key: "k", Value: strings.Repeat("x", 64<<20+1)}}, nil},
		`key "l": value: a string has more than 67108864 bytes`:                                       {[]KV{{Key: "l", Value: []string{"", strings.Repeat("x", 64<<20+1)}}}, nil},
		`key "general.alignment": value: is uint32 48, want uint32, a power of two from 8 to 1048576`: {[]KV{{Key: "general.alignment", Value: uint32(48)}}, nil},
		`key "general.alignment": value: is uint64 32, want uint32`:                                   {[]KV{{Key: "general.alignment", Value: uint64(32)}}, nil},
		`key count: 65537, at most 65536`:                                                             {make([]KV, 1<<16+1), nil},
		`tensor count: 1048577, at most 1048576`:                                                      {nil, make([]Tensor, 1<<20+1)},
		`GGUF: name: want 1 to 63 bytes of UTF-8`:                                                     {nil, tensor(func(w *Tensor) { w.Name = "" })},
		`tensor "` + long + `": name: want 1 to 63`:                                                   {nil, tensor(func(w *Tensor) { w.Name = long })},
		`tensor "\xff": name: want 1 to 63`:                                                           {nil, tensor(func(w *Tensor) { w.Name = "\xff" })},
		`tensor "w": name: is there twice`:                                                            {nil, []Tensor{good, good}},
		`tensor "w": type: I2_S cannot be written`:                                                    {nil, tensor(func(w *Tensor) { w.Type = 36 })},
		`tensor "w": data: no function to write it`:                                                   {nil, tensor(func(w *Tensor) { w.Data = nil })},
		`tensor "w": dimension count: is 0, want 1 to 4`:                                              {nil, tensor(func(w *Tensor) { w.Shape = nil })},
		`tensor "w": dimension count: is 5, want 1 to 4`:                                              {nil, tensor(func(w *Tensor) { w.Shape = []int{1, 1, 1, 1, 1} })},
		`tensor "w": dimensions: [3 0]: want 1 or more`:                                               {nil, tensor(func(w *Tensor) { w.Shape = []int{3, 0} })},
		`tensor "w": dimensions: [-1]: want 1 or more`:                                                {nil, tensor(func(w *Tensor) { w.Shape = []int{-1} })},
		`tensor "w": dimensions: [4294967296 4294967296]: the number of elements overflows`:           {nil, tensor(func(w *Tensor) { w.Shape = []int{1 << 32, 1 << 32} })},
		`tensor "o": dimensions: the sum of all sizes is too large`:                                   {nil, huge()},
		`tensor "w": dimensions: a row has 48 values, not a multiple of the 32 in a block of Q8_0`:    {nil, tensor(func(w *Tensor) { w.Type, w.Shape = Q8_0, []int{2, 48} })},
	} {
		var b bytes.Buffer
		err := Write(&b, c.metadata, c.tensors)
		var format *FormatError
		if !errors.As(err, &format) || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %s", err, says)
		}
		if b.Len() > 0 {
			t.Errorf("%s: %d bytes written", says, b.Len())
		}
	}
}

// huge are tensors that fit by themselves.
func huge() []Tensor {
	var all []Tensor
	for i := range 2 {
		all = append(all, Tensor{Name: string(rune('n' + i)), Type: F64, Shape: []int{1 << 57}, Data: func(io.Writer) error { return nil }})
	}
	return all
}

// TestDataFaults are found while tensors are written.
func TestDataFaults(t *testing.T) {
	fails := errors.New("no more rows")
	for says, tensor := range map[string]Tensor{
		`GGUF: tensor "w": data: 4 bytes, F32 [2] needs 8`:                                              FromBytes("w", F32, []int{2}, make([]byte, 4)),
		`GGUF: tensor "w": data: write: 1 bytes more than type and shape need`:                          FromBytes("w", F32, []int{2}, make([]byte, 9)),
		`GGUF: tensor "w": data: write: 3 values, the shape [2 2] has more`:                             FromFloat32s("w", F32, []int{2, 2}, make([]float32, 3)),
		`GGUF: tensor "w": data: write: rows from 0 on: gguf: float32 values cannot be encoded as Q5_1`: FromFloat32s("w", Q5_1, []int{32}, make([]float32, 32)),
		`GGUF: tensor "w": data: write: no more rows`:                                                   FromRows("w", F32, []int{2}, func(int, []float32) error { return fails }),
		`GGUF: tensor "w": data: write: rows from 0 on: gguf: value 1 is 1e+06, which F16 cannot hold`:  FromFloat32s("w", F16, []int{2}, []float32{1, 1e6}),
	} {
		path := filepath.Join(t.TempDir(), "model.gguf")
		err := Create(t.Context(), path, nil, []Tensor{FromBytes("v", F32, []int{1}, make([]byte, 4)), tensor})
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v, want %s", err, says)
		}
		if left, _ := os.ReadDir(filepath.Dir(path)); len(left) > 0 {
			t.Errorf("%s: left %v", says, left)
		}
	}
}

// full is a disk with room for so many bytes.
type full struct{ left int }

func (f *full) Write(p []byte) (int, error) {
	n := min(len(p), f.left)
	if f.left -= n; n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

// TestFullDisk: wherever the disk ends, the caller learns of it.
func TestFullDisk(t *testing.T) {
	f := opened(t, sample())
	metadata, tensors := f.Metadata().Entries(), copies(t, f)
	tensors = append(tensors, FromBytes("large", I8, []int{200_000}, make([]byte, 200_000)))
	size := len(written(t, metadata, tensors))
	for room := 0; room < size; room += 1 + room/50 {
		if err := Write(&full{room}, metadata, tensors); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("room for %d of %d bytes: %v", room, size, err)
		}
	}
	if err := Write(&full{size}, metadata, tensors); err != nil {
		t.Error(err)
	}
}

// TestInterrupted: a file that was there stays, and nothing is left beside it.
func TestInterrupted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	endless := FromRows("w", F32, []int{1 << 30, 1 << 10}, func(first int, dst []float32) error {
		if asked++; asked == 10 {
			cancel()
		}
		return nil
	})
	err := Create(ctx, path, nil, []Tensor{endless})
	if !errors.Is(err, context.Canceled) || asked > 12 {
		t.Errorf("%v after %d pieces", err, asked)
	}
	left, _ := os.ReadDir(filepath.Dir(path))
	if got, _ := os.ReadFile(path); string(got) != "old" || len(left) != 1 {
		t.Errorf("%q in place, %v left", got, left)
	}
	if err := Create(t.Context(), path, nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err != nil {
		t.Error(err)
	}
}

// TestMemoryOfWriting holds the writing of a large model to its buffers.
func TestMemoryOfWriting(t *testing.T) {
	var tensors []Tensor
	for i := range 8 {
		tensors = append(tensors, FromRows(fmt.Sprint(i), Q8_0, []int{4096, 2048}, func(_ int, dst []float32) error {
			dst[0] = 1
			return nil
		}))
	}
	before := allocated()
	if err := Write(io.Discard, nil, tensors); err != nil {
		t.Fatal(err)
	}
	const piece = 1 << 16 * (4 + 2) // values and blocks
	if got := allocated() - before; got > 8*piece+1<<20 {
		t.Errorf("%d bytes allocated for 8 tensors", got)
	}
}

// ExampleCreate writes a model of one matrix in 8 bits.
func ExampleCreate() {
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "model.gguf")
	matrix := make([]float32, 2*32)
	matrix[33] = 127
	metadata := []KV{{Key: "general.architecture", Value: "llama"}, {Key: "llama.block_count", Value: uint32(0)}}
	if err := Create(context.Background(), path, metadata, []Tensor{FromFloat32s("token_embd.weight", Q8_0, []int{2, 32}, matrix)}); err != nil {
		fmt.Println(err)
		return
	}
	f, err := Open(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	row := make([]float32, 32)
	if err := f.ReadRows("token_embd.weight", 1, row); err != nil {
		fmt.Println(err)
	}
	fmt.Println(row[:3])
	// Output: [0 127 0]
}
