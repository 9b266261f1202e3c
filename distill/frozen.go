package distill

import (
	"strings"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// frozen are the ternary linears of a step in several micro-batches: quantized once in front of them, not for each. Gradients of
// micro-batches are with respect to what was multiplied, the operands; their sum is led back to the weights once, behind them.
type frozen struct {
	store    *model.Store
	linear   bitnet.Linear
	linears  []arch.Tensor // their weights, in the order of arch.Config.Tensors
	indices  []int         // of them there
	freeze   *model.Exec   // operands and, where they have one, scales
	pullback *model.Exec   // gradients of operands to those of weights
}

func newFrozen(backend compute.Backend, store *model.Store, cfg arch.Config) (_ *frozen, err error) {
	f := &frozen{store: store, linear: bitnet.Linear{Weights: cfg.Quantization.Weights, FP16Scales: cfg.Quantization.FP16Scales}}
	for i, t := range cfg.Tensors() {
		if t.Kind == arch.Linear {
			f.linears, f.indices = append(f.linears, t), append(f.indices, i)
		}
	}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	if f.freeze, err = model.NewExec(backend, store, f.freezeGraph); err != nil {
		return nil, err
	}
	if f.pullback, err = model.NewExec(backend, store, f.pullbackGraph); err != nil {
		return nil, err
	}
	return f, f.renew() // graphs that use what is frozen are compiled before the first step
}

// operandPath is where a linear's operand stands, and scalePath its scale, by [bitnet.Linear.Freeze].
func operandPath(t arch.Tensor) string { return strings.TrimSuffix(t.Path(), "weight") + "frozen" }

func scalePath(t arch.Tensor) string { return strings.TrimSuffix(t.Path(), "weight") + "scale" }

// freezeGraph gives all operands, then the scales.
func (f *frozen) freezeGraph(_ *model.Scope, g *graph.Graph) []*graph.Node {
	var operands, scales []*graph.Node
	for _, t := range f.linears {
		operand, scale := f.linear.Freeze(f.store.GetVariable(t.Path()).NodeValue(g))
		operands = append(operands, operand)
		if scale != nil {
			scales = append(scales, scale)
		}
	}
	return append(operands, scales...)
}

// renew quantizes the weights as they are now.
func (f *frozen) renew() error {
	outs, err := f.freeze.Exec()
	if err != nil {
		return err
	}
	for i, out := range outs {
		path := operandPath(f.linears[i%len(f.linears)])
		if i >= len(f.linears) {
			path = scalePath(f.linears[i%len(f.linears)])
		}
		if v := f.store.GetVariable(path); v != nil {
			err = v.SetValue(out)
		} else if v, err = f.store.CreateVariable(path, out); err == nil {
			v.SetTrainable(false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pullbackGraph takes the gradients of all operands.
func (f *frozen) pullbackGraph(_ *model.Scope, grads []*graph.Node) []*graph.Node {
	all := make([]*graph.Node, len(grads))
	for i, t := range f.linears {
		w := f.store.GetVariable(t.Path()).NodeValue(grads[i].Graph())
		operand, _ := f.linear.Freeze(w)
		all[i] = graph.Gradient(graph.ReduceAllSum(graph.Mul(operand, grads[i])), w)[0] // the sum itself is not computed
	}
	return all
}

// toWeights replaces gradients of operands, among those of all that is trained, by gradients of weights.
func (f *frozen) toWeights(grads []*tensors.Tensor) error {
	operands := make([]*tensors.Tensor, len(f.indices))
	for i, at := range f.indices {
		operands[i] = grads[at]
	}
	weights, err := f.pullback.Exec(anys(operands)...)
	if err != nil {
		return err
	}
	release(operands)
	for i, at := range f.indices {
		grads[at] = weights[i]
	}
	return nil
}

// close frees what was compiled and quantized.
func (f *frozen) close() {
	for _, e := range []*model.Exec{f.freeze, f.pullback} {
		if e != nil {
			e.Finalize()
		}
	}
	for _, t := range f.linears {
		for _, path := range []string{operandPath(t), scalePath(t)} {
			if f.store.GetVariable(path) != nil {
				f.store.DeleteVariable(path) // which nothing else needs
			}
		}
	}
}
