package distill

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/bitnet/native"
	"github.com/bitdistill/bitdistill/bitnet/packed"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/embedded"
	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// exported writes a model and opens what was written.
func exported(t *testing.T, name, path string, o ExportOptions) (*native.File, *Exported) {
	t.Helper()
	x, err := Export(t.Context(), name, path, o)
	if err != nil {
		t.Fatal(err)
	}
	f, err := native.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if info, err := os.Stat(path); err != nil || info.Size() != x.Bytes || x.Tensors != f.Len() || x.Seconds <= 0 || x.Path != path {
		t.Errorf("%+v, %v", x, err)
	}
	return f, x
}

// sameModel compares a file with embeddings in F32 with the model: codes and scales are those of the graph, all else the folder's bits.
// It returns the bits a weight of the linears.
func sameModel(t *testing.T, f *native.File, m *hf.Model) float64 {
	t.Helper()
	if !reflect.DeepEqual(f.Config, m.Config) || f.Tokenizer.Hash() != m.Tokenizer.Hash() {
		t.Errorf("came back as %+v, want %+v", f.Config, m.Config)
	}
	q := m.Config.Quantization
	pure, err := backend.Open(backend.Go)
	if err != nil {
		t.Fatal(err)
	}
	defer pure.Close()
	exec := graph.MustNewExec(pure.Backend, func(w *graph.Node) (codes, scale *graph.Node) { return bitnet.QuantizeWeightsAs(w, q) })
	all := weights(t, m.Config, m.Store)
	got, want := map[string][]float32{}, map[string][]float32{}
	stored, count := int64(0), 0
	for _, tensor := range m.Config.Tensors() {
		w := all[tensor.Name]
		if tensor.Kind != arch.Linear {
			got[tensor.Name], want[tensor.Name] = make([]float32, len(w)), w
			if err := f.ReadRows(tensor, 0, got[tensor.Name]); err != nil {
				t.Error(err)
			}
			continue
		}
		outs := exec.MustCall(tensors.FromFlatDataAndDimensions(w, tensor.Dims...))
		codes, scales := tensors.MustCopyFlatData[float32](outs[0]), tensors.MustCopyFlatData[float32](outs[1])
		if q.Weights == bitnet.Block || q.Weights == bitnet.BlockPadded { // repeated for all values there
			var firsts []float32
			for i := 0; i < len(scales); i += bitnet.BlockSize {
				firsts = append(firsts, scales[i])
			}
			scales = firsts
		}
		panels, err := f.Bytes(tensor)
		exact, errScales := f.Scales(tensor)
		if err := errors.Join(err, errScales); err != nil {
			t.Fatal(err)
		}
		packed, err := packed.FromPanels(panels, tensor.Dims[0], tensor.Dims[1], packed.Scaling(q.Weights), exact)
		if err == nil {
			err = packed.Check()
		}
		if err != nil {
			t.Fatalf("%s: %v", tensor.Name, err)
		}
		for _, c := range packed.Codes(nil) {
			got[tensor.Name] = append(got[tensor.Name], float32(c))
		}
		for i, c := range codes {
			codes[i] = c + 0 // -0 is 0
		}
		want[tensor.Name] = codes
		got["scales of "+tensor.Name], want["scales of "+tensor.Name] = exact, scales
		stored, count = stored+int64(len(panels)+4*len(exact)), count+len(w)
	}
	sameBits(t, string(q.Weights), got, want)
	return 8 * float64(stored) / float64(count)
}

// checkExport exports the student of a run and its ternary baseline.
func checkExport(t *testing.T, r *Run, results *Results) {
	t.Helper()
	for row, dir := range map[int]string{1: BitNetDir, 2: StudentDir} {
		m, _, summary := loaded(t, r, dir)
		name := r.path(dir)
		if dir == StudentDir {
			name = r.dir // the same
		}
		out := t.TempDir()
		f, x := exported(t, name, filepath.Join(out, "a.gguf"), ExportOptions{Embeddings: gguf.F32})
		if bits := sameModel(t, f, m); x.LinearBits != bits || x.Task != embedded.Task().Name {
			t.Errorf("%s: %+v, want %g bits", dir, x, bits)
		}
		exported(t, r.path(dir), filepath.Join(out, "b.gguf"), ExportOptions{Embeddings: gguf.F32})
		a, errA := os.ReadFile(filepath.Join(out, "a.gguf"))
		b, errB := os.ReadFile(filepath.Join(out, "b.gguf"))
		if errA != nil || errB != nil || !slices.Equal(a, b) {
			t.Errorf("%s: a second export has other bytes (%v, %v)", dir, errA, errB)
		}
		var task data.Task
		var p Provenance
		if err := errors.Join(json.Unmarshal(f.Task, &task), json.Unmarshal(f.Provenance, &p)); err != nil {
			t.Fatal(err)
		}
		if want := embedded.Task(); task.Prompt != want.Prompt || len(task.Labels) != 2 || task.Labels[1].Answer != want.Labels[1].Answer {
			t.Errorf("%s: task %s", dir, f.Task)
		}
		if p.Base != Embedded || p.Training.Stage != summary.Stage || p.Settings.Stage3.Steps != r.Config.Stage3.Steps || *p.Results != results.Rows[row] || (p.Stage2 != nil) != (dir == StudentDir) {
			t.Errorf("%s: provenance %s", dir, f.Provenance)
		}
	}
	_, err := Export(t.Context(), r.path(TeacherDir), filepath.Join(t.TempDir(), "x.gguf"), ExportOptions{})
	wrong(t, err, TeacherDir, "full precision")
}

// savedStudent is the folder of a ternary model that no run made.
func savedStudent(t *testing.T, q bitnet.Quantization) (dir string, m *hf.Model) {
	t.Helper()
	cfg := tinyConfig()
	cfg.Quantization = q
	m, dir = randomModel(t, cfg, 7), filepath.Join(t.TempDir(), "model")
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	return dir, m
}

// TestExportQuantizers goes through all of them, with rounded scales and without.
func TestExportQuantizers(t *testing.T) {
	for _, kind := range []bitnet.Weights{bitnet.AbsMean, bitnet.Channel, bitnet.Block, bitnet.BlockPadded} {
		for _, rounded := range []bool{false, true} {
			q := bitnet.Ternary(bitnet.SubLNAll)
			q.Weights, q.FP16Scales = kind, rounded
			dir, m := savedStudent(t, q)
			f, x := exported(t, dir, filepath.Join(t.TempDir(), "model.gguf"), ExportOptions{Embeddings: gguf.F32})
			if bits := sameModel(t, f, m); x.LinearBits != bits || x.Task != "" || f.Task != nil || f.Provenance != nil {
				t.Errorf("%+v, want %g bits and no task", x, bits)
			}
		}
	}
}

func TestExportRefuses(t *testing.T) {
	student, m := savedStudent(t, bitnet.Ternary(bitnet.SubLNNone))
	full, _ := savedStudent(t, bitnet.Full())
	there := filepath.Join(t.TempDir(), "there.gguf")
	if err := os.WriteFile(there, []byte("precious"), 0o666); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	path := filepath.Join(out, "model.gguf")
	for name, c := range map[string]struct {
		model, path string
		o           ExportOptions
		words       []string
	}{
		"full precision":    {full, path, ExportOptions{}, []string{full, "full precision", "bitdistill run --model"}},
		"embedded":          {Embedded, path, ExportOptions{}, []string{"full precision", "run --model embedded"}},
		"teacher":           {EmbeddedTeacher, path, ExportOptions{}, []string{"full precision"}},
		"no model":          {filepath.Join(out, "nothing"), path, ExportOptions{}, []string{"no such folder"}},
		"there":             {student, there, ExportOptions{}, []string{there, "already", "--force"}},
		"a folder":          {student, out, ExportOptions{Force: true}, []string{out, "no file"}},
		"no folder":         {student, filepath.Join(out, "no", "x.gguf"), ExportOptions{}, []string{"x.gguf", "make the folder"}},
		"file for a folder": {student, filepath.Join(there, "x.gguf"), ExportOptions{}, []string{"there.gguf", "not a folder"}},
		"narrow embedding":  {student, path, ExportOptions{Embeddings: gguf.Q8_0}, []string{"hidden_size is 16", "32", "f16"}},
		"task":              {student, path, ExportOptions{Task: "nothing.json"}, []string{"nothing.json", "--task"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Export(t.Context(), c.model, c.path, c.o)
			wrong(t, err, c.words...)
		})
	}
	if left := folders(t, out); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if content, err := os.ReadFile(there); err != nil || string(content) != "precious" {
		t.Errorf("the file that was there: %q, %v", content, err)
	}
	f, x := exported(t, student, there, ExportOptions{Force: true, Task: "sst2", Embeddings: gguf.F32})
	if sameModel(t, f, m); x.Task != "sst2" {
		t.Errorf("%+v", x)
	}
}

// TestExportBadWeights: a value that is not finite is the model's fault, found while writing.
func TestExportBadWeights(t *testing.T) {
	dir, _ := savedStudent(t, bitnet.Ternary(bitnet.SubLNNone))
	weights := filepath.Join(dir, "model.safetensors")
	content, err := os.ReadFile(weights)
	if err != nil {
		t.Fatal(err)
	}
	copy(content[len(content)-4:], []byte{0, 0, 0xc0, 0x7f})
	if err := os.WriteFile(weights, content, 0o666); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	_, err = Export(t.Context(), dir, filepath.Join(out, "x.gguf"), ExportOptions{})
	wrong(t, err, "NaN", "damaged")
	if left := folders(t, out); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// countdown is a context that ends once it was asked so many times whether it has.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestExportInterrupted stops the writing at each of its steps: nothing is left, and a file that was there stays.
func TestExportInterrupted(t *testing.T) {
	dir, _ := savedStudent(t, bitnet.Ternary(bitnet.SubLNOutput))
	out := t.TempDir()
	path, old := filepath.Join(out, "new.gguf"), filepath.Join(out, "old.gguf")
	if err := os.WriteFile(old, []byte("precious"), 0o666); err != nil {
		t.Fatal(err)
	}
	stopped := 0
	for ; ; stopped++ {
		_, err := Export(&countdown{t.Context(), stopped}, dir, path, ExportOptions{})
		if err == nil {
			break
		}
		if _, there := os.Lstat(path); !errors.Is(err, context.Canceled) || !errors.Is(there, fs.ErrNotExist) || len(folders(t, out)) != 1 {
			t.Fatalf("stopped at %d: %v, left %v", stopped, err, folders(t, out))
		}
		if _, err := Export(&countdown{t.Context(), stopped}, dir, old, ExportOptions{Force: true}); !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped at %d: %v", stopped, err)
		}
		if content, err := os.ReadFile(old); err != nil || string(content) != "precious" {
			t.Fatalf("stopped at %d: the file that was there: %.20q, %v", stopped, content, err)
		}
	}
	if stopped < 1 {
		t.Error("the context was never asked")
	}
}
