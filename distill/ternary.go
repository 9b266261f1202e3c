package distill

import (
	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/decoder"
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// ternaryCount is how the ternary codes of a linear are distributed.
type ternaryCount struct {
	Name     string `json:"name,omitempty"`
	Minus    int    `json:"minus"` // codes -1
	Zero     int    `json:"zero"`
	Plus     int    `json:"plus"`
	Flipped  int    `json:"flipped"`  // codes that changed since the last count
	Compared bool   `json:"compared"` // whether there was one
}

func (c *ternaryCount) add(o ternaryCount) {
	c.Minus += o.Minus
	c.Zero += o.Zero
	c.Plus += o.Plus
	c.Flipped += o.Flipped
	c.Compared = o.Compared
}

func (c ternaryCount) total() float64 { return float64(c.Minus + c.Zero + c.Plus) }

func (c ternaryCount) shares() (minus, zero, plus float64) {
	n := c.total()
	return float64(c.Minus) / n, float64(c.Zero) / n, float64(c.Plus) / n
}

func (c ternaryCount) flipShare() float64 { return float64(c.Flipped) / c.total() }

// ternaryCounter counts the codes of all linears of a model, on the backend.
type ternaryCounter struct {
	backend compute.Backend
	store   *model.Store
	linears []decoder.Tensor
	weights bitnet.Weights
	exec    *model.Exec
	codes   []*tensors.Tensor // of the last count
}

func newTernaryCounter(backend compute.Backend, store *model.Store, cfg decoder.Config) *ternaryCounter {
	c := &ternaryCounter{backend: backend, store: store, weights: cfg.Quantization.Weights}
	for _, t := range cfg.Tensors() {
		if t.Kind == decoder.Linear {
			c.linears = append(c.linears, t)
		}
	}
	return c
}

// countGraph takes the codes of the last count and returns, after the new codes, a row of counts for each linear: minus,
// zero, plus, flipped; int32.
func (c *ternaryCounter) countGraph(scope *model.Scope, before []*graph.Node) []*graph.Node {
	g := before[0].Graph()
	count := func(x *graph.Node) *graph.Node { return graph.ReduceAllSum(graph.ConvertDType(x, dtypes.Int32)) }
	var codes, rows []*graph.Node
	for i, t := range c.linears {
		now, _ := bitnet.QuantizeWeights(c.store.GetVariable(t.Path()).NodeValue(g), c.weights)
		now = graph.ConvertDType(now, dtypes.Int8)
		zero := graph.ScalarZero(g, dtypes.Int8)
		row := []*graph.Node{
			count(graph.LessThan(now, zero)), count(graph.Equal(now, zero)), count(graph.GreaterThan(now, zero)),
			count(graph.NotEqual(now, before[i])),
		}
		codes, rows = append(codes, now), append(rows, graph.Stack(row, 0))
	}
	return append(codes, graph.Stack(rows, 0))
}

// count returns the counts of every linear.
func (c *ternaryCounter) count() ([]ternaryCount, error) {
	var err error
	if c.exec == nil {
		if c.exec, err = model.NewExec(c.backend, c.store, c.countGraph); err != nil {
			return nil, graphError(err)
		}
	}
	first := c.codes == nil
	if first {
		for _, t := range c.linears {
			c.codes = append(c.codes, tensors.FromFlatDataAndDimensions(make([]int8, t.Size()), t.Dims...))
		}
	}
	outs, err := c.exec.Exec(anys(c.codes)...)
	if err != nil {
		return nil, graphError(err)
	}
	n := len(c.linears)
	release(c.codes)
	c.codes = outs[:n]
	flat, err := tensors.CopyFlatData[int32](outs[n])
	if err != nil {
		return nil, err
	}
	counts := make([]ternaryCount, n)
	for i, t := range c.linears {
		counts[i] = ternaryCount{Name: t.Name, Minus: int(flat[4*i]), Zero: int(flat[4*i+1]), Plus: int(flat[4*i+2])}
		if !first {
			counts[i].Flipped, counts[i].Compared = int(flat[4*i+3]), true
		}
	}
	return counts, nil
}
