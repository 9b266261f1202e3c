package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommit(t *testing.T) {
	parent, final := prepared(t, false)
	for _, version := range []string{"a", "b", "c"} {
		mustCommit(t, final, version)
		if got := versionOf(t, final, version); got != version {
			t.Fatalf("version %q, want %q", got, version)
		}
	}
	if left := entries(t, parent); len(left) != 1 {
		t.Errorf("left %q", left)
	}
}

func TestCommitIsDeterministic(t *testing.T) {
	var manifests []string
	for range 2 {
		_, final := prepared(t, false)
		mustCommit(t, final, "v")
		data, err := os.ReadFile(filepath.Join(final, ManifestName))
		if err != nil {
			t.Fatal(err)
		}
		manifests = append(manifests, string(data))
	}
	// SHA-256 of "v", from another program.
	const sum = "4c94485e0c21ae6c41ce1dfe7b6bfaceea5ab68e40a2476f50208e526f506080"
	if manifests[0] != manifests[1] || !strings.Contains(manifests[0], sum) {
		t.Errorf("manifests\n%s\n%s", manifests[0], manifests[1])
	}
}

func TestAbort(t *testing.T) {
	parent, final := prepared(t, true)
	d, err := CreateDir(final)
	if err != nil {
		t.Fatal(err)
	}
	if err := fillDir(d.Path(), content("new")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Abort(); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Commit(); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("commit after abort: %v", err)
	}
	if versionOf(t, final, "old") != "old" || len(entries(t, parent)) != 1 {
		t.Errorf("left %q", entries(t, parent))
	}
}

// TestForeignFolders: what this package did not make is never replaced or
// removed.
func TestForeignFolders(t *testing.T) {
	parent := t.TempDir()
	folder, file := filepath.Join(parent, "thesis"), filepath.Join(parent, "file")
	os.Mkdir(folder, 0o777)
	os.WriteFile(filepath.Join(folder, "chapter"), []byte("1"), 0o666)
	os.WriteFile(file, []byte("text"), 0o666)
	for _, final := range []string{folder, file} {
		if _, err := CreateDir(final); err == nil || !strings.Contains(err.Error(), final+": exists") {
			t.Errorf("%s: %v", final, err)
		}
	}
	// It may also appear while the new one is being filled.
	late := filepath.Join(parent, "late")
	d, err := CreateDir(late)
	if err != nil {
		t.Fatal(err)
	}
	os.Mkdir(late, 0o777)
	if err := d.Commit(); err == nil || !strings.Contains(err.Error(), "not this program's") {
		t.Errorf("commit over a folder: %v", err)
	}
	for _, name := range []string{".git", ".tmp-1", ".thesis.tmp-123", ".x.tmp-0123456789abcdeg", "a.tmp-0123456789abcdef"} {
		os.Mkdir(filepath.Join(parent, name), 0o777)
	}
	before := strings.Join(entries(t, parent), " ")
	os.Mkdir(filepath.Join(parent, ".thesis.tmp-0123456789abcdef"), 0o777)
	if err := CleanTemp(parent); err != nil {
		t.Error(err)
	}
	if after := strings.Join(entries(t, parent), " "); after != before {
		t.Errorf("clean-up turned\n%s into\n%s", before, after)
	}
	if got := readAll(t, folder); got["chapter"] != "1" {
		t.Errorf("folder holds %q", got)
	}
}

func TestCreateDirErrors(t *testing.T) {
	parent := t.TempDir()
	for _, final := range []string{"", ".", "..", "/", filepath.Join(parent, "none", "model")} {
		if d, err := CreateDir(final); err == nil {
			d.Abort()
			t.Errorf("%q accepted", final)
		}
	}
	if _, err := CreateDir(filepath.Join(parent, "none", "model")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none") {
		t.Errorf("missing parent: %v", err)
	}
}

func TestCommitRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		make func(dir string)
		want string
	}{
		"own manifest": {func(dir string) { os.WriteFile(filepath.Join(dir, ManifestName), nil, 0o666) }, "kept for the manifest"},
		"link":         {func(dir string) { os.Symlink("/", filepath.Join(dir, "root")) }, "only regular files"},
		"gone":         {func(dir string) { os.RemoveAll(dir) }, "no such file"},
	} {
		parent, final := prepared(t, true)
		d, err := CreateDir(final)
		if err != nil {
			t.Fatal(err)
		}
		c.make(d.Path())
		if err := d.Commit(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if versionOf(t, final, "old") != "old" || len(entries(t, parent)) != 1 {
			t.Errorf("%s: left %q", name, entries(t, parent))
		}
	}
}

// TestCleanTempPrefersComplete: a damaged folder gives way to a complete
// leftover, and a damaged leftover to nothing.
func TestCleanTempPrefersComplete(t *testing.T) {
	const random = "-0123456789abcdef"
	for _, c := range []struct {
		name             string
		final, temp, old string // "": none; a version; "damaged"
		want             string
	}{
		{"kill before the first rename", "old", "new", "", "old"},
		{"kill between the renames", "", "new", "old", "new"},
		{"the same, new one damaged since", "", "damaged", "old", "old"},
		{"kill before the removal", "new", "", "old", "new"},
		{"kill while removing", "new", "", "damaged", "new"},
		{"in place but damaged", "damaged", "new", "", "new"},
		{"in place but damaged, old one left", "damaged", "", "old", "old"},
		{"all damaged", "damaged", "damaged", "damaged", "damaged"},
		{"only a damaged old one", "", "damaged", "damaged", "damaged"},
		{"only an incomplete new one", "", "damaged", "", ""},
		{"only a complete new one", "", "new", "", "new"},
	} {
		parent, final := prepared(t, false)
		for path, version := range map[string]string{
			final: c.final, filepath.Join(parent, ".model.tmp"+random): c.temp, filepath.Join(parent, ".model.old"+random): c.old,
		} {
			if version == "" {
				continue
			}
			mustCommit(t, path, version)
			if version == "damaged" {
				os.Remove(filepath.Join(path, "config.json"))
			}
		}
		if err := CleanTemp(parent); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.want == "damaged" {
			if err := Verify(final); err == nil || !strings.Contains(err.Error(), "config.json: damaged: missing") {
				t.Errorf("%s: verify says %v", c.name, err)
			}
		} else if got := versionOf(t, final, "old", "new"); got != c.want {
			t.Errorf("%s: version %q, want %q", c.name, got, c.want)
		}
		if left := entries(t, parent); len(left) > 1 && c.name != "all damaged" {
			t.Errorf("%s: left %q", c.name, left)
		}
	}
}

func TestCleanTempOfNothing(t *testing.T) {
	parent := t.TempDir()
	if err := CleanTemp(filepath.Join(parent, "none")); err != nil {
		t.Error(err)
	}
	if log := steps(t, func() { CleanTemp(parent) }); len(log) > 0 {
		t.Errorf("an empty folder took %q", log)
	}
}

func TestWriteFile(t *testing.T) {
	parent := t.TempDir()
	path := filepath.Join(parent, "file")
	long := strings.Repeat("0123456789", 50_000)
	for _, text := range []string{"", "short", long} {
		if err := WriteFile(path, writeText(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("read %d bytes (%v), want %d", len(got), err, len(text))
		}
	}
	cause := errors.New("cause")
	err := WriteFile(path, func(w io.Writer) error {
		io.WriteString(w, long[:100_000])
		return cause
	})
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a panic of the caller was swallowed")
			}
		}()
		WriteFile(path, func(io.Writer) error { panic("caller") })
	}()
	if got, _ := os.ReadFile(path); string(got) != long || len(entries(t, parent)) != 1 {
		t.Errorf("%d bytes, left %q", len(got), entries(t, parent))
	}
	if err := WriteFile(parent, writeText("")); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("onto a folder: %v", err)
	}
	if err := WriteFile(filepath.Join(parent, "none", "file"), writeText("")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("into a missing folder: %v", err)
	}
}
