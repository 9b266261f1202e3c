package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bitdistill/bitdistill/internal/notebook"
)

// envNotebooks is a pattern of notebooks, from the root of the checkout, in place of all of them.
const envNotebooks = "BITDISTILL_NOTEBOOKS"

// TestNBConvert executes the notebooks, with few steps, by nbconvert and the kernel that bitdistill installs. Every cell is fine by the
// signs that our own runner goes by, since nbconvert takes a panic for success; and shows as many pictures as with our runner.
func TestNBConvert(t *testing.T) {
	needs(t, "jupyter-nbconvert", "jupyter-nbconvert")
	env := jupyterHome(t)
	pattern := os.Getenv(envNotebooks)
	if pattern == "" {
		pattern = "notebooks/*.ipynb"
	}
	files, err := filepath.Glob(filepath.Join("..", pattern))
	check(t, err)
	if len(files) == 0 {
		t.Fatalf("no notebook %s", pattern)
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".out.ipynb") {
			continue
		}
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			ours, theirs := filepath.Join(dir, "ours.ipynb"), filepath.Join(dir, "theirs.ipynb")
			few := []string{"notebook", "run", filepath.Join("notebooks", name), "-p", "STEPS=3", "-p", "ROWS=20", "--out"}
			start := time.Now()
			bitdistill(t, append(few, ours)...)
			t.Logf("our runner took %.0f s", time.Since(start).Seconds())
			bitdistill(t, append(few, theirs, "--prepare-only")...)
			start = time.Now()
			command(t, env, "jupyter-nbconvert", "--to", "notebook", "--execute", "--inplace", "--ExecutePreprocessor.timeout=600", theirs)
			t.Logf("nbconvert took %.0f s", time.Since(start).Seconds())
			compare(t, read(t, ours), read(t, theirs))
		})
	}
}

func read(t *testing.T, path string) *notebook.Notebook {
	t.Helper()
	nb, err := notebook.ReadFile(path)
	check(t, err)
	return nb
}

// compare demands that every cell of theirs was executed, has not failed, and shows the pictures that it shows in ours.
func compare(t *testing.T, ours, theirs *notebook.Notebook) {
	t.Helper()
	if len(ours.Cells) != len(theirs.Cells) {
		t.Fatalf("%d cells, and %d of ours", len(theirs.Cells), len(ours.Cells))
	}
	all := 0
	for i, c := range theirs.Cells {
		if c.Kind != "code" || strings.TrimSpace(c.Source) == "" {
			continue
		}
		if c.Count == 0 {
			t.Errorf("cell %d [%s]: was not executed", i+1, c.ID)
		}
		if why := failure(c); why != "" {
			t.Errorf("cell %d [%s]: %s", i+1, c.ID, why)
		}
		want, got := pictures(ours.Cells[i]), pictures(c)
		if got != want {
			t.Errorf("cell %d [%s]: %d pictures, and %d of ours", i+1, c.ID, got, want)
		}
		all += got
	}
	if all == 0 {
		t.Error("no cell shows a picture")
	}
	t.Logf("%d cells, %d pictures", len(theirs.Cells), all)
}

// failure tells why a cell has failed by what is saved of it.
func failure(c *notebook.Cell) string {
	var stderr []string
	for _, out := range c.Outputs {
		switch {
		case out.Kind == "error":
			return out.ErrorName + ": " + out.Error
		case out.Kind == "stream" && out.Name == "stderr":
			stderr = append(stderr, out.Text)
		}
	}
	return notebook.Failure(stderr)
}

// pictures counts the charts that a cell shows.
func pictures(c *notebook.Cell) int {
	n := 0
	for _, out := range c.Outputs {
		if html, _ := out.Data["text/html"].(string); out.Data["image/png"] != nil || strings.Contains(html, "<img ") {
			n++
		}
	}
	return n
}

// TestNBConvertPanic shows that a panic, which nbconvert lets pass, does not pass here.
func TestNBConvertPanic(t *testing.T) {
	needs(t, "jupyter-nbconvert", "jupyter-nbconvert")
	env := jupyterHome(t)
	path := filepath.Join(t.TempDir(), "panic.ipynb")
	kernel := map[string]any{"kernelspec": map[string]any{"name": "gonb", "language": "go", "display_name": "Go"}}
	nb := &notebook.Notebook{Metadata: kernel, Cells: []*notebook.Cell{
		{ID: "panics", Kind: "code", Source: "%%\npanic(\"oh no\")", Metadata: map[string]any{}},
	}}
	check(t, nb.WriteFile(path))
	command(t, env, "jupyter-nbconvert", "--to", "notebook", "--execute", "--inplace", path)
	if why := failure(read(t, path).Cells[0]); !strings.Contains(why, "oh no") {
		t.Errorf("failure %q, want that of the panic", why)
	}
}
