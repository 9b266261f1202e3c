// Package native writes and opens the project's own model file: a GGUF container with the ternary linears in the layout that kernels
// read, so that a mapped file is ready to run, and with all that text needs. docs/gguf.md describes the format; the numbers there are
// those of the constants here.
//
// Here belongs what of a model stands where in the file. The container does not (bitnet/gguf), nor what the files of a model say
// (bitnet/hf/files), nor the layout of panels beyond its size (bitnet/packed), nor running a model (bitnet/infer). No GoMLX here.
package native
