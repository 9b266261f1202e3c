package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// prepared is a parent with a folder "model" in the version "old", or without
// one.
func prepared(t *testing.T, withOld bool) (parent, final string) {
	t.Helper()
	parent, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	final = filepath.Join(parent, "model")
	if withOld {
		mustCommit(t, final, "old")
	}
	return parent, final
}

func stepCount(t *testing.T, withOld bool) int {
	t.Helper()
	_, final := prepared(t, withOld)
	n := len(steps(t, func() { mustCommit(t, final, "new") }))
	if n < 20 {
		t.Fatalf("only %d steps: the hook is not called", n)
	}
	return n
}

// TestKillAtEveryStep kills a commit at every step, and the clean-up after it
// at every step of its own. In the end one complete version is in place.
func TestKillAtEveryStep(t *testing.T) {
	fast(t)
	for _, withOld := range []bool{false, true} {
		newSeen, oldSeen, between := 0, 0, 0
		total := stepCount(t, withOld)
		for n := range total {
			for m := 0; ; m++ {
				parent, final := prepared(t, withOld)
				beforeStep = killAt(n)
				if err := commitVersion(final, "new"); err == nil && n < total-1 {
					t.Fatalf("killed at step %d without an error", n)
				}
				if withOld && !exists(final) {
					between++
				}
				beforeStep = killAt(m)
				cleanErr := CleanTemp(parent)
				beforeStep = nil
				if err := CleanTemp(parent); err != nil {
					t.Fatalf("step %d, %d: %v", n, m, err)
				}
				switch versionOf(t, final, "old", "new") {
				case "new":
					newSeen++
				case "old":
					oldSeen++
				default:
					if withOld {
						t.Fatalf("killed at step %d, clean-up at %d: nothing left", n, m)
					}
				}
				if left := entries(t, parent); len(left) > 1 {
					t.Fatalf("killed at step %d, clean-up at %d: left %q", n, m, left)
				}
				if cleanErr == nil { // this clean-up was not killed
					break
				}
			}
		}
		if newSeen == 0 || withOld && (oldSeen == 0 || between == 0) {
			t.Errorf("withOld %v: %d times new, %d old, %d between the renames: the test misses its point", withOld, newSeen, oldSeen, between)
		}
	}
}

// TestErrorAtEveryStep fails one step of a commit after the other. The caller
// learns of it, and finds the old version without having to clean up.
func TestErrorAtEveryStep(t *testing.T) {
	fast(t)
	for _, withOld := range []bool{false, true} {
		for n := range stepCount(t, withOld) {
			parent, final := prepared(t, withOld)
			count := 0
			var failed string
			beforeStep = func(op, path string) error {
				if count++; count-1 == n {
					failed = fmt.Sprintf("%s %s", op, path)
					return syscall.ENOSPC
				}
				return nil
			}
			err := commitVersion(final, "new")
			beforeStep = nil
			version := versionOf(t, final, "old", "new")
			durable := failed == "syncfolder "+parent // the one exception that Commit documents
			removal := strings.HasPrefix(failed, "remove ")
			switch {
			case removal:
				if err != nil || version != "new" {
					t.Errorf("%s failed: version %q, %v", failed, version, err)
				}
			case err == nil || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "model"):
				t.Errorf("%s failed: error %v, want one that wraps ENOSPC and names the folder", failed, err)
			case durable != (version == "new"):
				t.Errorf("%s failed: version %q", failed, version)
			}
			if left := entries(t, parent); len(left) > 1 && !durable && !removal {
				t.Errorf("%s failed: left %q", failed, left)
			}
			if err := CleanTemp(parent); err != nil || versionOf(t, final, "old", "new") != version || len(entries(t, parent)) > 1 {
				t.Errorf("%s failed: clean-up gave %v, %q", failed, err, entries(t, parent))
			}
		}
	}
}

// TestOrderOfSteps: nothing is renamed before it is on disk, and nothing is
// removed before its successor is.
func TestOrderOfSteps(t *testing.T) {
	parent, final := prepared(t, true)
	var temp string
	log := steps(t, func() {
		d, err := CreateDir(final)
		if err != nil {
			t.Fatal(err)
		}
		temp = d.Path()
		for name := range content("new") { // not through this package
			path := filepath.Join(temp, name)
			os.MkdirAll(filepath.Dir(path), 0o777)
			os.WriteFile(path, []byte(content("new")[name]), 0o666)
		}
		if err := d.Commit(); err != nil {
			t.Fatal(err)
		}
	})
	at := func(step string) int {
		i := slices.Index(log, step)
		if i < 0 {
			t.Fatalf("no step %q in\n%s", step, strings.Join(log, "\n"))
		}
		return i
	}
	manifest := filepath.Join(temp, ManifestName)
	for name := range content("new") {
		if at("sync "+filepath.Join(temp, name)) > at("create "+manifest) {
			t.Errorf("%s synced after the manifest was begun", name)
		}
	}
	order := []string{
		"syncfolder " + filepath.Join(temp, "weights"), "create " + manifest, "write " + manifest, "sync " + manifest,
		"syncfolder " + temp, "rename .old", "rename " + final, "syncfolder " + parent, "remove .old",
	}
	for i, s := range log { // the random name
		if op, path, _ := strings.Cut(s, " "); strings.Contains(path, ".model.old-") {
			log[i] = op + " .old"
		}
	}
	for i := range order[1:] {
		if at(order[i]) >= at(order[i+1]) {
			t.Errorf("%q does not come before %q in\n%s", order[i], order[i+1], strings.Join(log, "\n"))
		}
	}
}

// TestKillWriteFile kills and fails WriteFile at every step.
func TestKillWriteFile(t *testing.T) {
	for _, kill := range []bool{true, false} {
		for n, more := 0, true; more; n++ {
			parent := t.TempDir()
			path := filepath.Join(parent, "file")
			if err := WriteFile(path, writeText("old")); err != nil {
				t.Fatal(err)
			}
			var failed string
			count := 0
			die := killAt(n)
			beforeStep = func(op, p string) error {
				if kill {
					return die(op, p)
				}
				if count++; count-1 == n {
					failed = op
					return syscall.EIO
				}
				return nil
			}
			err := WriteFile(path, writeText("new"))
			beforeStep = nil
			more = err != nil
			if left := entries(t, parent); !kill && len(left) != 1 {
				t.Errorf("%s failed: left %q", failed, left)
			}
			if err := CleanTemp(parent); err != nil {
				t.Fatal(err)
			}
			got, readErr := os.ReadFile(path)
			if s := string(got); readErr != nil || s != "old" && s != "new" || !more && s != "new" {
				t.Errorf("step %d (%s): %q, %v", n, failed, got, readErr)
			}
			if left := entries(t, parent); len(left) != 1 {
				t.Errorf("step %d: left %q", n, left)
			}
		}
	}
}
