// Package packed multiplies ternary matrices with int8 activations on CPUs: weights of 2 bits in the layout that kernels read, base 3
// (1.6 bits) for storage, activations quantized per token, and a product that is cut into parts for somebody else's workers. It needs
// neither GoMLX nor cgo.
//
// What does not belong here: norms, attention and whole models, goroutines, files. Training and its quantizers are in package bitnet,
// whose arithmetic this one repeats; see [Quantize] and [Activations.Quantize].
//
// # Layout
//
// A matrix [out, in] is cut into panels of 64 rows, the last one filled up with rows of zeros, and a panel into groups of four columns, the
// last one filled up likewise. A group has 64 bytes; panels follow one another, and in them the groups: [out/64][in/4][64]. The byte 4*j+i
// (j < 16, i < 4) of a group has the weights of column i of the group in the rows j, j+16, j+32 and j+48 of the panel, two bits each,
// the first in the lowest ones. A weight is stored as its code plus one: 0, 1 or 2.
//
// So one load of a register, masked with 3 after a shift by 0, 2, 4 or 6, gives 16 rows (of AVX-512; 8 of AVX2, 4 of NEON) times
// four columns as the dot-product instructions want them, with the four codes of a token repeated in every dword. Nothing is added
// up across a register, a matrix is read once from front to back, and products with one token and with many read the same bytes.
//
// # Exactness
//
// The sums of products of codes are integers and the same in every kernel. With weights stored as w+1 a kernel's sum is that of w*a plus
// that of the activation codes a alone, which is taken off at the end. Widths up to [MaxIn] fit into int32 in all that follows.
//
// VPMADDUBSW (AVX2) multiplies unsigned with signed bytes and adds up pairs in int16, which saturates. Weights 0 to 2 make a pair at
// least 2*2*-128 = -512 and at most 2*2*127 = 508, so that it never does, and 64 of them, the 256 columns after which AVX2's kernels
// widen to int32, lie from -32768 to 32512: they just fit. That is why those kernels shift codes down. Masked where they are
// (0x0c, 0x30, 0xc0) codes are 4, 16 and 64 times as large. A pair would still fit, -32768 to 32512 at most, but no sum of two.
// VPDPBUSD adds four products in int32, so the kernels of VNNI for one token do leave codes where they are, and shift the four sums
// at the end: 64*2*-128 a column for [MaxIn] columns is the smallest int32. SDOT takes signed bytes, of which 2<<6 is none, so
// that kernel shifts codes. A code 3, which no constructor but [FromPanels] lets through and [Matrix.Check] finds, gives wrong sums and
// does no other harm.
package packed
