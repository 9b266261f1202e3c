package loss

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// Ignored is the target of a position that is not counted.
const Ignored = -100

// CrossEntropy is the sum of -log softmax(logits)[target] over the counted positions, divided by count.
//
//   - logits: [batch, positions, vocabulary] float32
//   - targets: [batch, positions] int32, the token that each position predicts; a negative one, such as [Ignored], is
//     not counted
//   - count: scalar float32, the counted targets of the whole batch
func CrossEntropy(logits, targets, count *graph.Node) *graph.Node {
	x, _ := rows(logits)
	value, gradient := crossEntropy(x, targets, count)
	return withGradient(value, x, gradient)
}

// crossEntropy is the value and its gradient with respect to the logits x [n, vocabulary].
func crossEntropy(x, targets, count *graph.Node) (value, gradient *graph.Node) {
	vocabulary := x.Shape().Dim(1)
	n := x.Shape().Dim(0)
	check(targets.Shape().Size() == n, "targets %s do not fit logits %s", targets.Shape(), x.Shape())
	g := x.Graph()

	target := graph.Reshape(graph.ConvertDType(targets, dtypes.Int32), n, 1)
	weight := graph.Div(
		graph.ConvertDType(graph.GreaterOrEqual(target, graph.ScalarZero(g, dtypes.Int32)), dtypes.Float32),
		denominator(count)) // [n, 1]
	place := graph.Concatenate([]*graph.Node{
		graph.Iota(g, shapes.Make(dtypes.Int32, n, 1), 0),
		graph.ClipScalar(target, 0, float64(vocabulary-1)),
	}, 1) // [n, 2]: row and column of each target

	p, logSum := softmax(graph.StopGradient(x))
	surprise := graph.Sub(logSum, graph.Reshape(graph.Gather(graph.StopGradient(x), place, true), n, 1))
	// The gradient of a row is softmax(x) - onehot(target). The one-hot rows are never built: their ones are
	// subtracted in place.
	gradient = graph.ScatterSum(graph.Mul(p, weight), place, graph.Reshape(graph.Neg(weight), n), true, true)
	return graph.ReduceAllSum(graph.Mul(surprise, weight)), gradient
}

// Logits is logits distillation: the divergence KL(teacher || student) of the softmax of logits/tau (Eq. 7 and 8).
type Logits struct {
	Tau float64 `json:"tau"` // temperature, > 0; the paper's is 5
	// TauSquared multiplies the loss by tau², as the authors' code does. It keeps the size of the gradient when tau
	// changes. Eq. 8 has no such factor.
	TauSquared bool `json:"tau_squared"`
}

// Validate returns an error that names the field that is out of range.
func (l Logits) Validate() error {
	if !(l.Tau > 0) || math.IsInf(l.Tau, 1) {
		return fmt.Errorf("tau: %g, want a positive number", l.Tau)
	}
	return nil
}

// Loss is the sum of the kept positions' divergences, divided by count.
//
//   - student, teacher: [batch, positions, vocabulary] float32
//   - keep: [batch, positions] bool, or numbers that are 0 or 1
//   - count: scalar float32, the kept positions of the whole batch
func (l Logits) Loss(student, teacher, keep, count *graph.Node) *graph.Node {
	check(student.Shape().Equal(teacher.Shape()), "logits of student %s and teacher %s differ in shape; both models need the same vocabulary",
		student.Shape(), teacher.Shape())
	x, _ := rows(student)
	y, _ := rows(teacher)
	value, gradient := l.divergence(x, y, keep, count)
	return withGradient(value, x, gradient)
}

// divergence is the value and its gradient with respect to the student's logits x [n, vocabulary]; y are the teacher's.
func (l Logits) divergence(x, y, keep, count *graph.Node) (value, gradient *graph.Node) {
	n := x.Shape().Dim(0)
	check(keep.Shape().Size() == n, "keep %s does not fit logits %s", keep.Shape(), x.Shape())
	weight := graph.Div(graph.Reshape(graph.ConvertDType(keep, dtypes.Float32), n, 1), denominator(count))
	if l.TauSquared {
		weight = graph.MulScalar(weight, l.Tau*l.Tau)
	}

	// A true division: multiplying by 1/tau, as DivScalar does, would round twice.
	tau := graph.Scalar(x.Graph(), dtypes.Float32, l.Tau)
	s, t := graph.Div(graph.StopGradient(x), tau), graph.Div(graph.StopGradient(y), tau)
	p, logSumS := softmax(s)
	q, logSumT := softmax(t)
	// log q - log p = (t - s) - (logSumT - logSumS), and q sums to one: no logarithm of a matrix is needed.
	divergence := graph.Add(graph.ReduceAndKeep(graph.Mul(q, graph.Sub(t, s)), graph.ReduceSum, -1), graph.Sub(logSumS, logSumT))
	gradient = graph.Mul(graph.Sub(p, q), graph.Div(weight, tau))
	return graph.ReduceAllSum(graph.Mul(divergence, weight)), gradient
}

// rows flattens logits [..., vocabulary] to [n, vocabulary] and returns the size of the vocabulary too.
func rows(logits *graph.Node) (*graph.Node, int) {
	check(logits.Rank() > 1, "logits %s, want [batch, positions, vocabulary]", logits.Shape())
	vocabulary := logits.Shape().Dim(-1)
	return graph.Reshape(graph.ConvertDType(logits, dtypes.Float32), logits.Shape().Size()/vocabulary, vocabulary), vocabulary
}

// softmax returns the probabilities p of the rows of x [n, vocabulary] and the logarithms [n, 1] of their sums of
// exponentials. The pure-Go backend computes p in one pass; of the largest entry log p = x - logSum, and its p is
// never small.
func softmax(x *graph.Node) (p, logSum *graph.Node) {
	p = graph.Softmax(x, -1)
	return p, graph.Sub(graph.ReduceAndKeep(x, graph.ReduceMax, -1), graph.Log(graph.ReduceAndKeep(p, graph.ReduceMax, -1)))
}

// denominator guards against a count of zero.
func denominator(count *graph.Node) *graph.Node {
	check(count.IsScalar(), "a count has shape %s, want a scalar", count.Shape())
	return graph.Max(graph.ConvertDType(count, dtypes.Float32), graph.ScalarOne(count.Graph(), dtypes.Float32))
}

// withGradient returns the scalar value, with the given gradient with respect to x. Gradients written down by hand take
// a fraction of the time of derived ones on the pure-Go backend: they need neither transposes nor broadcasts of what is
// largest.
func withGradient(value, x, gradient *graph.Node) *graph.Node {
	return graph.Add(graph.StopGradient(value), onlyGradient(x, gradient))
}

// onlyGradient is 0, with the given gradient with respect to x.
func onlyGradient(x, gradient *graph.Node) *graph.Node {
	first := func(x *graph.Node) *graph.Node { // a scalar
		return graph.Reshape(graph.Slice(graph.Reshape(x, x.Shape().Size()), graph.AxisElem(0)))
	}
	// What comes back to x is the gradient of its first entry alone: that of the loss.
	seen := first(graph.IdentityWithCustomGradient(x, func(_, v *graph.Node) *graph.Node {
		return graph.Mul(gradient, first(v))
	}))
	return graph.Sub(seen, graph.StopGradient(seen))
}

// check panics with an error, as GoMLX does, when shapes do not fit.
func check(ok bool, format string, args ...any) {
	if !ok {
		panic(fmt.Errorf("loss: "+format, args...))
	}
}
