package distill

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/bitdistill/bitdistill/internal/atomicfile"
)

// metrics is a file of JSON objects, one a line, about what happened in which stage at which step.
type metrics struct {
	path string
	file *os.File
}

// openMetrics opens the file for appending. A line that a killed process left unfinished is cut off.
func openMetrics(path string) (*metrics, error) {
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	whole := bytes.LastIndexByte(raw, '\n') + 1
	m := &metrics{path: path}
	if err := m.reopen(); err != nil {
		return nil, err
	}
	return m, m.file.Truncate(int64(whole))
}

func (m *metrics) reopen() (err error) {
	m.file, err = os.OpenFile(m.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o666)
	return err
}

// write appends an object. Of a line that does not fit on the disk nothing stays.
func (m *metrics) write(object any) error {
	line, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	size, err := m.file.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if _, err := m.file.Write(append(line, '\n')); err != nil {
		return errors.Join(fmt.Errorf("metrics: %w", err), m.file.Truncate(size))
	}
	return nil
}

// forget takes out what was written about a stage after a step: a training that goes on from a checkpoint comes to those
// steps again.
func (m *metrics) forget(stage string, after int) error {
	raw, err := os.ReadFile(m.path)
	if err != nil {
		return err
	}
	void := func(line []byte) bool {
		var at struct {
			Stage string `json:"stage"`
			Step  int    `json:"step"`
		}
		return json.Unmarshal(line, &at) == nil && at.Stage == stage && at.Step > after
	}
	var kept []byte
	for line := range bytes.Lines(raw) {
		if !void(line) {
			kept = append(kept, line...)
		}
	}
	if len(kept) == len(raw) {
		return nil
	}
	if err := m.file.Close(); err != nil {
		return err
	}
	err = atomicfile.WriteFile(m.path, func(w io.Writer) error {
		_, err := w.Write(kept)
		return err
	})
	return errors.Join(err, m.reopen())
}

func (m *metrics) Close() error { return m.file.Close() }
