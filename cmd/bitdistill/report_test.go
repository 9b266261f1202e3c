package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A run ends with its report, which the command writes again; faults of it do not change how the run ends.
func TestReport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	args := ownData(t, dir)
	call(t, args...).want(t, exitDone, "report: "+filepath.Join(dir, "report.html"))
	page := filepath.Join(dir, "report.html")
	first := readPage(t, page)
	if !strings.Contains(first, "BitDistill") || !strings.Contains(first, "of the first 12 held-out rows") {
		t.Error("the report has no results or no samples")
	}
	check := func(out string, want int, args ...string) {
		t.Helper()
		r := call(t, append([]string{"report"}, args...)...)
		r.want(t, want)
		if want == exitDone && r.out != out+"\n" {
			t.Errorf("stdout %q, want the name of the file, %s", r.out, out)
		}
	}
	check(page, exitDone, dir)
	if readPage(t, page) != first {
		t.Error("the report of an unchanged run has changed")
	}
	named := filepath.Join(t.TempDir(), "two.html")
	check(named, exitDone, dir, dir, "--out", named)
	t.Chdir(t.TempDir())
	check("report.html", exitDone, dir, dir, "--tensorboard", "board")
	if events, _ := filepath.Glob("board/run*/events.out.tfevents.*"); len(events) != 2 {
		t.Errorf("event files %q, want one for each run", events)
	}

	call(t, "report").want(t, exitInput, "name a run folder")
	call(t, "report", dir+"-2").want(t, exitInput, dir+"-2", "config.json")
	call(t, "report", dir, "--out", filepath.Join(dir, "config.json")).want(t, exitInput, "config.json", "not a report")

	if err := os.WriteFile(page, []byte("my notes"), 0o666); err != nil {
		t.Fatal(err)
	}
	call(t, append(args, "--resume")...).want(t, exitDone, "warning: no report", page)
	call(t, "report", dir).want(t, exitInput, page, "not a report")
	if readPage(t, page) != "my notes" {
		t.Error("a file that is no report was overwritten")
	}
	if err := os.Truncate(filepath.Join(dir, "results.json"), 10); err != nil {
		t.Fatal(err)
	}
	call(t, "report", dir, "--out", named).want(t, exitInput, filepath.Join(dir, "results.json"))
}

func readPage(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
