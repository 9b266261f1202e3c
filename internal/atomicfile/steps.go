package atomicfile

import (
	"crypto/rand"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// Everything this package changes on disk goes through the functions of this
// file. Each calls beforeStep first, with which tests fail a step or stop the
// world there as a kill would.

// beforeStep is nil outside of tests.
var beforeStep func(op, path string) error

// skipSync lets tests that kill a program, not the power, run fast: what was
// written before a kill is kept by the operating system.
var skipSync bool

func step(op, path string) error {
	if beforeStep == nil {
		return nil
	}
	if err := beforeStep(op, path); err != nil {
		return &fs.PathError{Op: op, Path: path, Err: err}
	}
	return nil
}

// openNew creates a file that must not exist; tests replace it by a full disk.
var openNew = func(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

func create(path string) (*os.File, error) {
	if err := step("create", path); err != nil {
		return nil, err
	}
	return openNew(path)
}

// stepWriter is a file whose writes are steps.
type stepWriter struct{ file *os.File }

func (w stepWriter) Write(p []byte) (int, error) {
	if err := step("write", w.file.Name()); err != nil {
		return 0, err
	}
	return w.file.Write(p)
}

func syncFile(f *os.File) error {
	if err := step("sync", f.Name()); err != nil || skipSync {
		return err
	}
	return f.Sync()
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	if err := step("syncfolder", path); err != nil || skipSync {
		return err
	}
	return osSyncFolder(path)
}

func mkdir(path string) error {
	if err := step("mkdir", path); err != nil {
		return err
	}
	return os.Mkdir(path, 0o777)
}

func rename(from, to string) error {
	if err := step("rename", to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// remove removes a file or a whole folder; what is missing is no error.
func remove(path string) error {
	if err := step("remove", path); err != nil {
		return err
	}
	return os.RemoveAll(path)
}

// The two kinds of temporary names, see the package documentation.
const (
	kindTemp = "tmp"
	kindOld  = "old"
)

var tempPattern = regexp.MustCompile(`^\.(.+)\.(tmp|old)-[0-9a-f]{16}$`)

// tempName is a new hidden name beside path, on the same file system so that
// it can be renamed to path.
func tempName(path, kind string) string {
	var random [8]byte
	rand.Read(random[:]) // never fails
	dir, base := filepath.Split(path)
	return dir + "." + base + "." + kind + "-" + hex.EncodeToString(random[:])
}

// parseTemp splits the last element of a name that tempName made.
func parseTemp(name string) (base, kind string, ok bool) {
	m := tempPattern.FindStringSubmatch(name)
	if m == nil {
		return "", "", false
	}
	return m[1], m[2], true
}

// IsTemp reports whether a file or folder of that name is one in the making, or what a killed program left of one.
func IsTemp(name string) bool {
	_, _, ok := parseTemp(name)
	return ok
}
