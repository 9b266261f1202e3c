package gguf

import (
	"bytes"
	"io"
	"math"
	"runtime"
	"runtime/metrics"
	"testing"
)

// mostAllocated is what parsing may allocate for a file of so many bytes,
// garbage included.
func mostAllocated(size int) uint64 { return 4*uint64(size) + 1<<20 }

// FuzzOpen opens arbitrary bytes, and reads and writes all that is accepted.
// Memory of opening stays bounded by the size of the input, whatever it claims.
func FuzzOpen(f *testing.F) {
	f.Add(sample())
	f.Add(head(0, 0))
	f.Add(one(32, desc("w", F32, 0, 8)))
	f.Add(withData(64+18, head(2, 1), entry("general.alignment", tUint32, u32(16)), desc("b", TQ2_0, 0, 256), desc("a", Q4_0, 80, 32)))
	for _, c := range malformed {
		if len(c.file) < 1<<12 {
			f.Add(c.file)
		}
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		var file *File
		var err error
		least := uint64(math.MaxUint64) // of some tries: what the fuzzer itself allocates meanwhile counts too
		for try := 0; try < 5 && least > mostAllocated(len(input)); try++ {
			before := allocated()
			file, err = NewFile("fuzz", bytes.NewReader(input), int64(len(input)))
			least = min(least, allocated()-before)
		}
		if least > mostAllocated(len(input)) {
			t.Errorf("%d bytes allocated for an input of %d", least, len(input))
		}
		if err != nil {
			if len(err.Error()) > 1200 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
			return
		}
		readAll(t, file, len(input))
		rewrite(t, file)
	})
}

// rewrite writes an accepted file, unless names are too long for that, and
// wants it to be accepted, and written again with the same bytes.
func rewrite(t *testing.T, file *File) {
	for _, info := range file.Tensors() {
		if len(info.Name) > maxWrittenName {
			return
		}
	}
	once := written(t, file.Metadata().Entries(), copies(t, file))
	again := opened(t, once)
	if !bytes.Equal(written(t, again.Metadata().Entries(), copies(t, again)), once) {
		t.Fatal("a file that was written and read is written with other bytes")
	}
	for _, info := range file.Tensors() {
		before, err := file.Bytes(info.Name)
		after, errAfter := again.Bytes(info.Name)
		if err != nil || errAfter != nil || !bytes.Equal(before, after) {
			t.Fatalf("%q: other bytes after writing: %v, %v", info.Name, err, errAfter)
		}
	}
}

// allocated is the number of heap bytes ever allocated, garbage included.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// readAll reads an accepted file in every way.
func readAll(t *testing.T, file *File, size int) {
	for _, e := range file.Metadata().Entries() {
		if !file.Metadata().Has(e.Key) {
			t.Fatalf("key %q is not found", e.Key)
		}
		file.Metadata().Int(e.Key)
		file.Metadata().Ints(e.Key)
		file.Metadata().Float(e.Key)
	}
	total := int64(0)
	for _, info := range file.Tensors() {
		if again, ok := file.Info(info.Name); !ok || again.Offset != info.Offset {
			t.Fatalf("tensor %q is not found", info.Name)
		}
		data, err := file.Bytes(info.Name)
		if err != nil || len(data)*info.Type.BlockSize() != info.Elements()*info.Type.BlockBytes() {
			t.Fatalf("%q: %d bytes for %v: %v", info.Name, len(data), info, err)
		}
		total += info.Bytes
		values, err := file.Float32s(info.Name)
		if (err == nil) != info.Type.IsFloat() || err == nil && len(values) != info.Elements() {
			t.Fatalf("%q: %d values: %v", info.Name, len(values), err)
		}
		if err != nil {
			continue
		}
		row := make([]float32, info.RowLength())
		if err := file.ReadRows(info.Name, info.Rows()-1, row); err != nil {
			t.Fatal(err)
		}
		if !sameBits(row, values[len(values)-len(row):]) {
			t.Fatalf("%q: the last row differs", info.Name)
		}
	}
	if total > int64(size) {
		t.Fatalf("tensors of %d bytes in a file of %d", total, size)
	}
}

// hostile are large files made to cost the most memory a byte.
func hostile() map[string][]byte {
	name := func(i int) string { // short and unlike the others
		b := []byte{}
		for i++; i > 0; i /= 127 {
			b = append(b, byte(i%127))
		}
		return string(b)
	}
	const n = 60_000
	keys, strings, tensors := head(0, n), head(0, n), head(n, 0)
	deep := head(n, 0)
	for i := range n {
		keys = append(keys, entry(name(i), tUint8, []byte{byte(i)})...)
		strings = append(strings, array(name(i), tString, 0)...)
		tensors = append(tensors, desc(name(i), I8, uint64(8*i), 1)...)
		deep = append(deep, desc(name(i), F64, uint64(32*i), 1, 1, 1, 1)...)
	}
	cut := cat(head(0, 1), array("k", tString, n*100, make([]byte, n*800-8), u64(1))) // the last string is missing
	return map[string][]byte{
		"keys": keys, "empty arrays": strings, "tensors": tensors, "tensors of rank 4": deep,
		"empty strings": cat(head(0, 1), array("k", tString, n*100, make([]byte, n*800))), "strings cut": cut,
		"one string":   cat(head(0, 1), entry("k", tString, text(string(make([]byte, 8<<20))))),
		"byte array":   cat(head(0, 1), array("k", tUint8, 8<<20, make([]byte, 8<<20))),
		"lying keys":   append(head(0, 60_000), make([]byte, 60_000*minKV)...),
		"lying both":   append(head(500_000, 60_000), cat(entry("k", tString, text(string(make([]byte, 500_000*minTensor)))), make([]byte, 60_000*minKV))...),
		"lying tensor": append(head(500_000, 1), cat(entry("k", tUint8, []byte{1}), make([]byte, 500_000*minTensor))...),
	}
}

// TestMemoryOfHostileFiles measures what parsing allocates in all.
func TestMemoryOfHostileFiles(t *testing.T) {
	for name, file := range hostile() {
		t.Run(name, func(t *testing.T) {
			runtime.GC()
			before := allocated()
			_, err := NewFile("hostile", bytes.NewReader(file), int64(len(file)))
			got := allocated() - before
			t.Logf("%d bytes: allocated %.2f times that; %v", len(file), float64(got)/float64(len(file)), err)
			if got > mostAllocated(len(file)) {
				t.Errorf("%d bytes allocated for a file of %d", got, len(file))
			}
		})
	}
}

// TestMemoryOfReading holds the reading of a large tensor by rows to its
// buffer.
func TestMemoryOfReading(t *testing.T) {
	const rows, columns = 4096, 4096
	size := int64(rows * columns / 256 * 144)
	header := cat(head(1, 0), desc("w", Q4_K, 0, columns, rows))
	header = append(header, make([]byte, (32-len(header)%32)%32)...)
	src := io.NewSectionReader(zeros(header), 0, math.MaxInt64)
	f, err := NewFile("large", src, int64(len(header))+size)
	if err != nil {
		t.Fatal(err)
	}
	row := make([]float32, 64*columns)
	before := allocated()
	reads := 0
	for first := 0; first < rows; first += 64 {
		if err := f.ReadRows("w", first, row); err != nil {
			t.Fatal(err)
		}
		reads++
	}
	if got := allocated() - before; got > uint64(reads)*(1<<16+4096) {
		t.Errorf("%d bytes allocated by %d reads", got, reads)
	}
}

// zeros is an endless file of zeros behind some bytes.
type zeros []byte

func (z zeros) ReadAt(b []byte, offset int64) (int, error) {
	clear(b)
	if offset < int64(len(z)) {
		copy(b, z[offset:])
	}
	return len(b), nil
}
