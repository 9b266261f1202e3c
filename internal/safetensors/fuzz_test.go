package safetensors

import (
	"bytes"
	"maps"
	"math"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
)

// FuzzOpen opens arbitrary bytes. What is accepted must be consistent, readable
// and survive being written again; whatever it claims, memory stays bounded by
// the size of the input.
func FuzzOpen(f *testing.F) {
	metadata, tensors := sample()
	var good bytes.Buffer
	if err := Write(&good, metadata, tensors); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Add(raw(`{}`, 0))
	f.Add(one(`{"dtype":"BF16","shape":[2,1],"data_offsets":[0,4]}`, 4))
	for _, c := range malformed {
		if len(c.file) < 1<<12 {
			f.Add(c.file)
		}
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		before := allocated()
		file, err := NewFile("fuzz", bytes.NewReader(input), int64(len(input)))
		if err == nil {
			read(t, file, len(input))
		} else if len(err.Error()) > 1000 {
			t.Errorf("error of %d bytes", len(err.Error()))
		}
		if got, most := allocated()-before, uint64(1<<20+96*len(input)); got > most {
			t.Errorf("%d bytes allocated for an input of %d", got, len(input))
		}
		if err == nil {
			rewrite(t, file)
		}
	})
}

// allocated is the number of heap bytes ever allocated, garbage included.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// read reads all tensors in every way.
func read(t *testing.T, file *File, size int) {
	total := int(file.start)
	for _, name := range file.Names() {
		info, ok := file.Info(name)
		if !ok {
			t.Fatalf("%q has no info", name)
		}
		data, err := file.Bytes(name)
		if err != nil {
			t.Fatal(err)
		}
		total += len(data)
		elements := 1
		for _, n := range info.Shape {
			elements *= n
		}
		if elements != info.Elements() || len(data) != elements*info.DType.Size() {
			t.Fatalf("%q: %d bytes for %v", name, len(data), info)
		}
		if floats, err := file.Float32s(name); (err == nil) != info.DType.IsFloat() || err == nil && len(floats) != elements {
			t.Fatalf("%q: floats: %v", name, err)
		}
		if ints, err := file.Ints(name); err == nil && (info.DType.IsFloat() || len(ints) != elements) {
			t.Fatalf("%q: integers of %v", name, info)
		}
	}
	if total != size {
		t.Fatalf("header and tensors have %d bytes, the file %d", total, size)
	}
}

// rewrite writes the file again and compares.
func rewrite(t *testing.T, file *File) {
	var tensors []Tensor
	for _, name := range file.Names() {
		info, _ := file.Info(name)
		data, _ := file.Bytes(name)
		tensors = append(tensors, FromBytes(name, info.DType, info.Shape, data))
	}
	var b bytes.Buffer
	if err := Write(&b, file.Metadata(), tensors); err != nil {
		t.Fatal(err)
	}
	again, err := NewFile("again", bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(file.Metadata(), again.Metadata()) || !slices.Equal(slices.Sorted(slices.Values(file.Names())), slices.Sorted(slices.Values(again.Names()))) {
		t.Fatal("names or metadata changed")
	}
	for _, name := range file.Names() {
		a, _ := file.Bytes(name)
		b, err := again.Bytes(name)
		if err != nil || !bytes.Equal(a, b) {
			t.Fatalf("%q changed: %v", name, err)
		}
	}
}

// TestMemoryOfHostileHeaders measures headers made to cost the most memory a
// byte.
func TestMemoryOfHostileHeaders(t *testing.T) {
	var keys, entries strings.Builder
	keys.WriteString(`{"__metadata__":{"0":""`)
	entries.WriteString(`{"0":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`)
	for i := 1; i < 30_000; i++ {
		id := string(rune(0x4e00 + i%20_000))
		if i >= 20_000 {
			id += "x"
		}
		keys.WriteString(`,"` + id + `":""`)
		entries.WriteString(`,"` + id + `":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`)
	}
	for name, header := range map[string]string{"metadata": keys.String() + "}}", "entries": entries.String() + "}"} {
		input := raw(header, 0)
		var before, kept runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		file, err := NewFile("hostile", bytes.NewReader(input), int64(len(input)))
		if err != nil {
			t.Fatal(err)
		}
		total := allocated() - before.TotalAlloc
		runtime.GC()
		runtime.ReadMemStats(&kept)
		perByte := float64(total) / float64(len(input))
		held := math.Max(0, float64(kept.HeapAlloc)-float64(before.HeapAlloc)) / float64(len(input))
		t.Logf("%s: %d bytes; allocated %.1f times, kept %.1f times that", name, len(input), perByte, held)
		if perByte > 96 || held > 16 {
			t.Errorf("%s: memory of %.1f times the file, %.1f times kept", name, perByte, held)
		}
		runtime.KeepAlive(file)
	}
}
