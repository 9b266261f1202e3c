package decoder

import (
	"fmt"
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
// Query heads that share a key head are stacked into one longer matrix, so that keys and values are never repeated.
func (f *forward) attention(layer int, x *Node) *Node {
	name := fmt.Sprintf("model.layers.%d.self_attn.", layer)
	qkv := f.linears(x, name+"q_proj", name+"k_proj", name+"v_proj")
	q := f.headNorm(name+"q_norm", qkv[0], f.Heads)
	k := f.headNorm(name+"k_norm", qkv[1], f.KVHeads)
	v := graph.Reshape(qkv[2], f.batch, f.length, f.KVHeads, f.HeadDim)
	view := f.viewOf(layer)
	q, k = view.rope.rotate(q), view.rope.rotate(k)
	if f.wantStates[layer] {
		flat := func(x *Node) *Node {
			if f.opts.Checkpoints {
				x = x.StopCheckpoint() // what follows from the states is not computed anew
			}
			return graph.Reshape(x, f.batch, f.length, -1)
		}
		f.out.States[layer] = State{Q: flat(q), K: flat(k), V: flat(v)}
	}

	group, n, queries, bias := f.Heads/f.KVHeads, f.batch*f.KVHeads, f.length, view.bias
	if f.picksIn(layer) {
		q, bias = f.pick(q), f.spread(f.pick(f.hidden(view.window)))
		queries = f.opts.At.Shape().Dimensions[1]
	}
	q = graph.MulScalar(q, f.ScoreScale())
	q = graph.Reshape(q, f.batch, queries, f.KVHeads, group, f.HeadDim)
	q = graph.Reshape(graph.TransposeAllAxes(q, 0, 2, 3, 1, 4), n, group*queries, f.HeadDim)
	k = graph.Reshape(graph.TransposeAllAxes(k, 0, 2, 3, 1), n, f.HeadDim, f.length)
	v = graph.Reshape(graph.TransposeAllAxes(v, 0, 2, 1, 3), n, f.length, f.HeadDim)
	k, v = f.remember(layer, k, v)

	y := weigh(graph.Add(matmul.Mul(q, k), bias), v)
	y = graph.Reshape(y, f.batch, f.KVHeads, group, queries, f.HeadDim)
	return graph.Reshape(graph.TransposeAllAxes(y, 0, 3, 1, 2, 4), f.batch, queries, f.Heads*f.HeadDim)
}

// weigh is softmax(scores)·values, of [n, rows, keys] and [n, keys, width]: [n, rows, width].
//
// With p the softmax and d the gradient of the result y, that of the scores is p∘(d·valuesᵀ - sum(d∘y)), the sum being over a row (Dao et al.
// 2022), so that of what is as large as the scores nothing is kept but p. The sum is taken off by the product itself, as one more column
// of d against a row of ones. Seven more of zeros make whole vectors: the pure-Go kernels are ten times slower on a ninth column alone.
func weigh(scores, values *Node) *Node {
	// As in package matmul, what a gradient needs of the forward pass goes by on its way back, which a checkpoint may have computed anew.
	// Where no gradient passes, since only some weights have one, it is what the forward pass had.
	var p, y, v, d *Node
	see := func(x *Node, at **Node) *Node {
		*at = x
		return graph.IdentityWithCustomGradient(x, func(x, d *Node) *Node {
			*at = x
			return d
		})
	}
	scores = graph.IdentityWithCustomGradient(scores, func(_, _ *Node) *Node {
		dims := d.Shape().Dimensions
		rows, width := dims[0]*dims[1], dims[2]
		sums := graph.Neg(matmul.RowSums(graph.Reshape(graph.Mul(d, y), rows, width)))
		sums = graph.Concatenate([]*Node{graph.Reshape(sums, dims[0], dims[1], 1), graph.Zeros(d.Graph(), shapes.Make(dtypes.Float32, dims[0], dims[1], 7))}, -1)
		one := graph.Ones(d.Graph(), shapes.Make(dtypes.Float32, dims[0], 8, v.Shape().Dim(1)))
		return graph.Mul(p, matmul.Mul(graph.Concatenate([]*Node{d, sums}, -1), graph.Concatenate([]*Node{matmul.Transpose(v), one}, 1)))
	})
	values = graph.IdentityWithCustomGradient(values, func(_, _ *Node) *Node { return matmul.LeftTransposed(p, d) })
	out := see(matmul.Mul(see(graph.Softmax(scores, -1), &p), see(values, &v)), &y)
	return graph.IdentityWithCustomGradient(out, func(_, upstream *Node) *Node {
		d = upstream
		return upstream
	})
}

// headNorm splits x [batch, length, heads*headDim] into heads and, where the family has it, RMS-normalises each.
func (f *forward) headNorm(name string, x *Node, heads int) *Node {
	x = graph.Reshape(x, f.batch, f.length, heads, f.HeadDim)
	if f.QKNorm() {
		x = f.norm(name, x)
	}
	return x
}

// view is how a layer looks at the tokens before it.
type view struct {
	window int // tokens it sees, itself included; 0 for all
	rope   rotary
	bias   *Node // what is added to the scores, [batch*kvHeads, group*length, keys]
}

// viewOf is the view of a layer; those of a kind share it.
func (f *forward) viewOf(layer int) *view {
	sliding := f.Sliding(layer)
	if v, ok := f.views[sliding]; ok {
		return v
	}
	v := &view{rope: f.newRotary(f.Frequencies(sliding))}
	if sliding {
		v.window = f.SlidingWindow
	}
	v.bias = f.spread(f.hidden(v.window))
	f.views[sliding] = v
	return v
}

// hidden is masked at the columns that a row may not see and 0 elsewhere, [batch, length, keys]: a row sees real tokens up to
// itself, those in its window if there is one, and itself even if it is padding.
func (f *forward) hidden(window int) *Node {
	scores := shapes.Make(dtypes.Int32, f.batch, f.length, f.keys)
	row, col := graph.Iota(f.g, scores, 1), graph.Iota(f.g, scores, 2)
	if f.in.Cache != nil {
		row = graph.BroadcastToDims(graph.Reshape(f.in.Cache.At, 1, 1, 1), f.batch, 1, f.keys)
	}
	hidden := graph.GreaterThan(col, row)
	if window > 0 && window < f.keys {
		hidden = graph.LogicalOr(hidden, graph.LessOrEqual(col, graph.AddScalar(row, -window)))
	}
	if f.in.Mask != nil {
		padding := graph.Reshape(graph.Equal(f.in.Mask, graph.ScalarZero(f.g, f.in.Mask.DType())), f.batch, 1, f.keys)
		padding = graph.BroadcastToDims(padding, f.batch, f.length, f.keys)
		hidden = graph.LogicalOr(hidden, graph.LogicalAnd(padding, graph.NotEqual(col, row)))
	}
	return graph.StopGradient(graph.MulScalar(graph.ConvertDType(hidden, dtypes.Float32), masked))
}

// spread repeats a mask [batch, rows, keys] for every head, in the shape of the scores: [batch*kvHeads, group*rows, keys].
func (f *forward) spread(mask *Node) *Node {
	rows := mask.Shape().Dimensions[1]
	perHead := graph.BroadcastToDims(graph.InsertAxes(mask, 1), f.batch, f.Heads, rows, f.keys)
	return graph.Reshape(perHead, f.batch*f.KVHeads, f.Heads/f.KVHeads*rows, f.keys)
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
