package loss

import (
	"github.com/bitdistill/bitdistill/internal/matmul"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
)

// Head is where a model's logits come from: Hidden·Weightᵀ.
type Head struct {
	Hidden *graph.Node // [batch, positions, hidden] float32, behind the last norm
	Weight *graph.Node // [vocabulary, hidden] float32
}

// Vocabulary is cross entropy and logits distillation without the logits of all positions: they are computed a part of the positions
// at a time, and so are their gradients, which leave as those of hidden states and output matrix.
type Vocabulary struct {
	Distil Logits  // with a teacher
	Lambda float64 // weight of logits distillation in the total; 0 leaves it out
	Parts  int     // parts that the positions are computed in, at least 1
}

// Targets say which positions count. See [CrossEntropy] and [Logits.Loss].
type Targets struct {
	IDs       *graph.Node // [batch, positions] int32
	Keep      *graph.Node // [batch, positions], for logits distillation
	Count     *graph.Node // scalar float32: counted targets of the whole batch
	KeptCount *graph.Node // scalar float32: kept positions of the whole batch
}

// Loss is the total, cross entropy plus Lambda times logits distillation, and the two, scalars. Only the total has a gradient: with
// respect to the student's hidden states and output matrix. The teacher may be nil where Lambda is 0; it needs the student's
// positions and vocabulary.
func (v Vocabulary) Loss(student Head, teacher *Head, t Targets) (total, ce, ld *graph.Node) {
	check(v.Lambda == 0 || teacher != nil, "logits distillation without a teacher")
	check(v.Parts > 0, "%d parts of a batch, want at least 1", v.Parts)
	g := student.Hidden.Graph()
	n := t.IDs.Shape().Size()
	hidden := flat(student, n)
	var other *graph.Node
	if v.Lambda > 0 {
		other = graph.StopGradient(flat(*teacher, n))
	}
	ids, keep := graph.Reshape(t.IDs, 1, n), graph.Reshape(t.Keep, 1, n)

	ce, ld = graph.ScalarZero(g, dtypes.Float32), graph.ScalarZero(g, dtypes.Float32)
	var byHidden []*graph.Node // gradients
	var byWeight *graph.Node
	rows := (n + v.Parts - 1) / v.Parts
	for from := 0; from < n; from += rows {
		to := min(from+rows, n)
		rowsOf := func(x *graph.Node) *graph.Node { return graph.Slice(x, graph.AxisRange(from, to)) }
		columnsOf := func(x *graph.Node) *graph.Node { return graph.Slice(x, graph.AxisRange(), graph.AxisRange(from, to)) }
		h := rowsOf(hidden)
		if byWeight != nil {
			h = graph.SchedulingBarrier(h, byWeight) // or XLA computes the logits of all parts before anything else
		}
		w := graph.StopGradient(student.Weight)
		x := matmul.Mul(h, matmul.Transpose(w))
		value, gradient := crossEntropy(x, columnsOf(ids), t.Count)
		ce = graph.Add(ce, value)
		if v.Lambda > 0 {
			y := matmul.Mul(rowsOf(other), matmul.Transpose(graph.StopGradient(teacher.Weight)))
			value, more := v.Distil.divergence(x, y, columnsOf(keep), t.KeptCount)
			ld = graph.Add(ld, value)
			gradient = graph.Add(gradient, graph.MulScalar(more, v.Lambda))
		}
		byHidden = append(byHidden, matmul.Mul(gradient, w))
		part := matmul.LeftTransposed(gradient, h)
		if byWeight != nil {
			part = graph.Add(byWeight, part)
		}
		byWeight = part
	}
	total = ce
	if v.Lambda > 0 {
		total = graph.Add(total, graph.MulScalar(ld, v.Lambda))
	}
	gradient := graph.Add(
		onlyGradient(student.Hidden, graph.Reshape(graph.Concatenate(byHidden, 0), student.Hidden.Shape().Dimensions...)),
		onlyGradient(student.Weight, byWeight))
	return graph.Add(graph.StopGradient(total), gradient), graph.StopGradient(ce), graph.StopGradient(ld)
}

// flat is the head's hidden states without a gradient, [n, hidden].
func flat(h Head, n int) *graph.Node {
	width := h.Hidden.Shape().Dim(-1)
	check(h.Hidden.Shape().Size() == n*width, "hidden states %s do not fit %d positions", h.Hidden.Shape(), n)
	check(h.Weight.Rank() == 2 && h.Weight.Shape().Dim(1) == width, "output matrix %s does not fit hidden states %s", h.Weight.Shape(), h.Hidden.Shape())
	return graph.Reshape(graph.StopGradient(h.Hidden), n, width)
}
