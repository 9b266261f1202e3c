// Package vector has the loops over float32 that a model is run with besides its products of tables: norms, rotations, activations, and what
// attention is made of. They come in plain Go, which says what they compute, and for amd64 with AVX2, eight values at a time.
//
// What does not belong here: layouts of models, goroutines (bitnet/infer), ternary products (bitnet/packed), tables of weights.
//
// # Order
//
// All loops give the same bits. Every operation rounds as it does in Go, none is fused with another, and sums run from first to last:
// what is done side by side are different sums. So a product with a matrix has its columns side by side (see [Blocks]), and a sum of
// squares rows. A softmax has the exponential of GoMLX's own. The one in a sigmoid is math.Exp of this processor, whose operations are
// repeated in float64, four at a time, with fused ones if math.Exp uses them, which is found out by trying. Where neither way is that of
// math.Exp, it is called.
//
// A NaN is a NaN in all loops, of whatever bits.
package vector
