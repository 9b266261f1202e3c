package atomicfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"unicode/utf8"
)

// ManifestName is the file that Commit writes last into a folder.
const ManifestName = "manifest.json"

const (
	manifestVersion = 1
	maxManifest     = 64 << 20 // bytes, some 500,000 files
)

// manifest is the content of ManifestName.
type manifest struct {
	Version int             `json:"version"`
	Files   map[string]seal `json:"files"` // by path below the folder, with slashes
}

// seal says what a file must be.
type seal struct {
	Size   int64  `json:"size"`   // bytes
	SHA256 string `json:"sha256"` // lower-case hexadecimal
}

// DamageError says which file of a folder is not as its manifest says.
type DamageError struct {
	Folder string
	File   string // path below Folder, with slashes
	Reason string // how it is wrong
	Err    error  // cause, if any
}

// Error joins the parts as `folder/file: reason`.
func (e *DamageError) Error() string {
	s := filepath.Join(e.Folder, filepath.FromSlash(e.File)) + ": " + e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *DamageError) Unwrap() error { return e.Err }

// Verify reads a folder that Commit made and compares every file with the
// manifest. Each missing, truncated or changed file, and a missing or changed
// manifest, is a *DamageError; several are joined. A folder without a manifest
// is incomplete. Files that the manifest does not list are let be. A folder
// that does not exist is an error that wraps fs.ErrNotExist.
func Verify(path string) error {
	root, err := os.OpenRoot(path) // names in a manifest cannot lead out of it
	if err != nil {
		return fmt.Errorf("verify %s: %w", path, err)
	}
	defer root.Close()
	m, err := readManifest(root)
	if err != nil {
		return &DamageError{Folder: path, File: ManifestName, Reason: "the folder is incomplete or damaged", Err: err}
	}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		if err := verifyFile(root, name, m.Files[name]); err != nil {
			faults = append(faults, &DamageError{Folder: path, File: name, Reason: "damaged", Err: err})
		}
	}
	return errors.Join(faults...)
}

// readManifest accepts exactly the bytes that Commit writes: any other form,
// even of the same meaning, comes from damage.
func readManifest(root *os.Root) (*manifest, error) {
	f, info, err := openRegular(root, ManifestName)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.Size() > maxManifest {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed", info.Size(), maxManifest)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err != nil {
		return nil, err
	}
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	if m.Version != manifestVersion || m.Files == nil {
		return nil, fmt.Errorf("version %d with %d files; this program knows version %d", m.Version, len(m.Files), manifestVersion)
	}
	canonical, err := m.encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(data, canonical) {
		return nil, errors.New("not as this program writes it: it was changed")
	}
	return &m, nil
}

func (m *manifest) encode() ([]byte, error) {
	data, err := json.MarshalIndent(m, "", "  ")
	return append(data, '\n'), err
}

// verifyFile compares the size before it reads anything.
func verifyFile(root *os.Root, name string, want seal) error {
	f, info, err := openRegular(root, name)
	if err != nil {
		return err
	}
	defer f.Close()
	if info.Size() != want.Size {
		return fmt.Errorf("%d bytes, the manifest says %d", info.Size(), want.Size)
	}
	sum, err := hash(f)
	if err != nil {
		return err
	}
	if sum != want.SHA256 {
		return fmt.Errorf("content changed: SHA-256 is %s, the manifest says %s", sum, want.SHA256)
	}
	return nil
}

// openRegular opens a file after a look at its kind: opening a named pipe
// would wait for a writer.
func openRegular(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	local, err := filepath.Localize(name)
	if err != nil {
		return nil, nil, fmt.Errorf("%q cannot be a file's name", name)
	}
	info, err := root.Lstat(local)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("missing: %w", fs.ErrNotExist)
	}
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("not a regular file (%s)", info.Mode().Type())
	}
	f, err := root.Open(local)
	return f, info, err
}

func hash(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// sealFolder syncs all files and folders below path and lists the files.
func sealFolder(path string) (*manifest, error) {
	m := &manifest{Version: manifestVersion, Files: map[string]seal{}}
	var folders []string
	err := filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if file != path { // path itself is synced with the manifest in it
				folders = append(folders, file)
			}
			return nil
		}
		relative, err := filepath.Rel(path, file)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(relative)
		switch {
		case name == ManifestName:
			return fmt.Errorf("%s: this name is kept for the manifest", file)
		case !entry.Type().IsRegular():
			return fmt.Errorf("%s: only regular files and folders can be committed, this is %s", file, entry.Type())
		case !utf8.ValidString(name):
			return fmt.Errorf("%q: the name is not valid UTF-8", file)
		}
		m.Files[name], err = sealFile(file)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		if err := syncFolder(folder); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func sealFile(path string) (seal, error) {
	f, err := os.OpenFile(path, syncFlag, 0)
	if err != nil {
		return seal{}, err
	}
	defer f.Close()
	if err := syncFile(f); err != nil {
		return seal{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return seal{}, err
	}
	sum, err := hash(f)
	return seal{Size: info.Size(), SHA256: sum}, err
}
