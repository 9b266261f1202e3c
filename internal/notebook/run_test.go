package notebook

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bitdistill/bitdistill/internal/jupyter"
	"github.com/bitdistill/bitdistill/internal/jupyter/fakekernel"
)

func TestMain(m *testing.M) {
	fakekernel.Main()
	os.Exit(m.Run())
}

func options() Options {
	return Options{Kernel: fakekernel.Command("1"), StartTimeout: 30 * time.Second, Grace: 2 * time.Second}
}

// shown is what a cell shows: kinds and texts of its outputs.
func shown(c *Cell) string {
	var parts []string
	for _, o := range c.Outputs {
		s, _ := o.Data["text/plain"].(string)
		parts = append(parts, o.Kind[:3]+" "+o.Name+o.Text+s+o.ErrorName)
	}
	return strings.Join(parts, "; ")
}

func statuses(results []CellResult) string {
	var s []string
	for _, r := range results {
		s = append(s, string(r.Status))
	}
	return strings.Join(s, ", ")
}

func TestOutputs(t *testing.T) {
	for _, c := range []struct{ source, want string }{
		{"out a\nout b\\c\nout c", "str stdouta\nbc\n"},
		{"err e\nout a\nerr f\nout b", "str stdouta\nb\n; str stderre\nf\n"}, // in the same order, whichever came first
		{"out a\nshow - x\nout b", "str stdouta\n; dis x; str stdoutb\n"},
		{"show p 1\nout a\nupdate p 2\nupdate p 3", "dis 3; str stdouta\n"},
		{"show p 1\nshow q 2\nshow p 3\nupdate p 4\nupdate other 5", "dis 4; dis 2; dis 4"},
		{"out a\nclear\nout b", "str stdoutb\n"},
		{"out a\nclear-later", "str stdouta\n"},
		{"out a\nshow p 1\nclear-later\nshow p 2\nupdate p 3", "dis 3"},
		{"out 10%\\r20%\\r30%\nout line\\r", "str stdout30%\nline\n"},
		{"late x", "str stdoutx\n"},
		{"show id_0123abcd seen as id_0123abcd of gonb_89abcdef", "dis seen as display-1 of gonb"},
	} {
		nb := parse(t, c.source)
		if _, err := nb.Run(t.Context(), options()); err != nil {
			t.Errorf("%q: %v", c.source, err)
		}
		if got := shown(nb.Cells[0]); got != c.want {
			t.Errorf("%q: %q, want %q", c.source, got, c.want)
		}
	}
}

func TestUpdateReachesAnEarlierCell(t *testing.T) {
	nb := parse(t, "show p 1", "update p 2\nout x")
	if _, err := nb.Run(t.Context(), options()); err != nil {
		t.Fatal(err)
	}
	if a, b := shown(nb.Cells[0]), shown(nb.Cells[1]); a != "dis 2" || b != "str stdoutx\n" {
		t.Errorf("%q %q", a, b)
	}
}

func TestRun(t *testing.T) {
	nb := parse(t, "# head", "out a", "skip-execution|fail x", " ", "raises-exception|out b\nfail x", "raises-exception|err exit status 3", "out c", "fail no\nout never", "out d")
	nb.Cells[1].Metadata["execution"] = map[string]any{"iopub.status.busy": "2026-01-01"}
	saves, ended := 0, 0
	o := options()
	o.Save = func() error { saves++; return nil }
	o.Ended = func(CellResult) { ended++ }
	results, err := nb.Run(t.Context(), o)
	if got := statuses(results); got != "ok, skipped, failed as expected, failed as expected, ok, FAILED, not run" {
		t.Errorf("%s", got)
	}
	var failed *CellError
	if !errors.As(err, &failed) || failed.Number != 8 || failed.Reason != "Error: no" || !strings.Contains(err.Error(), "cell 8 [") {
		t.Errorf("%v", err)
	}
	if saves != 6 || ended != 6 { // after five cells, and once at the end
		t.Errorf("saved %d times, told of %d cells", saves, ended)
	}
	var counts []int
	for _, c := range nb.Cells {
		counts = append(counts, c.Count)
	}
	if want := []int{0, 1, 9, 9, 2, 3, 4, 5, 0}; !equal(counts, want) {
		t.Errorf("counts %v, want %v", counts, want)
	}
	if s := shown(nb.Cells[2]); s != "str stdoutold" {
		t.Errorf("the skipped cell lost its output: %q", s)
	}
	if s := shown(nb.Cells[8]); s != "" {
		t.Errorf("the cell that was not run shows %q", s)
	}
	if nb.Cells[1].Metadata["execution"] != nil {
		t.Error("the time of execution was kept")
	}
}

func equal(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestAllowErrors(t *testing.T) {
	o := options()
	o.AllowErrors = true
	results, err := parse(t, "fail x", "err panic: y", "out z").Run(t.Context(), o)
	if got := statuses(results); err != nil || got != "FAILED, FAILED, ok" || len(Failures(results)) != 2 {
		t.Errorf("%s %v", got, err)
	}
	results, err = parse(t, "die", "out z").Run(t.Context(), o)
	if got := statuses(results); err == nil || got != "FAILED, not run" {
		t.Errorf("a dead kernel was allowed: %s %v", got, err)
	}
}

// TestEndsEarly sees that what was shown before is kept and the reason is in the notebook.
func TestEndsEarly(t *testing.T) {
	for _, c := range []struct {
		source, want string
		target       error
	}{
		{"out a\nsleep 1m", "took longer than the timeout of 1s", context.DeadlineExceeded},
		{"out a\nstubborn 1m", "the kernel was killed", context.DeadlineExceeded},
		{"raises-exception|out a\nsleep 1m", "took longer", context.DeadlineExceeded},
		{"out a\nask", "asks for input", jupyter.ErrAsksInput},
		{"out a\ndie", "the kernel died: signal: killed", nil},
	} {
		nb := parse(t, c.source, "out b")
		o := options()
		o.CellTimeout, o.Grace = time.Second, 500*time.Millisecond
		start := time.Now()
		results, err := nb.Run(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), c.want) || c.target != nil && !errors.Is(err, c.target) {
			t.Errorf("%q: %v", c.source, err)
		}
		if got := statuses(results); got != "FAILED, not run" {
			t.Errorf("%q: %s", c.source, got)
		}
		outputs := nb.Cells[0].Outputs
		if last := outputs[len(outputs)-1]; !strings.HasPrefix(outputs[0].Text, "a\n") || last.Kind != "error" || !strings.Contains(last.Error, c.want) {
			t.Errorf("%q: %+v", c.source, outputs)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%q took %v", c.source, d)
		}
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := options()
	o.Ended = func(CellResult) { time.AfterFunc(100*time.Millisecond, cancel) }
	nb := parse(t, "out a", "out b\nsleep 1m", "out c")
	results, err := nb.Run(ctx, o)
	if got := statuses(results); !errors.Is(err, context.Canceled) || got != "ok, FAILED, not run" || !strings.Contains(shown(nb.Cells[1]), "b") {
		t.Errorf("%s %v", got, err)
	}
}

func TestKernelDoesNotStart(t *testing.T) {
	nb := parse(t, "out a")
	o := options()
	o.Kernel = fakekernel.Command("broken")
	results, err := nb.Run(t.Context(), o)
	if got := statuses(results); err == nil || !strings.Contains(err.Error(), "cannot find the gopher") || got != "not run" {
		t.Errorf("%s %v", got, err)
	}
}

func TestSameBytes(t *testing.T) {
	source := notebookOf("# Title", "show-new here is\nout a\nerr b\nshow-new and", "raises-exception|fail in gonb_aaaa1111")
	write := func(data []byte) []byte {
		nb, err := Read(data)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "nb.ipynb")
		o := options()
		o.Save = func() error { return nb.WriteFile(path) }
		if _, err := nb.Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		data, err = os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	once := write(source)
	for _, again := range [][]byte{write(source), write(once)} {
		if !bytes.Equal(once, again) {
			t.Errorf("not the same bytes:\n%s\n%s", once, again)
		}
	}
	if !bytes.Contains(once, []byte("and display-2")) || bytes.Contains(once, []byte("date")) || !bytes.HasSuffix(once, []byte("}\n")) {
		t.Errorf("%s", once)
	}
}

func TestJUnit(t *testing.T) {
	nb := parse(t, "out <&>", "err \x1b[31mred\x1b[0m\nfail a<b\x01", "out c")
	results, err := nb.Run(t.Context(), options())
	reports := []Report{{"a.ipynb", results, err}, {"b.ipynb", []CellResult{{Number: 1, Status: NotRun}}, errors.New("no kernel")}}
	var b bytes.Buffer
	if err := WriteJUnit(&b, reports); err != nil {
		t.Fatal(err)
	}
	var back junitSuites
	if err := xml.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatalf("%v:\n%s", err, b.String())
	}
	if back.Tests != 5 || back.Failures != 1 || back.Errors != 1 || back.Skipped != 2 || len(back.Suites) != 2 {
		t.Errorf("%s", b.String())
	}
	cases := back.Suites[0].Cases
	if len(cases) != 3 || cases[0].Failure != nil || cases[1].Failure == nil || cases[1].Stderr != "red\n" || cases[2].Skipped == nil {
		t.Errorf("%+v", cases)
	}
	if f := cases[1].Failure; !strings.HasPrefix(f.Message, "Error: a<b") || !strings.Contains(cases[1].Name, "cell 2 [") {
		t.Errorf("%+v %s", f, cases[1].Name)
	}
}

// Places that GoNB puts into stack traces, or not, do not get into the file.
func TestTracePlaces(t *testing.T) {
	same := (&gatherer{}).normalizer()
	with, without := "main.main()\n\t \x1b[7m[[ Cell [5] Line 2 ]]\x1b[0m /x/gonb_0123abcd/main.go:17 +0x65\n", "main.main()\n\t/x/gonb_89abcdef/main.go:17 +0x65\n"
	if a, b := same(with), same(without); a != b || a != "main.main()\n\t/x/gonb/main.go:17 +0x65\n" {
		t.Errorf("%q, %q", a, b)
	}
}
