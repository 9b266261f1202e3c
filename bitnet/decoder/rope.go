package decoder

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// rotary holds the cosines and sines of the rotary position embedding, by number of heads.
type rotary struct {
	cos, sin map[int]*Node // [batch, length, heads, headDim/2]
}

// newRotary computes the angles position · frequency. They are spread over the heads here, once for all layers.
func (f *forward) newRotary(frequencies []float32) rotary {
	half := len(frequencies)
	positions := f.in.Positions
	switch {
	case positions != nil:
	case f.in.Cache != nil:
		positions = f.in.Cache.At
	default:
		positions = graph.Iota(f.g, shapes.Make(dtypes.Int32, 1, f.length), 1)
	}
	p := graph.ConvertDType(graph.Reshape(positions, -1, f.length, 1), dtypes.Float32)
	angle := graph.InsertAxes(graph.Mul(p, graph.Reshape(graph.Const(f.g, frequencies), 1, 1, half)), 2)
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
