package loss

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
)

const (
	// floor is the least probability of a relation.
	floor = 1e-8
	// shortest is the squared length below which a vector has no direction: its relations and its gradient are zero.
	shortest = 1e-24
)

// divergence is the sum over all rows of KL(teacher || student) of the relations of one state, [batch, length, width]
// each. mask is [batch, length] float32.
func (r Relations) divergence(student, teacher, mask *graph.Node) *graph.Node {
	dims := mask.Shape().Dimensions
	check(len(dims) == 2, "mask %s, want [batch, length]", mask.Shape())
	batch, length := dims[0], dims[1]
	for _, x := range []*graph.Node{student, teacher} {
		d := x.Shape().Dimensions
		check(len(d) == 3 && d[0] == batch && d[1] == length, "state %s does not fit mask %s", x.Shape(), mask.Shape())
		check(r.SplitHeads > 0 && d[2]%r.SplitHeads == 0, "split_heads: %d does not divide the width of state %s", r.SplitHeads, x.Shape())
	}
	columns := graph.Reshape(mask, batch, 1, 1, length)
	s, t := r.vectors(student, columns), r.vectors(teacher, columns)
	if r.bounded(length) {
		return boundedDivergence(s, t, columns)
	}
	return flooredDivergence(s, t, columns)
}

// vectors cuts x [batch, length, width] into relation heads and scales them such that products of two vectors are the
// logits of the relation. The result is [batch, split, d, length]: with the length last, all products below are of the
// layout that the pure-Go backend multiplies fastest. Padding becomes zero, so its logits are zero for student and
// teacher alike and its rows diverge by nothing.
func (r Relations) vectors(x, columns *graph.Node) *graph.Node {
	dims := x.Shape().Dimensions
	d := dims[2] / r.SplitHeads
	heads := graph.TransposeAllAxes(graph.Reshape(graph.ConvertDType(x, dtypes.Float32), dims[0], dims[1], r.SplitHeads, d), 0, 2, 3, 1)
	if r.Variant != L2 {
		perVector := 1 / math.Sqrt(r.Temperature) // of a product, each factor takes the root
		if r.Variant == Sqrt {
			perVector *= math.Pow(float64(d), -0.25)
		}
		return graph.Mul(heads, graph.MulScalar(columns, perVector))
	}
	squares := graph.ReduceAndKeep(graph.Square(heads), graph.ReduceSum, 2)
	// A vector without direction is divided by one instead, and then left out: neither the square root nor the
	// quotient nor their gradients ever see a zero.
	one := graph.OnesLike(squares)
	hasDirection := graph.GreaterThan(squares, graph.Scalar(x.Graph(), dtypes.Float32, shortest))
	perLength := graph.Div(graph.ConvertDType(hasDirection, dtypes.Float32), graph.Sqrt(graph.Where(hasDirection, squares, one)))
	return graph.Mul(heads, graph.Mul(perLength, graph.MulScalar(columns, 1/math.Sqrt(r.Temperature))))
}

// bounded reports whether no probability of a relation can fall to the floor: the logits of normalised vectors lie
// within ±1/temperature.
func (r Relations) bounded(length int) bool {
	return r.Variant == L2 && 2/r.Temperature+math.Log(float64(length)) < -math.Log(floor)
}

// boundedDivergence is the divergence when the floor is out of reach. s and t are [batch, split, d, length], columns is
// [batch, 1, 1, length].
//
// With R = sᵀs, E = exp(R) and Z the sums of E's rows, a row's divergence is
//
//	Σ_j q_ij (t_i·t_j - s_i·s_j) + log Z_s,i - log Z_t,i,   q = E_t/Z_t
//
// so that all sums over j are products with E, masked because padded columns of s and t are zero. And since E is
// symmetric, the gradient with respect to s, s·(G + Gᵀ) with G = E_s/Z_s - E_t/Z_t, is made of products with E as well:
// of all that is [length, length] there are two matrices, two exponentials, and nothing is broadcast, reduced or
// transposed.
func boundedDivergence(s, t, columns *graph.Node) *graph.Node {
	dims := s.Shape().Dimensions
	ones := graph.BroadcastToDims(columns, dims[0], dims[1], 1, dims[3])
	student, teacher := graph.StopGradient(s), graph.StopGradient(t)
	es, et := graph.Exp(products(student)), graph.Exp(products(teacher))

	zs, zt := inverse(times(ones, es)), inverse(times(ones, et)) // 1/Z, [batch, split, 1, length]
	byStudent := graph.Mul(times(student, es), zs)
	byTeacher := graph.Mul(times(student, et), zt)

	// Σ_d, per vector: [batch, split, 1, length]
	along := func(x, y *graph.Node) *graph.Node { return graph.ReduceAndKeep(graph.Mul(x, y), graph.ReduceSum, 2) }
	expected := graph.Sub(graph.Mul(along(teacher, times(teacher, et)), zt), along(student, byTeacher))
	value := total(graph.Sub(expected, graph.Log(graph.Div(zs, zt))))
	gradient := graph.Add(
		graph.Sub(byStudent, byTeacher),
		graph.Sub(times(graph.Mul(student, zs), es), times(graph.Mul(student, zt), et)))
	return withGradient(value, s, gradient)
}

// flooredDivergence is the divergence with the floor, and with logits of any size; arguments as in boundedDivergence.
func flooredDivergence(s, t, columns *graph.Node) *graph.Node {
	// Both models give padded columns the floor, where they differ by nothing and pass no gradient on.
	padding := graph.MulScalar(graph.AddScalar(columns, -1), 1e9)
	logProbability := func(x *graph.Node) *graph.Node {
		return graph.MaxScalar(graph.LogSoftmax(graph.Add(products(x), padding), -1), math.Log(floor))
	}
	p, q := logProbability(s), logProbability(t)
	return total(graph.Mul(graph.Exp(q), graph.Sub(q, p)))
}

// products is the product of every vector with every other: [batch, split, d, length] to [batch, split, length, length].
func products(x *graph.Node) *graph.Node { return times(graph.Transpose(x, 2, 3), x) }

// times multiplies the matrices in the last two axes.
func times(x, y *graph.Node) *graph.Node {
	return graph.DotGeneral(x, []int{3}, []int{0, 1}, y, []int{2}, []int{0, 1})
}

// inverse is 1/z, and 1 where a sequence is all padding and z is zero.
func inverse(z *graph.Node) *graph.Node {
	return graph.Reciprocal(graph.Where(graph.Equal(z, graph.ZerosLike(z)), graph.OnesLike(z), z))
}

// total sums everything, the last axis first: a single running float32 sum over all of it would lose digits.
func total(x *graph.Node) *graph.Node { return graph.ReduceAllSum(graph.ReduceSum(x, -1)) }
