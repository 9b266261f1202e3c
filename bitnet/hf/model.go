package hf

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// Model is a decoder with its weights and what turns text into its ids.
type Model struct {
	files.Model // Config, Tokenizer, Chat
	// Store has a float32 variable for each of Config.Tensors, under Tensor.Path. It may have others, which Save leaves out.
	Store *model.Store
}

// Load reads a folder, or a GGUF file of a llama, qwen2, qwen3 or gemma3 architecture with the tokenizer in it. Weights of dtype F32, F16 or BF16 become float32 exactly; any other dtype, a tensor that is
// missing, unknown or misshapen, and a value that is not finite are refused by name. A head beside a tied embedding is
// left out if it is identical, else refused. For the kinds of errors see package files.
func Load(path string) (*Model, error) {
	m, weights, err := files.Open(path)
	if err != nil {
		return nil, err
	}
	defer weights.Close()
	store, err := read(weights, m.Config)
	if err != nil {
		return nil, err
	}
	return &Model{Model: *m, Store: store}, nil
}

// Check finds what Load would refuse as far as it shows without reading weights: config, tokenizer, names, shapes and
// dtypes. The model it returns has no Store.
func Check(path string) (*Model, error) {
	m, weights, err := files.Open(path)
	if err != nil {
		return nil, err
	}
	weights.Close()
	return &Model{Model: *m}, nil
}

// read makes variables of all tensors, one at a time and each where it stays, so that memory is that of the model.
func read(w *files.Weights, c arch.Config) (*model.Store, error) {
	store := model.NewStore()
	for _, t := range c.Tensors() {
		value := tensors.FromShape(shapes.Make(dtypes.Float32, t.Dims...))
		var failed error
		err := tensors.MutableFlatData(value, func(flat []float32) { failed = w.Read(t, flat) })
		if err = cmp.Or(failed, err); err != nil {
			return nil, err
		}
		if _, err := store.CreateVariable(t.Path(), value); err != nil {
			return nil, fmt.Errorf("%s: %w", t.Name, err)
		}
	}
	return store, nil
}

// With returns a model with another config and other weights that keeps the tokenizer and the other files: a student of
// m, say.
func (m *Model) With(c arch.Config, store *model.Store) *Model {
	derived := *m
	derived.Config, derived.Store = c, store
	return &derived
}

// Save writes a folder that Load reads again, bit for bit: see files.Model.Save. Weights that are missing, misshapen or not finite
// are refused by name before anything is written.
func (m *Model) Save(dir string) error {
	if m.Store == nil {
		return &files.FileError{Path: "model to be saved", Faults: []error{errors.New("no weights")}}
	}
	return m.Model.Save(dir, func(t arch.Tensor, use func(values []float32) error) error {
		v := m.Store.GetVariable(t.Path())
		if v == nil || !v.HasValue() {
			return errors.New("missing")
		}
		value, err := v.Value()
		if err != nil {
			return err
		}
		if dims := value.Shape().Dimensions; !slices.Equal(dims, t.Dims) {
			return fmt.Errorf("shape %v, config wants %v", dims, t.Dims)
		}
		var failed error
		err = tensors.ConstFlatData(value, func(flat []float32) { failed = use(flat) }) // another dtype is an error
		return cmp.Or(err, failed)
	})
}
