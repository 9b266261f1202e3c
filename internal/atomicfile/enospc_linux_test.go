package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// fullDisk makes new files appear, but with writes that go to /dev/full, where
// the kernel answers ENOSPC.
func fullDisk(t *testing.T) {
	t.Helper()
	normal := openNew
	t.Cleanup(func() { openNew = normal })
	openNew = func(path string) (*os.File, error) {
		f, err := normal(path)
		if err != nil {
			return nil, err
		}
		f.Close()
		return os.OpenFile("/dev/full", os.O_WRONLY, 0)
	}
}

// TestFullDisk: small content reaches the disk only when the buffer is
// flushed, large content before.
func TestFullDisk(t *testing.T) {
	for _, size := range []int{1, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			if err := WriteFile(path, writeText("old")); err != nil {
				t.Fatal(err)
			}
			fullDisk(t)
			err := WriteFile(path, func(w io.Writer) error {
				w.Write(make([]byte, size)) // a caller that ignores the error
				return nil
			})
			if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), path) {
				t.Errorf("%v, want ENOSPC with the path", err)
			}
			left := entries(t, filepath.Dir(path))
			if got, _ := os.ReadFile(path); string(got) != "old" || len(left) != 1 {
				t.Errorf("%q in place, %q left", got, left)
			}
		})
	}
}

// TestFullDiskAtManifest: the last byte does not fit.
func TestFullDiskAtManifest(t *testing.T) {
	parent, final := prepared(t, true)
	d, err := CreateDir(final)
	if err != nil {
		t.Fatal(err)
	}
	if err := fillDir(d.Path(), content("new")); err != nil {
		t.Fatal(err)
	}
	fullDisk(t)
	if err := d.Commit(); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), final) {
		t.Errorf("%v, want ENOSPC with the path", err)
	}
	if v := versionOf(t, final, "old", "new"); v != "old" || len(entries(t, parent)) != 1 {
		t.Errorf("version %q in place, %q left", v, entries(t, parent))
	}
}
