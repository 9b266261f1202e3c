package safetensors

import (
	"fmt"
	"strings"
)

// FormatError says what is wrong with a file, or with what was to be written,
// and where.
type FormatError struct {
	File   string // path of the file; empty when writing
	Tensor string // tensor concerned; empty for the file as a whole
	Field  string // "header length", "header", "__metadata__", "dtype", "shape", "data_offsets", "data", ...
	Offset int64  // byte offset in the file, near the fault; -1 where there is none
	Reason string // what is wrong
	Err    error  // cause, if any; included in Reason's sentence by Error
}

// Error joins the parts as `file: tensor "name": field: reason (at byte n)`.
func (e *FormatError) Error() string {
	var b strings.Builder
	if e.File == "" {
		b.WriteString("safetensors")
	} else {
		b.WriteString(e.File)
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

// quote quotes text that comes from a file, shortened so that a hostile name
// cannot fill the screen.
func quote(s string) string {
	const most = 120
	if len(s) > most {
		return fmt.Sprintf("%.*q...", most, s)
	}
	return fmt.Sprintf("%q", s)
}
