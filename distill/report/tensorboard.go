package report

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/internal/atomicfile"
)

// WriteTensorBoard writes the logged steps and selection scores of runs as scalars for TensorBoard: an event file for each run, in
// a folder of its own below dir, with tags such as Stage-3/loss. What it wrote into a folder before is replaced. Errors about input
// wrap [distill.ErrInput].
func WriteTensorBoard(dir string, runDirs ...string) error {
	runs := make([]*Run, len(runDirs))
	for i, path := range runDirs {
		var err error
		if runs[i], err = Read(path); err != nil {
			return err
		}
	}
	for i, name := range folders(runs) {
		began, err := os.Stat(runs[i].path("config.json"))
		if err != nil {
			return inputError{err}
		}
		if err := os.MkdirAll(filepath.Join(dir, name), 0o777); err != nil {
			return inputError{err}
		}
		path := filepath.Join(dir, name, eventFile)
		err = atomicfile.WriteFile(path, func(w io.Writer) error { return runs[i].events(w, began.ModTime()) })
		if err != nil {
			return err
		}
	}
	return nil
}

// eventFile always has the same name, so that it replaces the one before. TensorBoard reads files with tfevents in their name.
const eventFile = "events.out.tfevents.bitdistill"

// folders are different names for the runs' folders: the base name, or of all but the first run of that name a number behind it.
func folders(runs []*Run) []string {
	reserved := map[string]bool{} // the base names, which no numbered name may be
	for _, r := range runs {
		reserved[r.name()] = true
	}
	taken := map[string]bool{}
	names := make([]string, len(runs))
	for i, r := range runs {
		names[i] = r.name()
		for n := 2; taken[names[i]]; n++ {
			if numbered := fmt.Sprintf("%s-%d", r.name(), n); !reserved[numbered] {
				names[i] = numbered
			}
		}
		taken[names[i]] = true
	}
	return names
}

// events writes the records of a run that began at a time. The log has seconds from the start of each training.
func (r *Run) events(w io.Writer, began time.Time) error {
	start := float64(began.UnixMilli()) / 1000
	if err := writeRecord(w, fileVersion(start)); err != nil {
		return err
	}
	at := map[string]float64{} // time of the last step of a stage, for the evaluation behind it
	for _, s := range r.Metrics.Steps {
		at[s.Stage] = start + s.Seconds
		if err := writeRecord(w, scalarEvent(at[s.Stage], s.Step, stepScalars(s))); err != nil {
			return err
		}
	}
	for _, s := range r.Metrics.Selections {
		if err := writeRecord(w, scalarEvent(at[s.Stage], s.Step, []scalar{{s.Stage + "/selection score", s.Score}})); err != nil {
			return err
		}
	}
	return nil
}

type scalar struct {
	tag   string
	value float64
}

func stepScalars(s distill.Step) []scalar {
	all := []scalar{{"loss", s.Loss}, {"learning rate", s.LearningRate}, {"gradient norm", s.GradientNorm}, {"tokens per second", s.TokensPerS}}
	if s.Stage == distill.Stage3Label {
		all = append(all, scalar{"CE", s.CE}, scalar{"LD", s.LD}, scalar{"AD", s.AD})
	}
	for i := range all {
		all[i].tag = s.Stage + "/" + all[i].tag
	}
	return all
}

// Messages of TensorFlow's event.proto and summary.proto: Event{1 wall_time, 2 step, 3 file_version, 5 summary},
// Summary{1 value}, Value{1 tag, 2 simple_value}.

func fileVersion(seconds float64) []byte {
	return appendBytes(appendDouble(nil, 1, seconds), 3, []byte("brain.Event:2"))
}

func scalarEvent(seconds float64, step int, scalars []scalar) []byte {
	var summary []byte
	for _, s := range scalars {
		value := appendBytes(nil, 1, []byte(s.tag))
		value = binary.LittleEndian.AppendUint32(append(value, 2<<3|5), math.Float32bits(float32(s.value)))
		summary = appendBytes(summary, 1, value)
	}
	event := append(appendDouble(nil, 1, seconds), 2<<3)
	event = binary.AppendUvarint(event, uint64(step))
	return appendBytes(event, 5, summary)
}

func appendDouble(to []byte, field byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(append(to, field<<3|1), math.Float64bits(v))
}

func appendBytes(to []byte, field byte, v []byte) []byte {
	return append(binary.AppendUvarint(append(to, field<<3|2), uint64(len(v))), v...)
}

// writeRecord frames a message as TensorFlow's record_writer does: length, its checksum, the message, its checksum.
func writeRecord(w io.Writer, message []byte) error {
	var b bytes.Buffer
	length := binary.LittleEndian.AppendUint64(nil, uint64(len(message)))
	b.Write(length)
	b.Write(binary.LittleEndian.AppendUint32(nil, maskedCRC(length)))
	b.Write(message)
	b.Write(binary.LittleEndian.AppendUint32(nil, maskedCRC(message)))
	_, err := w.Write(b.Bytes())
	return err
}

// maskedCRC is a CRC-32C, rotated and shifted such that a checksum of data with checksums in them stays a good one.
func maskedCRC(data []byte) uint32 {
	c := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
	return (c>>15 | c<<17) + 0xa282ead8
}
