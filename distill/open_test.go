package distill

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
)

// Differences compares values by their JSON names, lists and fields that are left out too, and changing a copy does not
// change the original.
func TestDifferences(t *testing.T) {
	c, err := Preset("embedded")
	if err != nil {
		t.Fatal(err)
	}
	other, err := ReadConfig(writeFile(t, `{"corpus": {"files": ["a.txt"]}, "loss": {"relations": {"alpha": [1, 0, 1]}}}`), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Set("stage2.steps=0", "stage2.tokens=2M", "seed=9"); err != nil {
		t.Fatal(err)
	}
	want := []Difference{
		{"corpus.files", `["embedded"]`, `["a.txt"]`},
		{"loss.relations.alpha", "[1,1,1]", "[1,0,1]"},
		{"seed", "1", "9"},
		{"stage2.steps", "100", ""},
		{"stage2.tokens", "", `"2M"`},
	}
	if got := c.Differences(other); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if got := c.Differences(c); len(got) > 0 {
		t.Errorf("of itself: %q", got)
	}
	if c.Corpus.Files[0] != Embedded {
		t.Errorf("the original has %q", c.Corpus.Files)
	}
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// What is in the binary opens by name and knows its task.
func TestOpenEmbedded(t *testing.T) {
	var weights [2][]float32
	for i, name := range []string{Embedded, EmbeddedTeacher} {
		m, err := OpenModel(t.Context(), name, nil)
		if err != nil {
			t.Fatal(err)
		}
		if m.Run == nil || m.Run.Task.Name != Embedded || m.Config.Layers != 5 {
			t.Errorf("%s: %+v", name, m)
		}
		value, err := m.Store.GetVariable(m.Config.Tensors()[0].Path()).Value()
		if err != nil {
			t.Fatal(err)
		}
		if weights[i], err = tensors.CopyFlatData[float32](value); err != nil {
			t.Fatal(err)
		}
	}
	if slices.Equal(weights[0], weights[1]) {
		t.Error("the teacher is the pretrained model")
	}
}

// A run without a student is told from a folder that is no model.
func TestOpenUnfinished(t *testing.T) {
	dir := t.TempDir()
	c, err := Preset("embedded")
	if err != nil {
		t.Fatal(err)
	}
	if err := writeJSON(filepath.Join(dir, configFile), c); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, filepath.Join(dir, StudentDir), filepath.Join(dir, "nothing"), t.TempDir()} {
		if m, err := OpenModel(t.Context(), name, nil); m != nil || !errors.Is(err, ErrInput) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	if !HoldsRun(dir) || HoldsRun(t.TempDir()) || Unstarted(dir) || !Unstarted(t.TempDir()) {
		t.Error("run folders are not told from others")
	}
	model := modelFolder(t, tinyModel(t, 1))
	if !OnlyConfig(dir) || OnlyConfig(t.TempDir()) || OnlyConfig(model) {
		t.Error("a run without anything is not told from other folders")
	}
	if err := os.WriteFile(filepath.Join(dir, metricsFile), nil, 0o666); err != nil || !OnlyConfig(dir) {
		t.Errorf("with metrics of no step: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, metricsFile), []byte("{}\n"), 0o666); err != nil || OnlyConfig(dir) {
		t.Errorf("with metrics: %v", err)
	}
}
