package golden

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/internal/safetensors"
)

// recorder is a testing.TB that notes how a test ended.
type recorder struct {
	testing.TB
	message string
	failed  bool
	skipped bool
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.failed, r.message = true, fmt.Sprintf(format, args...)
}
func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...); runtime.Goexit() }
func (r *recorder) Skipf(format string, args ...any) {
	r.skipped, r.message = true, fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// record runs f as a test of its own would.
func record(t *testing.T, f func(testing.TB)) *recorder {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r
}

// TestAllFilesAreValid reads every tensor of every golden file.
func TestAllFilesAreValid(t *testing.T) {
	files := 0
	err := filepath.WalkDir(Dir(t), func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".safetensors" {
			return err
		}
		files++
		f, err := safetensors.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		for _, name := range f.Names() {
			info, _ := f.Info(name)
			n := 0
			if info.DType.IsFloat() {
				values, _ := Floats(t, f, name)
				n = len(values)
			} else {
				values, _ := Ints(t, f, name)
				n = len(values)
			}
			if n != info.Elements() {
				t.Errorf("%s: %s has %d elements, want %d", path, name, n, info.Elements())
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if files == 0 {
		t.Errorf("no golden files in %s", Dir(t))
	}
}

func TestOpenJSONFolders(t *testing.T) {
	if len(Open(t, "quant.safetensors").Names()) == 0 {
		t.Error("quant.safetensors is empty")
	}
	var losses map[string]any
	JSON(t, &losses, "losses.json")
	if len(losses) == 0 {
		t.Error("losses.json is empty")
	}
	for _, name := range Folders(t, "decoders") {
		var config struct {
			ModelType string `json:"model_type"`
		}
		JSON(t, &config, "decoders", name, "config.json")
		if config.ModelType == "" {
			t.Errorf("%s: no model_type", name)
		}
	}
}

func TestDir(t *testing.T) {
	t.Setenv(EnvDir, t.TempDir())
	if got := Dir(t); got != os.Getenv(EnvDir) {
		t.Errorf("%s, want the folder of the environment variable", got)
	}
	t.Setenv(EnvDir, filepath.Join(t.TempDir(), "none"))
	if r := record(t, func(t testing.TB) { Dir(t) }); !r.failed || !strings.Contains(r.message, EnvDir) {
		t.Errorf("a missing folder gave %+v", r)
	}
}

func TestShared(t *testing.T) {
	here := t.TempDir()
	t.Setenv(EnvShared, here)
	if got := Shared(t); got != here {
		t.Errorf("%s, want %s", got, here)
	}
	t.Setenv(EnvShared, filepath.Join(here, "none"))
	t.Setenv(EnvNoSkip, "")
	if r := record(t, func(t testing.TB) { Shared(t) }); !r.skipped || !strings.Contains(r.message, "NOT TESTED") {
		t.Errorf("missing data: %+v, want a skip", r)
	}
	t.Setenv(EnvNoSkip, "1")
	if r := record(t, func(t testing.TB) { Shared(t) }); !r.failed || r.skipped {
		t.Errorf("missing data where skipping is forbidden: %+v, want a failure", r)
	}
}

func TestMaxDiffAndClose(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range []struct {
		a, b []float32
		diff float64
		at   int
		ok   bool // within 1e-2 of b's largest magnitude
	}{
		{nil, nil, 0, 0, true},
		{[]float32{1, 2}, []float32{1, 2}, 0, 0, true},
		{[]float32{1, 100, -3}, []float32{1.5, 99.5, -4}, 1, 2, false},
		{[]float32{1, 100}, []float32{2, 100}, 1, 0, true},
		{[]float32{0, 0}, []float32{0, 0}, 0, 0, true},
		{[]float32{0, 1e-30}, []float32{0, 0}, float64(float32(1e-30)), 1, false},
		{[]float32{1, nan}, []float32{1, 1}, math.Inf(1), 1, false},
		{[]float32{nan}, []float32{nan}, math.Inf(1), 0, false},
		{[]float32{inf}, []float32{inf}, 0, 0, true},
		{[]float32{-inf}, []float32{inf}, math.Inf(1), 0, false},
		{[]float32{1}, []float32{1, 2}, math.Inf(1), 1, false},
	} {
		if d, at := MaxDiff(c.a, c.b); d != c.diff || at != c.at {
			t.Errorf("MaxDiff(%v, %v) = %g at %d, want %g at %d", c.a, c.b, d, at, c.diff, c.at)
		}
		if r := record(t, func(t testing.TB) { Close(t, "values", c.a, c.b, 1e-2) }); r.failed == c.ok {
			t.Errorf("Close(%v, %v): %s", c.a, c.b, r.message)
		}
	}
}
