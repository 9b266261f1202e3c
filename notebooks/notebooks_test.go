// Package notebooks_test checks the notebooks of this folder: their files in every test run, a training in one of them where the
// Go kernel is required.
package notebooks_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/internal/notebook"
)

// parameters are those of every notebook, so that one command can set them for all.
var parameters = []string{"MODEL", "TASK", "TRAIN", "DEV", "CORPUS", "BACKEND", "STEPS", "ROWS", "RUN", "SET"}

var (
	goodID = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,64}$`)
	// absolutePath matches two or more folders from the root on, wherever a name or an address does not go on there.
	absolutePath = regexp.MustCompile(`(?:^|[^\w.~+/<)\]}-]|\\[nrt]|file://)(?:/[A-Za-z][\w.-]*){2,}|[A-Z]:\\\\\w`)
	link         = regexp.MustCompile(`\]\(([^):]+\.ipynb)\)`)
	title        = regexp.MustCompile(`^# (\d\d) · \S`)
)

func chapters(t *testing.T) []string {
	files, err := filepath.Glob("*.ipynb")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, ".out.ipynb") })
	if len(files) != 7 {
		t.Fatalf("%d notebooks: %v", len(files), files)
	}
	return files
}

func TestFiles(t *testing.T) {
	for i, file := range chapters(t) {
		t.Run(file, func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(raw) > 1.5e6 {
				t.Errorf("%d bytes, more than 1.5 MB", len(raw))
			}
			for _, at := range absolutePath.FindAllIndex(raw, 3) {
				t.Errorf("a path of one machine: %q", raw[max(0, at[0]-40):min(len(raw), at[1]+40)])
			}
			checkFormat(t, raw)
			nb, err := notebook.Read(raw)
			if err != nil {
				t.Fatal(err)
			}
			var again bytes.Buffer
			if err := nb.Write(&again); err != nil || !bytes.Equal(again.Bytes(), raw) {
				t.Errorf("is not as the runner writes it, so the next run changes all of it: %v", err)
			}
			if m := title.FindStringSubmatch(nb.Cells[0].Source); nb.Cells[0].Kind != "markdown" || m == nil || m[1] != fmt.Sprintf("%02d", i) || !strings.HasPrefix(file, m[1]) {
				t.Errorf("begins with %q", nb.Cells[0].Source)
			}
			checkParameters(t, nb)
			checkOutputs(t, nb)
			checkLinks(t, nb)
		})
	}
}

// checkFormat looks for what format 4.5 demands, without the package that reads it.
func checkFormat(t *testing.T, raw []byte) {
	var nb struct {
		Cells []map[string]json.RawMessage
		Major int `json:"nbformat"`
		Minor int `json:"nbformat_minor"`
		Meta  struct {
			Kernel struct{ Name, Language string } `json:"kernelspec"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(raw, &nb); err != nil {
		t.Fatal(err)
	}
	if nb.Major != 4 || nb.Minor != 5 || nb.Meta.Kernel.Name != "gonb" || nb.Meta.Kernel.Language != "go" {
		t.Errorf("format %d.%d, kernel %+v", nb.Major, nb.Minor, nb.Meta.Kernel)
	}
	ids := map[string]bool{}
	for i, c := range nb.Cells {
		keys := []string{"cell_type", "id", "metadata", "source"}
		if string(c["cell_type"]) == `"code"` {
			keys = append(keys, "execution_count", "outputs")
		}
		for _, k := range keys {
			if c[k] == nil {
				t.Errorf("cell %d has no %s", i+1, k)
			}
		}
		if len(c) != len(keys) {
			t.Errorf("cell %d has other keys than %v", i+1, keys)
		}
		var id string
		if err := json.Unmarshal(c["id"], &id); err != nil || !goodID.MatchString(id) || ids[id] {
			t.Errorf("cell %d: id %q is not good or not the only one: %v", i+1, id, err)
		}
		ids[id] = true
	}
}

func checkParameters(t *testing.T, nb *notebook.Notebook) {
	found, err := nb.Parameters()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range found {
		names = append(names, p.Name)
		if p.About == "" {
			t.Errorf("parameter %s is not explained", p.Name)
		}
	}
	if !slices.Equal(names, parameters) {
		t.Errorf("parameters %v, want %v", names, parameters)
	}
}

// checkOutputs sees that all cells were run, in order and without a fault, and that there are pictures.
func checkOutputs(t *testing.T, nb *notebook.Notebook) {
	count, pictures := 0, 0
	for i, c := range nb.Cells {
		if c.Kind != "code" {
			continue
		}
		if count++; c.Count != count {
			t.Errorf("cell %d [%s] has the count %d, want %d: run the whole notebook", i+1, c.ID, c.Count, count)
		}
		if len(c.Metadata) > 0 && !c.HasTag("parameters") {
			t.Errorf("cell %d [%s] has metadata %v", i+1, c.ID, c.Metadata)
		}
		var stderr []string
		for _, o := range c.Outputs {
			if o.Kind == "error" {
				t.Errorf("cell %d [%s] failed: %s", i+1, c.ID, o.Error)
			}
			if o.Name == "stderr" {
				stderr = append(stderr, o.Text)
			}
			if o.Data["image/png"] != nil {
				pictures++
			}
		}
		if why := notebook.Failure(stderr); why != "" {
			t.Errorf("cell %d [%s] failed: %s", i+1, c.ID, why)
		}
	}
	if pictures == 0 {
		t.Error("no pictures")
	}
}

// checkLinks follows links between chapters, which a renamed one would break.
func checkLinks(t *testing.T, nb *notebook.Notebook) {
	for _, c := range nb.Cells {
		for _, m := range link.FindAllStringSubmatch(c.Source, -1) {
			if _, err := os.Stat(m[1]); c.Kind == "markdown" && err != nil {
				t.Error(err)
			}
		}
	}
}

func TestAbsolutePath(t *testing.T) {
	for text, want := range map[string]bool{
		`"see /opt/lib/x.so"`: true, `"\t/srv/main.go:17 +0x65\n"`: true, `"file:///usr/share/doc"`: true, `"C:\\x"`: true, `"(/etc/hosts)"`: true,
		`"distill/report"`: false, `"https://example.org/a/b"`: false, `"../shared/data"`: false, `"image/png"`: false, `"</p></div>"`: false, `"1/2 and/or"`: false,
	} {
		if absolutePath.MatchString(text) != want {
			t.Errorf("%s: want %t", text, want)
		}
	}
}
