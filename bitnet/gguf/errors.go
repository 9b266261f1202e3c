package gguf

import "github.com/bitdistill/bitdistill/internal/tensorfile"

// FormatError says what is wrong with a file and where. Fields are "magic", "version", "key count", "value type", "dimension 0",
// "offset", "data" and others.
type FormatError = tensorfile.FormatError
