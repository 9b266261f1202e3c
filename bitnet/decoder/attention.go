package decoder

import (
	"fmt"
	"math"
	"strings"

	"github.com/bitdistill/bitdistill/internal/matmul"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// masked is added to the score of a key that may not be seen. It is finite, so that a padding row, which may see nothing, still
// has a softmax.
const masked = -1e9

// attention computes grouped-query attention of the normed x [batch, length, hidden]: [batch, length, heads*headDim], in
// front of the output projection. Where only the chosen positions go on, it has their rows alone.
//
// Query heads that share a key head are stacked into one longer matrix, so that keys and values are never repeated. The
// softmax is not divided out on [.., length, length]: a column of ones beside the values sums the weights in the same product, and the
// much smaller result is divided instead.
func (f *forward) attention(layer int, x *Node) *Node {
	name := fmt.Sprintf("model.layers.%d.self_attn.", layer)
	qkv := f.linears(x, name+"q_proj", name+"k_proj", name+"v_proj")
	q := f.headNorm(name+"q_norm", qkv[0], f.Heads)
	k := f.headNorm(name+"k_norm", qkv[1], f.KVHeads)
	v := graph.Reshape(qkv[2], f.batch, f.length, f.KVHeads, f.HeadDim)
	q, k = f.rope.rotate(q), f.rope.rotate(k)
	if f.wantStates[layer] {
		flat := func(x *Node) *Node { return graph.Reshape(x, f.batch, f.length, -1) }
		f.out.States[layer] = State{Q: flat(q), K: flat(k), V: flat(v)}
	}

	group, n, queries, bias := f.Heads/f.KVHeads, f.batch*f.KVHeads, f.length, f.bias
	if f.picksIn(layer) {
		q, bias = f.pick(q), f.spread(f.pick(f.hidden()))
		queries = f.opts.At.Shape().Dimensions[1]
	}
	q = graph.MulScalar(q, 1/math.Sqrt(float64(f.HeadDim)))
	q = graph.Reshape(q, f.batch, queries, f.KVHeads, group, f.HeadDim)
	q = graph.Reshape(graph.TransposeAllAxes(q, 0, 2, 3, 1, 4), n, group*queries, f.HeadDim)
	k = graph.Reshape(graph.TransposeAllAxes(k, 0, 2, 3, 1), n, f.HeadDim, f.length)
	v = graph.Concatenate([]*Node{v, graph.Ones(f.g, shapes.Make(dtypes.Float32, f.batch, f.length, f.KVHeads, 1))}, -1)
	v = graph.Reshape(graph.TransposeAllAxes(v, 0, 2, 1, 3), n, f.length, f.HeadDim+1)

	scores := graph.Add(matmul.Mul(q, k), bias) // [n, group*queries, length]
	peak := graph.StopGradient(graph.ReduceAndKeep(graph.StopGradient(scores), graph.ReduceMax, -1))
	peak = graph.Reshape(matmul.Repeat(graph.Reshape(peak, -1, 1), f.length), scores.Shape().Dimensions...)
	summed := matmul.Mul(graph.Exp(graph.Sub(scores, peak)), v)
	values := graph.Slice(summed, graph.AxisRange(), graph.AxisRange(), graph.AxisRange(0, f.HeadDim))
	weights := graph.Slice(summed, graph.AxisRange(), graph.AxisRange(), graph.AxisRange(f.HeadDim, f.HeadDim+1))
	y := graph.Reshape(graph.Div(values, weights), f.batch, f.KVHeads, group, queries, f.HeadDim)
	return graph.Reshape(graph.TransposeAllAxes(y, 0, 3, 1, 2, 4), f.batch, queries, f.Heads*f.HeadDim)
}

// headNorm splits x [batch, length, heads*headDim] into heads and, where the family has it, RMS-normalises each.
func (f *forward) headNorm(name string, x *Node, heads int) *Node {
	x = graph.Reshape(x, f.batch, f.length, heads, f.HeadDim)
	if f.QKNorm() {
		x = f.norm(name, x)
	}
	return x
}

// hidden is masked at the columns that a row may not see and 0 elsewhere, [batch, length, length]: a row sees real tokens up to
// itself, and itself even if it is padding.
func (f *forward) hidden() *Node {
	square := shapes.Make(dtypes.Int32, f.batch, f.length, f.length)
	row, col := graph.Iota(f.g, square, 1), graph.Iota(f.g, square, 2)
	hidden := graph.GreaterThan(col, row)
	if f.in.Mask != nil {
		padding := graph.Reshape(graph.Equal(f.in.Mask, graph.ScalarZero(f.g, f.in.Mask.DType())), f.batch, 1, f.length)
		padding = graph.BroadcastToDims(padding, f.batch, f.length, f.length)
		hidden = graph.LogicalOr(hidden, graph.LogicalAnd(padding, graph.NotEqual(col, row)))
	}
	return graph.StopGradient(graph.MulScalar(graph.ConvertDType(hidden, dtypes.Float32), masked))
}

// spread repeats a mask [batch, rows, length] for every head, in the shape of the scores: [batch*kvHeads, group*rows, length].
func (f *forward) spread(mask *Node) *Node {
	rows := mask.Shape().Dimensions[1]
	perHead := graph.BroadcastToDims(graph.InsertAxes(mask, 1), f.batch, f.Heads, rows, f.length)
	return graph.Reshape(perHead, f.batch*f.KVHeads, f.Heads/f.KVHeads*rows, f.length)
}

// rotary holds the cosines and sines of the rotary position embedding, by number of heads.
type rotary struct {
	cos, sin map[int]*Node // [batch, length, heads, headDim/2]
}

// newRotary computes the angles position / theta^(2i/headDim) (Su et al. 2021). They are spread over the heads here, once for
// all layers.
func (f *forward) newRotary() rotary {
	half := f.HeadDim / 2
	inverse := make([]float32, half)
	for i := range inverse {
		inverse[i] = float32(1 / math.Pow(f.RopeTheta, float64(2*i)/float64(f.HeadDim)))
	}
	positions := f.in.Positions
	if positions == nil {
		positions = graph.Iota(f.g, shapes.Make(dtypes.Int32, 1, f.length), 1)
	}
	p := graph.ConvertDType(graph.Reshape(positions, -1, f.length, 1), dtypes.Float32)
	angle := graph.InsertAxes(graph.Mul(p, graph.Reshape(graph.Const(f.g, inverse), 1, 1, half)), 2)
	r := rotary{cos: map[int]*Node{}, sin: map[int]*Node{}}
	for _, heads := range []int{f.Heads, f.KVHeads} {
		r.cos[heads] = graph.BroadcastToDims(graph.Cos(angle), f.batch, f.length, heads, half)
		r.sin[heads] = graph.BroadcastToDims(graph.Sin(angle), f.batch, f.length, heads, half)
	}
	return r
}

// rotate turns x [batch, length, heads, headDim] by its position, pairing the value i with i + headDim/2 as Hugging Face
// files do.
func (r rotary) rotate(x *Node) *Node {
	heads, dim := x.Shape().Dimensions[2], x.Shape().Dimensions[3]
	cos, sin := r.cos[heads], r.sin[heads]
	all := graph.AxisRange()
	a := graph.Slice(x, all, all, all, graph.AxisRange(0, dim/2))
	b := graph.Slice(x, all, all, all, graph.AxisRange(dim/2, dim))
	return graph.Concatenate([]*Node{
		graph.Sub(graph.Mul(a, cos), graph.Mul(b, sin)),
		graph.Add(graph.Mul(b, cos), graph.Mul(a, sin)),
	}, -1)
}

// scopeOf is the scope of a tensor's Hugging Face name without its last part.
func scopeOf(root *model.Scope, name string) *model.Scope {
	for _, part := range strings.Split(name, ".") {
		root = root.At("%s", part)
	}
	return root
}

// linearKind cuts "model.layers.3." off the name of a linear.
func linearKind(name string) string {
	return strings.SplitN(name, ".", 4)[3]
}
