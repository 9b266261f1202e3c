// Package safetensors reads and writes safetensors files without trusting them.
//
// A file is eight bytes of header length (little-endian), a JSON header that
// gives every tensor's dtype, shape and byte range, and the data section. The
// reader checks the whole header against the file size before it allocates
// anything by a number the file claims; what passes has known dtypes, sizes
// that fit their shapes, and ranges that tile the data section exactly. The
// writer streams one tensor after the other and gives the same bytes for the
// same input.
//
// Here belong the container format and its element types. Tensor names of a
// model family, sharded models and GoMLX tensors do not: they belong to
// bitnet/hf.
package safetensors
