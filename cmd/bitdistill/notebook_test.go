package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bitdistill/bitdistill/internal/jupyter/fakekernel"
	"github.com/bitdistill/bitdistill/internal/notebook"
	"github.com/bitdistill/bitdistill/internal/notebook/gonb"
)

func TestMain(m *testing.M) {
	fakekernel.Main()
	if os.Getenv(programVariable) == "1" { // a process that the program started to run itself
		main()
	}
	os.Exit(m.Run())
}

// notebookIn writes a notebook of code cells into a folder; a tag may stand before a "|".
func notebookIn(t *testing.T, folder, name string, sources ...string) string {
	t.Helper()
	nb := &notebook.Notebook{Metadata: map[string]any{}}
	for i, s := range sources {
		c := &notebook.Cell{ID: fmt.Sprintf("c%d", i+1), Kind: "code", Source: s, Metadata: map[string]any{}}
		if tag, rest, ok := strings.Cut(s, "|"); ok {
			c.Source, c.Metadata = rest, map[string]any{"tags": []any{tag}}
		}
		nb.Cells = append(nb.Cells, c)
	}
	path := filepath.Join(folder, name)
	if err := nb.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// fake are the flags for a run on the fake kernel.
func fake(t *testing.T, args ...string) []string {
	t.Helper()
	t.Setenv(fakekernel.Variable, "1")
	return append([]string{"notebook", "run", "--kernel-cmd", os.Args[0] + " {connection_file}"}, args...)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestNotebookRun(t *testing.T) {
	dir := t.TempDir()
	a := notebookIn(t, dir, "a.ipynb", "out one", "out two")
	b := notebookIn(t, dir, "b.ipynb", "out one", "err exit status 3", "out three")
	junit, out := filepath.Join(dir, "junit.xml"), filepath.Join(dir, "made", "here")
	r := call(t, fake(t, a, b, "-j", "2", "--out", out, "--junit", junit, "--html", "--json")...)
	r.want(t, exitFailed, "a.ipynb: cell 2/2 ok", "b.ipynb: cell 2/3 FAILED", "b.ipynb: cell 2 [c2] (err exit status 3) failed: the program or a command failed: exit status 3")
	for _, name := range []string{"a.ipynb", "b.ipynb", "a.html", "b.html"} {
		if !exists(filepath.Join(out, name)) {
			t.Errorf("%s was not written", name)
		}
	}
	nb, err := notebook.ReadFile(filepath.Join(out, "b.ipynb"))
	if err != nil || len(nb.Cells[0].Outputs) != 1 || len(nb.Cells[1].Outputs) != 1 || len(nb.Cells[2].Outputs) != 0 {
		t.Errorf("%+v %v", nb, err)
	}
	var suites struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
	}
	data, err := os.ReadFile(junit)
	if err != nil || xml.Unmarshal(data, &suites) != nil || suites.Tests != 5 || suites.Failures != 1 {
		t.Errorf("%v: %s", err, data)
	}
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	var second struct {
		Passed bool
		Cells  []struct{ Status, Reason string }
	}
	if len(lines) != 2 || json.Unmarshal([]byte(lines[1]), &second) != nil || second.Passed || second.Cells[2].Status != "not run" {
		t.Errorf("%s", r.out)
	}
}

func TestNotebookWhereOutputsGo(t *testing.T) {
	dir := t.TempDir()
	a := notebookIn(t, dir, "a.ipynb", "out one")
	before, _ := os.ReadFile(a)
	call(t, fake(t, a)...).want(t, exitDone)
	made := filepath.Join(dir, "a.out.ipynb")
	if after, _ := os.ReadFile(a); !exists(made) || !bytes.Equal(before, after) {
		t.Error("the notebook was changed, or the new one is missing")
	}
	call(t, fake(t, a, made)...).want(t, exitDone, "left out, since it holds the outputs of")
	if exists(filepath.Join(dir, "a.out.out.ipynb")) {
		t.Error("outputs were run as a notebook")
	}
	call(t, fake(t, a, "--out", filepath.Join(dir, "x", "y.ipynb"))...).want(t, exitDone)
	first, _ := os.ReadFile(made)
	if second, err := os.ReadFile(filepath.Join(dir, "x", "y.ipynb")); err != nil || !bytes.Equal(first, second) {
		t.Errorf("two runs, two files: %v", err)
	}
	call(t, fake(t, a, "--inplace")...).want(t, exitDone)
	executed, err := notebook.ReadFile(a)
	if err != nil || executed.Marked() {
		t.Errorf("marked with --inplace: %v", err)
	}
	executed.Mark()
	var marked bytes.Buffer
	if err := executed.Write(&marked); err != nil || !bytes.Equal(marked.Bytes(), first) {
		t.Errorf("%v: %s", err, marked.Bytes())
	}
}

func TestNotebookOverwritesNothingElse(t *testing.T) {
	dir := t.TempDir()
	a := notebookIn(t, dir, "a.ipynb", "out one")
	mine := notebookIn(t, dir, "mine.ipynb", "out mine")
	folder := t.TempDir()
	notebookIn(t, folder, "a.ipynb", "out mine")
	text := write(t, "text.ipynb", "hello")
	for _, out := range []string{mine, folder, text} {
		for _, more := range []string{"--json", "--prepare-only"} {
			call(t, fake(t, a, "--out", out, more)...).want(t, exitInput, "is there already and not from notebook run", "remove it")
		}
	}
	if nb, err := notebook.ReadFile(mine); err != nil || nb.Cells[0].Source != "out mine" || nb.Cells[0].Outputs != nil {
		t.Errorf("%+v %v", nb, err)
	}
	for range 2 { // a run overwrites what a run has written
		call(t, fake(t, a)...).want(t, exitDone)
	}
}

// TestNotebookPageTrustsWhatRan has the same output saved in cells of which one runs, one is skipped, one is behind a failure.
func TestNotebookPageTrustsWhatRan(t *testing.T) {
	path := notebookIn(t, t.TempDir(), "a.ipynb", "html <script>ran()</script>", "skip-execution|out x", "fail y", "out z")
	nb, err := notebook.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range nb.Cells {
		c.Outputs = []notebook.Output{{Kind: "display_data", Data: map[string]any{"text/html": "<script>saved()</script>"}}}
	}
	if err := nb.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	call(t, fake(t, path, "--html")...).want(t, exitFailed)
	page, err := os.ReadFile(strings.TrimSuffix(path, ".ipynb") + ".out.html")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(page, []byte("<script>ran()")) || bytes.Contains(page, []byte("<script>saved()")) || bytes.Count(page, []byte("saved()")) != 1 {
		t.Errorf("%s", page)
	}
}

func TestNotebookParameters(t *testing.T) {
	dir := t.TempDir()
	nb := notebookIn(t, dir, "nb.ipynb", "parameters|// Steps is how long.\nvar Steps = 10\nvar Name = \"x\"", "out y")
	yaml := write(t, "p.yaml", "Steps: 20\nName: of the file\n")
	call(t, fake(t, nb, "--prepare-only", "-y", yaml, "-p", "Steps=30", "--html")...).want(t, exitDone)
	got, err := notebook.ReadFile(filepath.Join(dir, "nb.out.ipynb"))
	if err != nil || len(got.Cells) != 3 || got.Cells[1].Source != "// Parameters of this run.\nvar Steps = 30\nvar Name = \"of the file\"" || got.Cells[2].Outputs != nil {
		t.Errorf("%+v %v", got, err)
	}
	r := call(t, fake(t, nb, "--help-notebook")...)
	r.want(t, exitDone)
	if want := nb + "\n  Steps int = 10  Steps is how long.\n  Name string = \"x\"\n"; r.out != want {
		t.Errorf("%q", r.out)
	}
}

func TestNotebookWrongInput(t *testing.T) {
	dir := t.TempDir()
	a := notebookIn(t, dir, "a.ipynb", "parameters|var Steps = 10", "out x")
	notebookIn(t, t.TempDir(), "a.ipynb", "out x")
	other := notebookIn(t, t.TempDir(), "a.ipynb", "out x")
	text := write(t, "text.ipynb", "hello")
	python := write(t, "py.ipynb", `{"nbformat":4,"cells":[],"metadata":{"kernelspec":{"name":"python3","language":"python"}}}`)
	for _, c := range []struct {
		want string
		args []string
	}{
		{"names no notebook", nil},
		{"no-such.ipynb", []string{"no-such.ipynb"}},
		{"text.ipynb: is not a notebook", []string{text}},
		{"ends with .ipynb", []string{write(t, "a.py", "")}},
		{"--jobs", []string{a, "-j", "0"}},
		{"exclude each other", []string{a, "--inplace", "--out", "x"}},
		{"would be overwritten", []string{a, "--out", a}},
		{"would be overwritten", []string{a, "--out", dir}},
		{"several notebooks", []string{a, other, "--out", "x.ipynb"}},
		{"both would be saved", []string{a, other, "--out", filepath.Join(dir, "o")}},
		{"both would be saved", []string{a, a}},
		{"none of that name; it has Steps", []string{a, "-p", "Stepz=3"}},
		{`"many" is not a int`, []string{a, "-p", "Steps=many"}},
		{"is not name=value", []string{a, "-p", "Steps"}},
		{"no-such.yaml", []string{a, "-y", "no-such.yaml"}},
		{"has no {connection_file}", []string{a, "--kernel-cmd", "x"}},
	} {
		call(t, fake(t, c.args...)...).want(t, exitInput, c.want)
	}
	call(t, "notebook", "run", python).want(t, exitInput, `written for the kernel "python3" in "python"`)
	call(t, "notebook", "walk").want(t, exitInput, "no command")
	call(t, "notebook", "install", "--name", "a/b").want(t, exitInput, "--name")
	if exists(filepath.Join(dir, "a.out.ipynb")) {
		t.Error("something was run")
	}
}

// watched cancels a context when what is written contains a word.
type watched struct {
	bytes.Buffer
	lock   sync.Mutex
	word   string
	cancel func()
}

func (w *watched) Write(p []byte) (int, error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	if strings.Contains(string(p), w.word) {
		time.AfterFunc(100*time.Millisecond, w.cancel)
	}
	return w.Buffer.Write(p)
}

func TestNotebookInterrupted(t *testing.T) {
	dir := t.TempDir()
	a := notebookIn(t, dir, "a.ipynb", "out one", "out two\nsleep 1m", "out three")
	b := notebookIn(t, dir, "b.ipynb", "out one")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := callWith(t, ctx, &watched{word: "cell 1/3 ok", cancel: cancel}, fake(t, a, b)...)
	r.want(t, exitInterrupted, "a.ipynb: cell 2/3 FAILED")
	nb, err := notebook.ReadFile(filepath.Join(dir, "a.out.ipynb"))
	if err != nil || len(nb.Cells[1].Outputs) != 3 || nb.Cells[1].Outputs[0].Text != "two\n" || exists(filepath.Join(dir, "b.out.ipynb")) {
		t.Errorf("%+v %v", nb, err)
	}
}

func TestNotebookTimeoutAndAllowErrors(t *testing.T) {
	a := notebookIn(t, t.TempDir(), "a.ipynb", "sleep 1m")
	call(t, fake(t, a, "--timeout", "200ms")...).want(t, exitFailed, "took longer than the timeout of 200ms")
	b := notebookIn(t, t.TempDir(), "b.ipynb", "fail x", "out y")
	call(t, fake(t, b, "--allow-errors")...).want(t, exitDone, "cell 1 failed, which --allow-errors allows", "cell 2/2 ok")
}

// programs puts empty files in the place of GoNB and its helpers.
func programs(t *testing.T) {
	t.Helper()
	folder := t.TempDir()
	for _, name := range []string{"gonb", "goimports", "gopls"} {
		for _, suffix := range []string{"", ".exe"} {
			if err := os.WriteFile(filepath.Join(folder, name+suffix), nil, 0o777); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv(gonb.FolderVariable, folder)
}

func TestNotebookInstall(t *testing.T) {
	programs(t)
	module := t.TempDir()
	if err := os.WriteFile(filepath.Join(module, "go.mod"), []byte("module x\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Chdir(module)
	r := call(t, "notebook", "install")
	r.want(t, exitDone, "JUPYTER_PATH=")
	spec := filepath.Join(".jupyter", "kernels", "gonb", "kernel.json")
	if data, err := os.ReadFile(spec); err != nil || !bytes.Contains(data, []byte("-go_work=")) || !exists(".jupyter/.gitignore") {
		t.Errorf("%v: %s", err, data)
	}
	data := t.TempDir()
	t.Setenv("JUPYTER_DATA_DIR", data)
	call(t, "notebook", "install", "--user", "--name", "go-1").want(t, exitDone)
	if !exists(filepath.Join(data, "kernels", "go-1", "kernel.json")) {
		t.Error("no kernel for the user")
	}
	if err := os.WriteFile(filepath.Join(data, "kernels", "go-1", "kernel.json"), []byte(`{"argv":["mine"]}`), 0o666); err != nil {
		t.Fatal(err)
	}
	call(t, "notebook", "install", "--user", "--name", "go-1").want(t, exitInput, "not installed by this program", "--name")
	t.Chdir(t.TempDir())
	if gonb.Module(".") == "" {
		call(t, "notebook", "install").want(t, exitInput, "--user")
	}
}

// TestNotebookLab starts a program that takes Jupyter's place.
func TestNotebookLab(t *testing.T) {
	if os.PathSeparator != '/' {
		t.Skip("takes a shell script for Jupyter")
	}
	programs(t)
	module, bin := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(module, "go.mod"), []byte("module x\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho \"$JUPYTER_PATH\" \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "jupyter-lab"), []byte(script), 0o777); err != nil {
		t.Fatal(err)
	}
	t.Chdir(module)
	t.Setenv("JUPYTER_PATH", "before")
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	r := call(t, "notebook", "lab", "--", "--port", "9000")
	r.want(t, exitDone)
	if !strings.HasSuffix(r.out, ".jupyter:before --port 9000\n") || !exists(".jupyter/kernels/gonb/kernel.json") {
		t.Errorf("%q", r.out)
	}
	t.Setenv("PATH", "")
	call(t, "notebook", "classic").want(t, exitFailed, "classic Jupyter Notebook is not installed", "bitdistill notebook run")
}
