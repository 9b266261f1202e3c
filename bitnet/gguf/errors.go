package gguf

import (
	"fmt"
	"io"
	"strings"
)

// FormatError says what is wrong with a file and where.
type FormatError struct {
	File   string // path of the file
	Key    string // metadata key concerned, if any
	Tensor string // tensor concerned, if any
	Field  string // "magic", "version", "key count", "value type", "dimension 0", "offset", "data", ...
	Offset int64  // byte offset of the field in the file; -1 where there is none
	Reason string // what is wrong, and what to do where that is not plain
	Err    error  // cause, if any; Error adds it to Reason
}

// Error joins the parts as `file: tensor "name": field: reason (at byte n)`.
func (e *FormatError) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Key != "" {
		fmt.Fprintf(&b, ": key %s", quote(e.Key))
	}
	if e.Tensor != "" {
		fmt.Fprintf(&b, ": tensor %s", quote(e.Tensor))
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

func fileError(path, format string, args ...any) error {
	return &FormatError{File: path, Field: "file", Offset: -1, Reason: fmt.Sprintf(format, args...)}
}

// readError reports a file that could not be read although its size allowed
// it: it changed since it was opened, or the disk failed.
func readError(path, key, tensor, field string, offset int64, err error) *FormatError {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return &FormatError{File: path, Key: key, Tensor: tensor, Field: field, Offset: offset, Reason: "cannot be read", Err: err}
}

// quote quotes text that comes from a file, shortened so that a hostile name
// cannot fill the screen.
func quote(s string) string {
	const most = 120
	if len(s) > most {
		return fmt.Sprintf("%.*q...", most, s)
	}
	return fmt.Sprintf("%q", s)
}
