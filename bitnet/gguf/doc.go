// Package gguf reads GGUF files, versions 2 and 3, without trusting them, and
// writes them.
//
// A file is a header (counts, then typed metadata, then a description of every
// tensor) and the tensors' data, each tensor at a multiple of the file's
// alignment. The reader checks every count and length against the bytes that
// are left before it allocates by it, and the place and size of every tensor
// against the file: tensors must follow each other without overlap, and with no
// more between them than padding. Tensors are read and turned into float32 by
// rows, so that memory stays at what the caller asks for.
//
// The writer takes metadata and tensors in the order in which they shall stand
// in the file, asks for each tensor's data when its turn comes, and gives the
// same bytes for the same input: those of the reference implementation's own
// writer. It refuses what the reader would refuse.
//
// Here belong the container, its element types, their decoding and encoding. What the
// keys and tensor names of a model family mean, files split into several parts
// ("split.count"), tokenizers and GoMLX do not: they belong to bitnet/hf.
//
// The format is described in docs/gguf.md of github.com/ggml-org/ggml.
package gguf
