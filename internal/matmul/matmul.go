// Package matmul multiplies matrices in the one layout that every GoMLX backend runs fast.
//
// GoMLX's pure-Go backend has two kernels for small and batched products: lhs [.., M, K] times rhs [.., K, N] is fast,
// lhs [.., M, K] times rhs [.., N, K] is some twenty times slower, and every other layout is first transposed to the slow
// one, the large operand too. Automatic differentiation of a product asks for exactly those other layouts. So the product here
// carries its own gradient, written with fast products only and with transposes of the smaller operands. For XLA it is
// a product like any other.
//
// On that backend a product is also the cheapest way to repeat a column over a matrix and to sum rows: its broadcasts and
// reductions compute an index for every value.
package matmul

import (
	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// Node is a value of the graph under construction.
type Node = graph.Node

// Mul is the matrix product of a [batch.., M, K] and b [batch.., K, N], of equal rank (at least 2) and equal batch axes:
// [batch.., M, N].
func Mul(a, b *Node) *Node { return mul(a, b, product, product) }

// Codes is [Mul] of integers that bfloat16 holds, up to 256 in magnitude. A backend that is faster at bfloat16 multiplies that, with
// the same result: sums are of float32. With rounded its products of the gradient are of bfloat16 too, and round what they get.
func Codes(a, b *Node, rounded bool) *Node {
	switch fast := backend.FastBFloat16(a.Graph().Backend()); {
	case !fast:
		return mul(a, b, product, product)
	case rounded:
		return mul(a, b, product16, product16)
	default:
		return mul(a, b, product16, product)
	}
}

// product16 is product of operands rounded to bfloat16.
func product16(a, b *Node) *Node {
	return contract(graph.Dot(graph.ConvertDType(a, dtypes.BFloat16), graph.ConvertDType(b, dtypes.BFloat16)).WithOutputDType(dtypes.Float32), a.Rank())
}

// mul multiplies, with a gradient that multiplies by backward.
func mul(a, b *Node, forward, backward func(a, b *Node) *Node) *Node {
	// The gradient walk passes the output first, then what is seen, then the inputs. What it sees there is an operand computed
	// anew where that has a checkpoint; where an operand has no gradient it does not come by.
	left, right := a, b
	var dOut *Node
	aIn := graph.IdentityWithCustomGradient(a, func(_, _ *Node) *Node { return backward(dOut, Transpose(right)) })
	bIn := graph.IdentityWithCustomGradient(b, func(_, _ *Node) *Node { return leftTransposed(left, dOut, backward) })
	aSeen := graph.IdentityWithCustomGradient(aIn, func(x, v *Node) *Node {
		left = x
		return v
	})
	bSeen := graph.IdentityWithCustomGradient(bIn, func(x, v *Node) *Node {
		right = x
		return v
	})
	out := forward(aSeen, bSeen)
	return graph.IdentityWithCustomGradient(out, func(_, v *Node) *Node {
		dOut = v
		return v
	})
}

// Outer is the outer product of col [n, 1] and row [1, m]: [n, m].
func Outer(col, row *Node) *Node {
	if !interpreted(col) {
		return graph.Mul(col, row)
	}
	return Mul(col, row)
}

// Repeat puts m copies of col [n, 1] side by side: [n, m].
func Repeat(col *Node, m int) *Node { return Outer(col, ones(col, 1, m)) }

// RowSums adds up the rows of x [n, m]: [n, 1].
func RowSums(x *Node) *Node {
	if !interpreted(x) {
		return graph.ReduceAndKeep(x, graph.ReduceSum, -1)
	}
	return Mul(x, ones(x, x.Shape().Dimensions[1], 1))
}

func interpreted(x *Node) bool { return backend.Interprets(x.Graph().Backend()) }

func ones(like *Node, rows, cols int) *Node {
	return graph.Ones(like.Graph(), shapes.Make(dtypes.Float32, rows, cols))
}

// Transpose swaps the last two axes.
func Transpose(x *Node) *Node { return graph.Transpose(x, -2, -1) }

// LeftTransposed is transpose(a)·d, with the smaller of a [.., M, K] and d [.., M, N] being the one that is transposed.
func LeftTransposed(a, d *Node) *Node { return leftTransposed(a, d, product) }

func leftTransposed(a, d *Node, product func(a, b *Node) *Node) *Node {
	if a.Shape().Size() <= d.Shape().Size() {
		return product(Transpose(a), d)
	}
	return Transpose(product(Transpose(d), a))
}

// lanes is the number of columns that the pure-Go kernels compute at once. One column alone takes ten times longer than all.
const lanes = 8

// product contracts the last axis of a with the one before the last of b.
func product(a, b *Node) *Node {
	rank := a.Rank()
	if rank == 2 && b.Shape().Dimensions[1] == 1 && interpreted(a) {
		wide := product(a, graph.BroadcastToDims(b, b.Shape().Dimensions[0], lanes))
		return graph.Slice(wide, graph.AxisRange(), graph.AxisRange(0, 1))
	}
	return contract(graph.Dot(a, b), rank)
}

func contract(operands *graph.DotBuilder, rank int) *Node {
	batch := make([][2]int, rank-2)
	for i := range batch {
		batch[i] = [2]int{i, i}
	}
	return operands.EinsumAxes([][2]int{{rank - 1, rank - 2}}, batch)
}
