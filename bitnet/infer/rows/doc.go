// Package rows multiplies matrices whose values are stored one by one or in blocks (embeddings, heads, linears in full precision) with tokens,
// from the bytes of a model file as they are: row by row, aligned to nothing. It needs neither GoMLX nor cgo.
//
// What does not belong here: ternary matrices (bitnet/packed), files and the meaning of their types (bitnet/gguf), threads and all
// else of a model (bitnet/infer).
//
// # Order of sums
//
// A product of a row with a token has the same bits whatever is computed beside it, with every kernel and on every machine.
//
// F32, F16 and BF16: products are rounded to float32 and added up from the first column to the last, as the graph of training does it on
// GoMLX's pure-Go backend. What runs side by side are 16 rows, whose values kernels transpose in registers: for one token on the way,
// for several once for all of them into a buffer in the first cache.
//
// Q8_0 and Q4_0, blocks of 32 codes with a scale in half precision: a token's values become integers of 16 bits with a scale for each 32 of
// them (see [Codes]), which is finer than the matrix by a factor of 250 and more, and makes sums of a block exact. With the
// codes c of a block, k of the token's and the scales d and e, lane j of 8 adds (c[4j]k[4j] + c[4j+1]k[4j+1] + c[4j+2]k[4j+2] +
// c[4j+3]k[4j+3])·(d·e) to its sum over the even blocks or to that over the odd ones. In the end these two are added, and then lane j+4
// to lane j, j+2 to j, and 1 to 0.
package rows
