package distill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/bitnet/native"
	"github.com/bitdistill/bitdistill/bitnet/packed"
)

// ExportOptions say how [Export] writes.
type ExportOptions struct {
	Embeddings gguf.Type // of the embedding and of the head: F32 (the zero value), F16, Q8_0 or Q4_0
	Task       string    // what the model is for, as [OpenTask] takes it; "" is the task of the run that it comes from, if any
	Force      bool      // replaces a file that is there
}

// Exported is what [Export] wrote.
type Exported struct {
	Path       string  `json:"path"`
	Tensors    int     `json:"tensors"`
	Bytes      int64   `json:"bytes"`
	LinearBits float64 `json:"linear_bits"` // bits a weight of the linears, scales and filling included
	Embeddings string  `json:"embeddings"`  // their type
	Task       string  `json:"task,omitempty"`
	Seconds    float64 `json:"seconds"`
}

// Provenance says how an exported model came to be, as far as its folder and the run around it tell.
type Provenance struct {
	Base     string   `json:"base,omitempty"`     // the model that it was made from, as it was named
	Training *Summary `json:"training,omitempty"` // of its last stage
	Results  *Row     `json:"results,omitempty"`  // on the task's held-out data
	Stage2   *Stage2  `json:"stage2,omitempty"`
	Settings *Config  `json:"settings,omitempty"` // of the run
}

// Export writes a ternary model as the project's own file (docs/gguf.md), which appears whole or not at all. name is a folder in Hugging Face
// form, or a run folder, which means its student. The linears are quantized as pure Go quantizes them in training, see [packed.Quantize]. The
// same model gives the same bytes. When ctx ends nothing is left; what the caller can mend wraps [ErrInput].
func Export(ctx context.Context, name, path string, o ExportOptions) (*Exported, error) {
	began := time.Now()
	if err := checkExportPath(path, o.Force); err != nil {
		return nil, err
	}
	if name == Embedded || name == EmbeddedTeacher {
		return nil, fullPrecision(name)
	}
	dir, run, err := locate(name)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, wrongInput("%s: no such folder; name that of a ternary model, or of a run", name)
	}
	m, weights, err := files.Open(dir)
	if err != nil {
		return nil, inputError{err}
	}
	defer weights.Close()
	e := &exporter{result: Exported{Path: path, Embeddings: o.Embeddings.String()}, model: m, options: native.Options{Embeddings: o.Embeddings}}
	if err := e.check(name); err != nil {
		return nil, err
	}
	if err := e.describe(dir, run, o.Task); err != nil {
		return nil, err
	}
	e.options.Pack = e.pack
	err = native.Create(ctx, path, m, func(t arch.Tensor, first int, dst []float32) error {
		if err := weights.ReadRows(t, first, dst); err != nil {
			return inputError{err}
		}
		return nil
	}, e.options)
	if err != nil {
		return nil, err
	}
	return e.done(began)
}

// checkExportPath refuses what could not be written in the end.
func checkExportPath(path string, force bool) error {
	if info, err := os.Stat(filepath.Dir(path)); err != nil {
		return inputError{fmt.Errorf("%s: %w; make the folder first", path, err)}
	} else if !info.IsDir() {
		return wrongInput("%s: %s is not a folder", path, filepath.Dir(path))
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return inputError{err}
	case !info.Mode().IsRegular():
		return wrongInput("%s: is there and is no file; name another one", path)
	case !force:
		return wrongInput("%s: is there already; name another file, or replace it with --force", path)
	}
	return nil
}

func fullPrecision(name string) error {
	return wrongInput("%s: is in full precision, and packing would make noise of it; bitdistill run --model %s makes a ternary model of it for a task, whose run folder export takes", name, name)
}

// exporter is one export.
type exporter struct {
	result  Exported
	model   *files.Model
	options native.Options

	weights, bytes int // of the linears
}

// check refuses a model that cannot be stored as it is wanted.
func (e *exporter) check(name string) error {
	c := e.model.Config
	if !c.Quantization.IsTernary() {
		return fullPrecision(name)
	}
	if block := e.options.Embeddings.BlockSize(); c.HiddenSize%block != 0 {
		return wrongInput("%s: hidden_size is %d, and embeddings in %s are runs of %d values; take f32 or f16", name, c.HiddenSize, e.options.Embeddings, block)
	}
	if e.model.Tokenizer == nil {
		return wrongInput("%s: no tokenizer.json", name)
	}
	return nil
}

// describe gathers what the file says besides the model: its task and where it comes from.
func (e *exporter) describe(dir string, run *Config, task string) error {
	var p Provenance
	if run != nil {
		p.Base, p.Settings = run.Model, run
		e.options.Name = filepath.Base(run.Model)
		if task == "" {
			task = run.Task.Name
		}
		if err := p.measured(dir); err != nil {
			return err
		}
	}
	var s Summary
	if found, err := readIfThere(filepath.Join(dir, trainingFile), &s); err != nil {
		return err
	} else if found {
		p.Training = &s
	}
	var err error
	if p != (Provenance{}) {
		if e.options.Provenance, err = json.Marshal(p); err != nil {
			return err
		}
	}
	if task == "" {
		return nil
	}
	t, err := OpenTask(task)
	if err != nil {
		return fmt.Errorf("%w; --task names it where it is now", err)
	}
	e.result.Task = t.Name
	e.options.Task, err = json.Marshal(t)
	return err
}

// measured takes from the results of the run around a folder those that are the model's.
func (p *Provenance) measured(dir string) error {
	label := map[string]string{StudentDir: StudentLabel, BitNetDir: BitNetLabel}[filepath.Base(dir)]
	var all Results
	if found, err := readIfThere(filepath.Join(filepath.Dir(filepath.Clean(dir)), resultsFile), &all); !found || err != nil {
		return err
	}
	for _, row := range all.Rows {
		if row.Name == label {
			p.Results = &row
		}
	}
	if label == StudentLabel {
		p.Stage2 = all.Stage2
	}
	return nil
}

// readIfThere reads a JSON file that need not be there.
func readIfThere(path string, v any) (found bool, err error) {
	err = readJSON(path, v)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, inputError{err}
	}
	return true, nil
}

// pack quantizes a linear, and counts it.
func (e *exporter) pack(t arch.Tensor, weights []float32) (native.Matrix, error) {
	m, err := packed.QuantizeAs(weights, t.Dims[0], t.Dims[1], e.model.Config.Quantization)
	if err != nil {
		return nil, inputError{err}
	}
	e.weights += t.Size()
	e.bytes += len(m.Bytes()) + 4*len(m.Scales())
	return m, nil
}

// done opens what was written, and measures it.
func (e *exporter) done(began time.Time) (*Exported, error) {
	f, err := native.Open(e.result.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := os.Stat(e.result.Path)
	if err != nil {
		return nil, err
	}
	r := &e.result
	r.Tensors, r.Bytes, r.LinearBits = f.Len(), info.Size(), 8*float64(e.bytes)/float64(e.weights)
	r.Seconds = time.Since(began).Seconds()
	return r, nil
}

// String is one line.
func (x *Exported) String() string {
	task := "no task"
	if x.Task != "" {
		task = "task " + x.Task
	}
	return fmt.Sprintf("%s: %d tensors, %s; linears in %.3f bits a weight, embeddings in %s, %s; %.2f s",
		x.Path, x.Tensors, formatBytes(x.Bytes), x.LinearBits, x.Embeddings, task, x.Seconds)
}
