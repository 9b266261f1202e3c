// Package gguf reads GGUF files, versions 2 and 3, without trusting them.
//
// A file is a header (counts, then typed metadata, then a description of every
// tensor) and the tensors' data, each tensor at a multiple of the file's
// alignment. The reader checks every count and length against the bytes that
// are left before it allocates by it, and the place and size of every tensor
// against the file: tensors must follow each other without overlap, and with no
// more between them than padding. Tensors are read and turned into float32 by
// rows, so that memory stays at what the caller asks for.
//
// Here belong the container, its element types and their decoding. What the
// keys and tensor names of a model family mean, files split into several parts
// ("split.count"), tokenizers and GoMLX do not: they belong to bitnet/hf.
//
// The format is described in docs/gguf.md of github.com/ggml-org/ggml.
package gguf
