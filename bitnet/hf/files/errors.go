package files

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// FileError says what is wrong with the content of a file.
type FileError struct {
	Path   string
	Faults []error // at least one, each naming a field, tensor or token
}

// Error is one line for one fault, else a line each.
func (e *FileError) Error() string {
	if len(e.Faults) == 1 {
		return fmt.Sprintf("%s: %v", e.Path, e.Faults[0])
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d faults:", e.Path, len(e.Faults))
	for _, f := range e.Faults {
		fmt.Fprintf(&b, "\n  %v", f)
	}
	return b.String()
}

// Unwrap returns the faults.
func (e *FileError) Unwrap() []error { return e.Faults }

func fileErrorf(path, format string, args ...any) error {
	return &FileError{Path: path, Faults: []error{fmt.Errorf(format, args...)}}
}

// flatten takes joined errors apart, so that every fault gets its line.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error }) // not errors.As: a wrapper's own words must not get lost
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}

// maxFaults is how many faults of one kind are listed.
const maxFaults = 6

// shorten keeps the first few faults and counts the others.
func shorten(faults []error) []error {
	if n := len(faults); n > maxFaults {
		return append(faults[:maxFaults:maxFaults], fmt.Errorf("and %d more", n-maxFaults))
	}
	return faults
}

// readFile reads a regular file of at most limit bytes.
func readFile(dir, name string, limit int64) ([]byte, error) {
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fileErrorf(path, "is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if int64(len(data)) > limit {
		return nil, fileErrorf(path, "has more than %d bytes", limit)
	}
	return data, nil
}
