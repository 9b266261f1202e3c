// Package infer runs a model on a CPU: it opens what training or a conversion has left, computes logits, writes text and chooses among
// labels. Ternary linears are multiplied by bitnet/packed, other matrices by bitnet/infer/rows, all else is here. It needs neither GoMLX nor cgo.
//
// What does not belong here: training, its graphs (bitnet/decoder) and its quantizers (bitnet); the layout and the product of ternary
// matrices (bitnet/packed) and of others (bitnet/infer/rows); loops over float32 (bitnet/infer/vector); files of models (bitnet/native,
// bitnet/hf/files); tasks, prompts and measures of whole data sets (distill).
//
// # Equality with training
//
// Each operation on float32 is done in the order of GoMLX's pure-Go backend (as it is built by default, without GOEXPERIMENT=simd), whose
// sums run from first to last, so that a model computes here what it computes there, bit for bit. Exceptions: under scales of blocks (see
// packed.Matrix.Mul), in the last one or two rows of a product whose rows are no multiple of three or whose sums are long, where that backend
// adds up in groups, and on other backends, values differ in their last bits; one activation at a tie may then become another code.
// A token's values do not depend on what is computed beside it: a text that is read at once, piece by piece, or among others gives the same
// logits, bit for bit.
//
// Caches of float16 and int8 round keys and values, and matrices of Q8_0 and Q4_0 (the head that export writes by default) are multiplied by
// activations rounded to 16 bits in blocks of 32: those are exceptions too, and in a ternary model codes at ties may then change.
//
// Files: open.go and source.go load; layer.go is what a model is made of; pass.go and attention.go compute, and pool.go has the
// threads; cache.go has keys and values; sequence.go remembers a text; generate.go, sample.go and classify.go use one.
package infer
