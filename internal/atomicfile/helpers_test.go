package atomicfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// content gives the files of one version of a folder.
func content(version string) map[string]string {
	return map[string]string{
		"config.json":     "same",
		"only-" + version: version,
		"weights/a/b.bin": version + string(bytes.Repeat([]byte{0, 255}, 40)) + version,
		"weights/empty":   "",
	}
}

// fillDir writes files as a caller would.
func fillDir(dir string, files map[string]string) error {
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
		if err := WriteFile(path, writeText(text)); err != nil {
			return err
		}
	}
	return nil
}

func writeText(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

// commitVersion makes a folder as the documentation of Dir says.
func commitVersion(final, version string) error {
	d, err := CreateDir(final)
	if err != nil {
		return err
	}
	defer d.Abort()
	if err := fillDir(d.Path(), content(version)); err != nil {
		return err
	}
	return d.Commit()
}

func mustCommit(t *testing.T, final, version string) {
	t.Helper()
	if err := commitVersion(final, version); err != nil {
		t.Fatal(err)
	}
}

// readAll returns the files below dir, the manifest left out.
func readAll(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(files, ManifestName)
	return files
}

// versionOf verifies a folder and tells which version it holds, byte for byte;
// "" if there is none.
func versionOf(t *testing.T, final string, versions ...string) string {
	t.Helper()
	err := Verify(final)
	if errors.Is(err, fs.ErrNotExist) && !exists(final) {
		return ""
	}
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	got := readAll(t, final)
	for _, v := range versions {
		if maps.Equal(got, content(v)) {
			return v
		}
	}
	t.Fatalf("%s verifies but holds none of %q: %q", final, versions, got)
	return ""
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// entries lists a folder.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// fast turns syncing off for one test.
func fast(t *testing.T) {
	t.Helper()
	skipSync = true
	t.Cleanup(func() { skipSync = false })
}

var errKilled = errors.New("killed")

// killAt lets n steps happen. In the next one the world stops: it is left half
// done where it can be, and neither it nor any later step, such as cleaning
// up, takes effect. That is what SIGKILL leaves on the disk.
func killAt(n int) func(op, path string) error {
	return func(op, path string) error {
		n--
		if n == -1 {
			tear(op, path)
		}
		if n < 0 {
			return errKilled
		}
		return nil
	}
}

// tear leaves a write or a removal half done.
func tear(op, path string) {
	switch op {
	case "write":
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			f.WriteString(`{"version":1,`)
			f.Close()
		}
	case "remove":
		list, _ := os.ReadDir(path)
		if len(list) > 0 {
			os.RemoveAll(filepath.Join(path, list[0].Name()))
		}
	}
}

// steps runs f and returns its steps as "op path".
func steps(t *testing.T, f func()) []string {
	t.Helper()
	var log []string
	beforeStep = func(op, path string) error {
		log = append(log, fmt.Sprintf("%s %s", op, path))
		return nil
	}
	defer func() { beforeStep = nil }()
	f()
	return log
}
