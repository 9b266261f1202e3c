package decoder

import (
	"fmt"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// Freeze makes a store for Options.Frozen: matrices are transposed, and ternary ones quantized, once instead of in every pass. That
// is most of a pass over a few tokens. The result is the same bit for bit. What is not a matrix is shared with the store, whose
// weights must not change while the frozen one is in use. It takes as many bytes again as the linears and the head; release frees them.
func Freeze(backend compute.Backend, cfg arch.Config, store *model.Store) (frozen *model.Store, release func(), err error) {
	f := freezer{backend: backend, cfg: cfg, execs: map[bitnet.Weights]*graph.Exec{}, to: model.NewStore()}
	for _, t := range cfg.Tensors() {
		v := store.GetVariable(t.Path())
		if v == nil {
			err = fmt.Errorf("decoder: the store has no variable %q", t.Path())
		} else {
			err = f.take(t, v)
		}
		if err != nil {
			f.release()
			return nil, nil, err
		}
	}
	return f.to, f.release, nil
}

type freezer struct {
	backend compute.Backend
	cfg     arch.Config
	execs   map[bitnet.Weights]*graph.Exec
	to      *model.Store
	own     []*tensors.Tensor // not shared
}

func (f *freezer) take(t arch.Tensor, v *model.Variable) error {
	value, err := v.Value()
	if err != nil {
		return err
	}
	switch t.Kind {
	case arch.Linear:
		return f.freeze(strings.TrimSuffix(t.Path(), "/weight"), f.cfg.Quantization.Weights, value)
	case arch.Head:
		return f.freeze("/lm_head", bitnet.FullPrecision, value)
	case arch.Embedding:
		if f.cfg.TieEmbeddings {
			if err := f.freeze("/lm_head", bitnet.FullPrecision, value); err != nil {
				return err
			}
		}
	}
	_, err = f.to.CreateVariable(t.Path(), value)
	return err
}

// freeze puts what a linear multiplies with under its path.
func (f *freezer) freeze(path string, kind bitnet.Weights, weight *tensors.Tensor) error {
	exec, err := f.exec(kind)
	if err != nil {
		return err
	}
	outs, err := exec.Call(weight)
	if err != nil {
		return err
	}
	f.own = append(f.own, outs...)
	for i, out := range outs {
		if _, err := f.to.CreateVariable(path+[]string{"/frozen", "/scale"}[i], out); err != nil {
			return err
		}
	}
	return nil
}

// exec computes [bitnet.Linear.Freeze].
func (f *freezer) exec(kind bitnet.Weights) (*graph.Exec, error) {
	if e := f.execs[kind]; e != nil {
		return e, nil
	}
	e, err := graph.NewExec(f.backend, func(in []*Node) []*Node {
		operand, scale := bitnet.Linear{Weights: kind, FP16Scales: f.cfg.Quantization.FP16Scales}.Freeze(in[0])
		if scale == nil {
			return []*Node{operand}
		}
		return []*Node{operand, scale}
	})
	if err != nil {
		return nil, err
	}
	f.execs[kind] = e.SetMaxCache(-1)
	return e, nil
}

// release frees the tensors at once: of those on a device the garbage collector sees no bytes.
func (f *freezer) release() {
	for _, t := range f.own {
		t.FinalizeAll() // nothing is left to do where it fails
	}
	f.own = nil
}
