package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bitdistill/bitdistill/internal/notebook"
	"github.com/bitdistill/bitdistill/internal/notebook/gonb"
)

// requireGoNB makes missing the real kernel a failure when it is "1".
const requireGoNB = "BITDISTILL_NO_SKIP"

// realKernel skips the test, with a word, where GoNB is neither built nor can be built from the module cache within moments.
func realKernel(t *testing.T) {
	t.Helper()
	ctx, required := t.Context(), os.Getenv(requireGoNB) == "1"
	if !required {
		t.Setenv("GOPROXY", "off")
		short, stop := context.WithTimeout(ctx, 30*time.Second)
		defer stop()
		ctx = short
	}
	tools, err := gonb.Find(ctx, ".", false, os.Stderr)
	switch {
	case err == nil:
		t.Setenv(gonb.FolderVariable, tools.Folder)
	case required:
		t.Fatal(err)
	default:
		t.Skipf("no GoNB here; %s=1 fetches and builds it: %v", requireGoNB, err)
	}
}

// TestTraps runs cells that fail in ways that GoNB answers "ok" to, and one that it does not: each is named as the failure.
func TestTraps(t *testing.T) {
	realKernel(t)
	dir := t.TempDir()
	traps := map[string]struct{ source, want string }{
		"panic":    {"%%\npanic(\"oh no\")", "the program panicked: panic: oh no"},
		"exit":     {"%%\nfmt.Fprint(os.Stderr, \"a line without an end\")\nos.Exit(3)", "the program or a command failed: exit status 3"},
		"shell":    {"!false\n%%\nfmt.Println(\"goes on\")", "the program or a command failed: exit status 1"},
		"unknown":  {"%nosuchcommand", "unknown command: \"%nosuchcommand\" unknown or not implemented yet."},
		"compile":  {"%%\nnoSuchFunction()", "undefined: noSuchFunction"},
		"script":   {"%%bash\nexit 4", "the program or a command failed: exit status 4"},
		"deadlock": {"%%\nselect {}", "fatal error: all goroutines are asleep"},
		"nil":      {"%%\nvar p *int\nfmt.Println(*p)", "the program panicked: "},
	}
	args := []string{"notebook", "run", "-j", "4"}
	for name, c := range traps {
		args = append(args, notebookIn(t, dir, name+".ipynb", "%%\nfmt.Println(\"fine\")", c.source, "%%\nfmt.Println(\"never\")"))
	}
	r := call(t, args...)
	r.noMore(t, exitFailed)
	for name, c := range traps {
		i := strings.Index(r.errors, name+".ipynb: cell 2 [c2] ")
		if i < 0 {
			t.Errorf("%s: not named:\n%s", name, r.errors)
			continue
		}
		if line, _, _ := strings.Cut(r.errors[i:], "\n"); !strings.Contains(line, c.want) {
			t.Errorf("%s: %s", name, line)
		}
		got, err := notebook.ReadFile(filepath.Join(dir, name+".out.ipynb"))
		if err != nil || len(got.Cells[0].Outputs) != 1 || got.Cells[0].Outputs[0].Text != "fine\n" || got.Cells[2].Outputs != nil {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}

// TestGoNotebook runs one with parameters, text on both streams, a package of this module, and a failure that is expected, twice.
func TestGoNotebook(t *testing.T) {
	realKernel(t)
	dir, err := os.MkdirTemp(".", "notebook-test-") // inside the module, whose packages it imports
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	nb := notebookIn(t, dir, "nb.ipynb",
		"%noautoget",
		"parameters|var Name, Steps = \"nobody\", 3\nconst Rate float64 = 1",
		"import \"github.com/bitdistill/bitdistill/bitnet/hf/bpe\"\n%%\nfmt.Printf(\"%T %s %d %v\\n\", &bpe.Tokenizer{}, Name, Steps, Rate)\nfmt.Fprintln(os.Stderr, \"aside\")",
		"raises-exception|%%\npanic(\"wanted\")",
		"raises-exception|%%\nnoSuchFunction()",
		"!echo shell")
	var files [][]byte
	for i := range 2 {
		out := filepath.Join(dir, fmt.Sprintf("%d.ipynb", i))
		call(t, "notebook", "run", nb, "-p", "Steps=4", "-p", "Rate=2", "--out", out).noMore(t, exitDone)
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, data)
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Errorf("two runs, two files:\n%s\n%s", files[0], files[1])
	}
	for _, want := range []string{`"*bpe.Tokenizer nobody 4 2\n"`, `"aside\n"`, "undefined: noSuchFunction", `"shell\n"`} {
		if !bytes.Contains(files[0], []byte(want)) {
			t.Errorf("no %s in\n%s", want, files[0])
		}
	}
}

// noMore checks the exit code alone.
func (r result) noMore(t *testing.T, code int) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d: %s", r.code, code, r.errors)
	}
}

// TestGoCellsAreStopped sees a loop interrupted, one that ignores interrupts killed, and a kernel that dies noticed.
func TestGoCellsAreStopped(t *testing.T) {
	realKernel(t)
	if runtime.GOOS == "windows" {
		t.Skip("signals are for Unix")
	}
	dir := t.TempDir()
	cells := map[string]struct{ source, want string }{
		"loop":     {"fmt.Println(\"looping\")\nfor {\n\ttime.Sleep(time.Millisecond)\n}", "took longer than the timeout of 15s"},
		"stubborn": {"signal.Ignore(os.Interrupt)\nfmt.Println(\"looping\")\nfor {\n\ttime.Sleep(time.Millisecond)\n}", "took longer than the timeout of 15s"},
		"dead":     {"fmt.Println(\"looping\")\ntime.Sleep(time.Second)\nsyscall.Kill(os.Getppid(), syscall.SIGKILL)\ntime.Sleep(time.Minute)", "the kernel died: signal: killed"},
	}
	args := []string{"notebook", "run", "-j", "3", "--timeout", "15s"} // enough to compile a cell where the machine is busy
	for name, c := range cells {
		args = append(args, notebookIn(t, dir, name+".ipynb", "%%\n"+c.source, "%%\nfmt.Println(\"never\")"))
	}
	call(t, args...).noMore(t, exitFailed)
	for name, c := range cells {
		got, err := notebook.ReadFile(filepath.Join(dir, name+".out.ipynb"))
		if err != nil {
			t.Fatal(err)
		}
		outputs := got.Cells[0].Outputs
		if len(outputs) < 2 || outputs[0].Text != "looping\n" || !strings.Contains(outputs[len(outputs)-1].Error, c.want) || got.Cells[1].Outputs != nil {
			t.Errorf("%s: %+v", name, outputs)
		}
	}
}
