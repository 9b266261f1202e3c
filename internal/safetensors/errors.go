package safetensors

import "github.com/bitdistill/bitdistill/internal/tensorfile"

// FormatError says what is wrong with a file, or with what was to be written, and where. Fields are "header length", "header",
// "__metadata__", "dtype", "shape", "data_offsets", "data" and others.
type FormatError = tensorfile.FormatError
