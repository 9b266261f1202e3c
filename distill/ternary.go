package distill

import (
	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

func (c *Ternary) add(o Ternary) {
	c.Minus += o.Minus
	c.Zero += o.Zero
	c.Plus += o.Plus
	c.Flipped += o.Flipped
	c.Compared = o.Compared
}

func (c Ternary) total() float64 { return float64(c.Minus + c.Zero + c.Plus) }

func (c Ternary) shares() (minus, zero, plus float64) {
	n := c.total()
	return float64(c.Minus) / n, float64(c.Zero) / n, float64(c.Plus) / n
}

func (c Ternary) flipShare() float64 { return float64(c.Flipped) / c.total() }

// ternaryCounter counts the codes of all linears of a model, on the backend.
type ternaryCounter struct {
	backend compute.Backend
	store   *model.Store
	linears []arch.Tensor
	weights bitnet.Quantization
	exec    *model.Exec
	codes   []*tensors.Tensor // of the last count
}

func newTernaryCounter(backend compute.Backend, store *model.Store, cfg arch.Config) *ternaryCounter {
	c := &ternaryCounter{backend: backend, store: store, weights: cfg.Quantization}
	for _, t := range cfg.Tensors() {
		if t.Kind == arch.Linear {
			c.linears = append(c.linears, t)
		}
	}
	return c
}

// countGraph takes the codes of the last count and returns the new codes; the bin of every latent weight, int8; the mean scale
// of each linear; and a row of counts for each: minus, zero, plus, flipped; int32.
func (c *ternaryCounter) countGraph(scope *model.Scope, before []*graph.Node) []*graph.Node {
	g := before[0].Graph()
	count := func(x *graph.Node) *graph.Node { return graph.ReduceAllSum(graph.ConvertDType(x, dtypes.Int32)) }
	var codes, bins, scales, rows []*graph.Node
	for i, t := range c.linears {
		w := c.store.GetVariable(t.Path()).NodeValue(g)
		now, scale := bitnet.QuantizeWeightsAs(w, c.weights)
		now = graph.ConvertDType(now, dtypes.Int8)
		bin := graph.AddScalar(graph.MulScalar(graph.Div(w, scale), LatentBins/2/LatentRange), LatentBins/2)
		bins = append(bins, graph.ConvertDType(graph.Floor(graph.ClipScalar(bin, 0, LatentBins-1)), dtypes.Int8))
		scales = append(scales, graph.Reshape(graph.ReduceAllMean(scale), 1))
		zero := graph.ScalarZero(g, dtypes.Int8)
		row := []*graph.Node{
			count(graph.LessThan(now, zero)), count(graph.Equal(now, zero)), count(graph.GreaterThan(now, zero)),
			count(graph.NotEqual(now, before[i])),
		}
		codes, rows = append(codes, now), append(rows, graph.Stack(row, 0))
	}
	return append(append(codes, bins...), graph.Concatenate(scales, 0), graph.Stack(rows, 0))
}

// count returns the counts of every linear.
func (c *ternaryCounter) count() ([]Ternary, error) {
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
	defer release(outs[n:])
	scales, err := tensors.CopyFlatData[float32](outs[2*n])
	if err != nil {
		return nil, err
	}
	flat, err := tensors.CopyFlatData[int32](outs[2*n+1])
	if err != nil {
		return nil, err
	}
	counts := make([]Ternary, n)
	for i, t := range c.linears {
		counts[i] = Ternary{Name: t.Name, Minus: int(flat[4*i]), Zero: int(flat[4*i+1]), Plus: int(flat[4*i+2]),
			Scale: float64(scales[i]), Latent: make([]int, LatentBins)}
		err := tensors.ConstFlatData(outs[n+i], func(bins []int8) {
			for _, b := range bins {
				counts[i].Latent[b]++
			}
		})
		if err != nil {
			return nil, err
		}
		if !first {
			counts[i].Flipped, counts[i].Compared = int(flat[4*i+3]), true
		}
	}
	return counts, nil
}
