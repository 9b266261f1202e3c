package decoder

import (
	"fmt"
	"slices"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// Cache holds the keys and values of the tokens so far, so that a further token costs one position and no more. Options.Keep
// begins it; a pass with Inputs.Cache computes one more token a row and returns the cache with it. Keys are rotated already.
//
// The layout is that of the operands of attention's two products, so that nothing is transposed for a token. What no token has
// filled is zero.
type Cache struct {
	At   *Node   // scalar int32: the column of the token to be computed, the number of those before it with their padding
	K, V []*Node // by layer, float32: keys [batch*kvHeads, headDim, capacity], values [batch*kvHeads, capacity, headDim]
}

// CacheShapes are the shapes of a layer's keys and values.
func CacheShapes(c arch.Config, batch, capacity int) (k, v shapes.Shape) {
	n := batch * c.KVHeads
	return shapes.Make(dtypes.Float32, n, c.HeadDim, capacity), shapes.Make(dtypes.Float32, n, capacity, c.HeadDim)
}

// checkCache takes the capacity over, and refuses a cache of another model or batch.
func (f *forward) checkCache() {
	if keep := f.opts.Keep; keep > 0 && keep < f.length {
		panic(fmt.Errorf("decoder: a cache of %d tokens does not hold a sequence of %d", keep, f.length))
	}
	c := f.in.Cache
	if f.opts.Keep > 0 || c != nil {
		f.out.Cache = &Cache{}
	}
	if c == nil {
		return
	}
	if f.length != 1 || f.opts.Keep > 0 || len(c.K) != f.Layers || len(c.V) != f.Layers || !c.At.Shape().IsScalar() {
		panic(fmt.Errorf("decoder: with a cache, a pass takes 1 token a row, a scalar At, and keys and values of %d layers; got %d tokens, At %s and %d and %d layers",
			f.Layers, f.length, c.At.Shape(), len(c.K), len(c.V)))
	}
	f.keys = c.K[0].Shape().Dim(-1)
	k, v := CacheShapes(f.Config, f.batch, f.keys)
	for i := range c.K {
		if !c.K[i].Shape().Equal(k) || !c.V[i].Shape().Equal(v) {
			panic(fmt.Errorf("decoder: layer %d of the cache has keys %s and values %s, want %s and %s", i, c.K[i].Shape(), c.V[i].Shape(), k, v))
		}
	}
}

// remember gives the keys [n, headDim, keys] and values [n, keys, headDim] that a layer attends to, n being batch*kvHeads: those
// of this pass, [.., length], with those of the cache.
func (f *forward) remember(layer int, k, v *Node) (keys, values *Node) {
	switch {
	case f.in.Cache != nil:
		k, v = f.place(f.in.Cache.K[layer], k, 2), f.place(f.in.Cache.V[layer], v, 1)
		f.out.Cache.K, f.out.Cache.V = append(f.out.Cache.K, k), append(f.out.Cache.V, v)
	case f.opts.Keep > 0:
		f.out.Cache.K = append(f.out.Cache.K, f.extend(k, 2))
		f.out.Cache.V = append(f.out.Cache.V, f.extend(v, 1))
	}
	return k, v
}

// extend fills an axis up to the capacity with zeros.
func (f *forward) extend(x *Node, axis int) *Node {
	if f.opts.Keep == f.length {
		return x
	}
	dims := slices.Clone(x.Shape().Dimensions)
	dims[axis] = f.opts.Keep - f.length
	return graph.Concatenate([]*Node{x, graph.Zeros(f.g, shapes.Make(dtypes.Float32, dims...))}, axis)
}

// place adds x, of size 1 in an axis, to column Cache.At of that axis, where there are zeros. A scatter: the pure-Go backend has no
// dynamic update of a slice, and does a scatter in place where it owns the cache.
func (f *forward) place(cache, x *Node, axis int) *Node {
	cells := shapes.Make(dtypes.Int32, append(slices.Clone(x.Shape().Dimensions[:axis]), 1)...) // what stands behind the axis is moved as a whole
	indices := make([]*Node, axis+1)
	for i := range axis {
		indices[i] = graph.InsertAxes(graph.Iota(f.g, cells, i), -1)
	}
	indices[axis] = graph.InsertAxes(graph.BroadcastToDims(f.in.Cache.At, cells.Dimensions...), -1)
	return graph.ScatterSum(cache, graph.Concatenate(indices, -1), x, true, true)
}
