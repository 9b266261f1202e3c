package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Dir is a folder in the making. Fill Path, then call Commit, or Abort to drop
// it; a deferred Abort is harmless after Commit:
//
//	d, err := atomicfile.CreateDir("run/checkpoint")
//	if err != nil {
//		return err
//	}
//	defer d.Abort()
//	... write files below d.Path() ...
//	return d.Commit()
//
// It is not safe for use by several goroutines.
type Dir struct {
	final string
	temp  string
	done  bool // committed or aborted
}

// CreateDir makes a temporary folder beside final. The folder above must
// exist. A final that exists is replaced by Commit, but only if it has a
// manifest: what this package did not make is never removed, and refused here.
func CreateDir(final string) (*Dir, error) {
	final = filepath.Clean(final)
	if base := filepath.Base(final); base == "." || base == ".." || base == string(filepath.Separator) {
		return nil, fmt.Errorf("create folder %q: needs a name", final)
	}
	if _, err := replaceable(final); err != nil {
		return nil, fmt.Errorf("create folder %s: %w", final, err)
	}
	d := &Dir{final: final, temp: tempName(final, kindTemp)}
	if err := mkdir(d.temp); err != nil {
		return nil, fmt.Errorf("create folder %s: %w", final, err)
	}
	return d, nil
}

// Path is the temporary folder to be filled with files and folders.
func (d *Dir) Path() string { return d.temp }

// Commit syncs every file, writes the manifest, and renames the folder to its
// final name, in place of a folder of that name; see the package documentation
// for the moment between. When it returns nil all of it is on disk.
//
// On an error the temporary folder is removed and what was there before is in
// its place again. There is one exception: if only syncing the folder above
// failed, the new one is in place, but a power failure may bring the old one
// back.
func (d *Dir) Commit() error {
	if d.done {
		return fmt.Errorf("commit folder %s: already committed or aborted", d.final)
	}
	err := d.commit()
	if err != nil {
		return fmt.Errorf("commit folder %s: %w", d.final, errors.Join(err, d.Abort()))
	}
	d.done = true
	return nil
}

func (d *Dir) commit() error {
	m, err := sealFolder(d.temp)
	if err != nil {
		return err
	}
	data, err := m.encode()
	if err != nil {
		return err
	}
	err = fill(filepath.Join(d.temp, ManifestName), func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	if err != nil {
		return err
	}
	if err := syncFolder(d.temp); err != nil {
		return err
	}
	return d.replace()
}

// replace renames the complete temporary folder to its final name.
func (d *Dir) replace() error {
	exists, err := replaceable(d.final)
	if err != nil {
		return err
	}
	old := tempName(d.final, kindOld)
	if exists {
		if err := rename(d.final, old); err != nil {
			return err
		}
	}
	if err := rename(d.temp, d.final); err != nil {
		if exists {
			err = errors.Join(err, rename(old, d.final))
		}
		return err
	}
	if err := syncFolder(filepath.Dir(d.final)); err != nil {
		return err
	}
	if exists {
		// The new folder is complete and durable: that the old one cannot be
		// removed is no failure of the commit, and CleanTemp tries again.
		_ = remove(old)
	}
	return nil
}

// Abort removes the temporary folder. After Commit or another Abort it does
// nothing.
func (d *Dir) Abort() error {
	if d.done {
		return nil
	}
	d.done = true
	return remove(d.temp)
}

// replaceable reports whether path exists, and an error if it is not a folder
// made by this package. A damaged one counts as made by it.
func replaceable(path string) (exists bool, err error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !info.IsDir() {
		return true, errors.New("exists and is not a folder; choose another name or move it away")
	}
	if _, err := os.Lstat(filepath.Join(path, ManifestName)); err != nil {
		return true, fmt.Errorf("exists and has no %s, so it is not this program's to replace; choose another name or move it away", ManifestName)
	}
	return true, nil
}
