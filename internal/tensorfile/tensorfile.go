// Package tensorfile is what the readers of files of tensors share: how such a file is opened, and the error that says what is wrong
// with it and where. What a format is belongs to its reader.
package tensorfile

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// FormatError says what is wrong with a file, or with what was to be written, and where.
type FormatError struct {
	File   string // path of the file; when writing, the name of the format
	Key    string // metadata key concerned, if any
	Tensor string // tensor concerned, if any
	Field  string // of the format, such as "header length", "dtype", "shape", "data"; "file" for all of it
	Offset int64  // bytes from the start of the file to the field, or near it; -1 where there is none
	Reason string // what is wrong, and what to do where that is not plain
	Err    error  // cause, if any; Error adds it to Reason
}

// Error joins the parts as `file: tensor "name": field: reason (at byte n)`.
func (e *FormatError) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Key != "" {
		fmt.Fprintf(&b, ": key %s", Quote(e.Key))
	}
	if e.Tensor != "" {
		fmt.Fprintf(&b, ": tensor %s", Quote(e.Tensor))
	}
	fmt.Fprintf(&b, ": %s: %s", e.Field, e.Reason)
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.Offset >= 0 {
		fmt.Fprintf(&b, " (at byte %d)", e.Offset)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *FormatError) Unwrap() error { return e.Err }

// FileError is about a file as a whole.
func FileError(path, format string, args ...any) error {
	return &FormatError{File: path, Field: "file", Offset: -1, Reason: fmt.Sprintf(format, args...)}
}

// ReadError completes where with the reason that a file could not be read although its size allowed it: it changed since it was
// opened, or the disk failed.
func ReadError(where FormatError, err error) *FormatError {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	where.Reason, where.Err = "cannot be read", err
	return &where
}

// Quote quotes text that comes from a file, shortened so that a hostile name cannot fill the screen.
func Quote(s string) string {
	const most = 120
	if len(s) > most {
		return fmt.Sprintf("%.*q...", most, s)
	}
	return fmt.Sprintf("%q", s)
}

// Open opens the file at path for reading and returns its size. kind is the name of the format. What is not a regular file is a
// *FormatError; other errors wrap the operating system's.
func Open(path, kind string) (*os.File, int64, error) {
	// Looked at before it is opened: opening a named pipe would wait for a writer.
	stat, err := os.Stat(path)
	if err != nil {
		return nil, 0, fmt.Errorf("open %s: %w", kind, err)
	}
	if stat.IsDir() {
		return nil, 0, FileError(path, "is a folder, want a %s file inside it", kind)
	}
	if !stat.Mode().IsRegular() {
		return nil, 0, FileError(path, "is not a regular file (%s)", stat.Mode().Type())
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("open %s: %w", kind, err)
	}
	return file, stat.Size(), nil
}
