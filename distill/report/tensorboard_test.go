package report

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/bitdistill/bitdistill/distill"
)

// The check value of CRC-32C, with the mask taken off.
func TestMaskedChecksum(t *testing.T) {
	if c := bits.RotateLeft32(maskedCRC([]byte("123456789"))-0xa282ead8, 15); c != 0xe3069283 {
		t.Errorf("CRC-32C of 123456789 is %#x, want 0xe3069283", c)
	}
}

func TestTensorBoard(t *testing.T) {
	a, b, dir := run(t), run(t), t.TempDir()
	check(t, WriteTensorBoard(dir, a, b))
	later := time.Now().Add(time.Hour)
	check(t, os.Chtimes(filepath.Join(a, "config.json"), later, later)) // as after a resumed run
	check(t, WriteTensorBoard(dir, a, b))                               // in place of the first
	files, err := filepath.Glob(filepath.Join(dir, "run*", "events.out.tfevents.*"))
	check(t, err)
	if len(files) != 2 {
		t.Fatalf("files %q, want one for each run", files)
	}
	raw, err := os.ReadFile(files[0])
	check(t, err)
	records := decodeRecords(t, raw)
	if v := fields(t, records[0])[3]; len(v) != 1 || string(v[0]) != "brain.Event:2" {
		t.Errorf("the first event has version %q", v)
	}
	got := map[string]map[int]float32{}
	for _, record := range records[1:] {
		event := fields(t, record)
		step, _ := binary.Uvarint(event[2][0])
		if wall := math.Float64frombits(binary.LittleEndian.Uint64(event[1][0])); wall < 1e9 || wall > 1e10 {
			t.Errorf("step %d at %g seconds", step, wall)
		}
		for _, value := range fields(t, event[5][0])[1] {
			v := fields(t, value)
			tag := string(v[1][0])
			if got[tag] == nil {
				got[tag] = map[int]float32{}
			}
			got[tag][int(step)] = math.Float32frombits(binary.LittleEndian.Uint32(v[2][0]))
		}
	}
	metrics, err := distill.ReadMetrics(a)
	check(t, err)
	for _, s := range metrics.Steps {
		if got[s.Stage+"/loss"][s.Step] != float32(s.Loss) || got[s.Stage+"/learning rate"][s.Step] != float32(s.LearningRate) {
			t.Errorf("%s, step %d: loss %g, want %g", s.Stage, s.Step, got[s.Stage+"/loss"][s.Step], s.Loss)
		}
		if s.Stage == distill.Stage3Label && got["Stage-3/AD"][s.Step] != float32(s.AD) {
			t.Errorf("step %d: AD %g, want %g", s.Step, got["Stage-3/AD"][s.Step], s.AD)
		}
	}
	if len(metrics.Selections) == 0 || len(got["BitNet-SFT/selection score"]) != 2 {
		t.Errorf("selection scores %v", got["BitNet-SFT/selection score"])
	}
	if err := WriteTensorBoard(dir, dir); !errors.Is(err, distill.ErrInput) {
		t.Errorf("of no run: error %v", err)
	}
	if err := WriteTensorBoard(files[0], a); !errors.Is(err, distill.ErrInput) {
		t.Errorf("into a file: error %v", err)
	}
}

// No two runs share a folder, whatever their names.
func TestFoldersOfRuns(t *testing.T) {
	for _, c := range []struct{ dirs, want []string }{
		{[]string{"/a/run", "/b/run-2", "/c/run"}, []string{"run", "run-2", "run-3"}},
		{[]string{"/a/run", "/b/run", "/c/run-2", "/d/run"}, []string{"run", "run-3", "run-2", "run-4"}},
		{[]string{"/a/x", "/b/y"}, []string{"x", "y"}},
	} {
		var runs []*Run
		for _, dir := range c.dirs {
			runs = append(runs, &Run{Dir: dir})
		}
		if got := folders(runs); !slices.Equal(got, c.want) {
			t.Errorf("%q: folders %q, want %q", c.dirs, got, c.want)
		}
	}
}

// decodeRecords reads frames, with checksums computed bit by bit.
func decodeRecords(t *testing.T, raw []byte) [][]byte {
	t.Helper()
	crc := func(data []byte) uint32 {
		c := ^uint32(0)
		for _, x := range data {
			c ^= uint32(x)
			for range 8 {
				c = c>>1 ^ 0x82f63b78*(c&1)
			}
		}
		return bits.RotateLeft32(^c, -15) + 0xa282ead8
	}
	var records [][]byte
	for len(raw) > 0 {
		n := int(binary.LittleEndian.Uint64(raw))
		if binary.LittleEndian.Uint32(raw[8:]) != crc(raw[:8]) || binary.LittleEndian.Uint32(raw[12+n:]) != crc(raw[12:12+n]) {
			t.Fatalf("record %d has a wrong checksum", len(records))
		}
		records = append(records, raw[12:12+n])
		raw = raw[16+n:]
	}
	return records
}

// fields takes a protocol buffer apart: by number, the bytes of each value.
func fields(t *testing.T, message []byte) map[int][][]byte {
	t.Helper()
	all := map[int][][]byte{}
	for len(message) > 0 {
		key, n := binary.Uvarint(message)
		message = message[n:]
		size, head := 0, 0
		switch key & 7 {
		case 0:
			_, size = binary.Uvarint(message)
		case 1:
			size = 8
		case 2:
			length, n := binary.Uvarint(message)
			size, head = int(length), n
		case 5:
			size = 4
		default:
			t.Fatalf("wire type %d", key&7)
		}
		all[int(key>>3)] = append(all[int(key>>3)], message[head:head+size])
		message = message[head+size:]
	}
	return all
}
