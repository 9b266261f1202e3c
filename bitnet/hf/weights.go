package hf

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/internal/safetensors"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

const (
	embeddingName = "model.embed_tokens.weight"
	headName      = "lm_head.weight"
)

// check compares names, shapes and dtypes of the files with the config's table, from the headers alone.
func (w *weightFiles) check(c arch.Config) error {
	if c.Layers > len(w.home) { // before a table is made of it
		return fileErrorf(w.path, "%d tensors cannot hold num_hidden_layers %d", len(w.home), c.Layers)
	}
	var missing, bad, unknown []error
	known := map[string]bool{}
	for _, t := range c.Tensors() {
		known[t.Name] = true
		home, ok := w.home[t.Name]
		if !ok {
			missing = append(missing, fmt.Errorf("%s: missing%s", t.Name, missingHint(t)))
			continue
		}
		if err := checkTensor(home, t); err != nil {
			bad = append(bad, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.home)) {
		if !known[name] && !isBuffer(name) && !(name == headName && c.TieEmbeddings) {
			unknown = append(unknown, fmt.Errorf("%s: is not part of a %s model%s", name, c.Family, unknownHint(name, c)))
		}
	}
	faults := slices.Concat(shorten(missing), shorten(bad), shorten(unknown))
	if len(faults) > 0 {
		return &FileError{Path: w.path, Faults: faults}
	}
	return nil
}

func checkTensor(home shard, t arch.Tensor) error {
	shape, err := home.Shape(t.Name)
	if err != nil {
		return fmt.Errorf("%s: %w", t.Name, err)
	}
	if !slices.Equal(shape, t.Dims) {
		return fmt.Errorf("%s: shape %v, config wants %v; check %s", t.Name, shape, t.Dims, decidedBy(t, shape))
	}
	return nil
}

// isBuffer reports values that some versions saved although they follow from the config.
func isBuffer(name string) bool { return strings.HasSuffix(name, ".rotary_emb.inv_freq") }

// decidedBy names the config fields behind the first dimension that differs.
func decidedBy(t arch.Tensor, shape []int) string {
	axis := 0
	for axis < len(t.Dims)-1 && axis < len(shape) && shape[axis] == t.Dims[axis] {
		axis++
	}
	part := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.Contains(t.Name, "."+n+".") })
	}
	// A linear's input is its last axis; its SubLN has the input's width.
	input := t.Kind == arch.SubLNorm || axis == 1
	switch {
	case part("q_norm", "k_norm"):
		return "head_dim"
	case t.Kind == arch.Embedding || t.Kind == arch.Head:
		if axis == 0 {
			return "vocab_size"
		}
	case part("o_proj") && input, part("q_proj") && !input:
		return "num_attention_heads and head_dim"
	case part("k_proj", "v_proj") && !input:
		return "num_key_value_heads and head_dim"
	case part("down_proj") && input, part("gate_proj", "up_proj") && !input:
		return "intermediate_size"
	}
	return "hidden_size"
}

func missingHint(t arch.Tensor) string {
	switch t.Kind {
	case arch.Head:
		return "; if the head is the embedding, set tie_word_embeddings to true"
	case arch.SubLNorm:
		return "; check bitdistill.subln"
	}
	return ""
}

func unknownHint(name string, c arch.Config) string {
	switch {
	case strings.HasSuffix(name, "_proj.norm.weight"):
		return fmt.Sprintf(" with SubLN %s; check bitdistill.subln", c.Quantization.SubLN)
	case strings.HasSuffix(name, ".bias"):
		return "; biases there are not supported"
	case strings.HasPrefix(name, fmt.Sprintf("model.layers.%d.", c.Layers)):
		return "; check num_hidden_layers"
	}
	return ""
}

// read makes variables of all tensors, one at a time and each where it stays, so that memory is that of the model. The files must
// have passed check.
func (w *weightFiles) read(c arch.Config) (*model.Store, error) {
	store := model.NewStore()
	for _, t := range c.Tensors() {
		value := tensors.FromShape(shapes.Make(dtypes.Float32, t.Dims...))
		var failed error
		err := tensors.MutableFlatData(value, func(flat []float32) {
			if failed = w.values(t.Name, flat); failed == nil && c.TieEmbeddings && t.Kind == arch.Embedding {
				failed = w.checkTied(t, flat)
			}
		})
		if err = cmp.Or(failed, err); err != nil {
			return nil, err
		}
		if _, err := store.CreateVariable(t.Path(), value); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", w.home[t.Name].path, t.Name, err)
		}
	}
	return store, nil
}

// values fills dst with a tensor.
func (w *weightFiles) values(name string, dst []float32) error {
	home := w.home[name]
	if err := home.ReadFloat32s(name, dst); err != nil {
		return err
	}
	if i := nonFinite(dst); i >= 0 {
		return fileErrorf(home.path, "%s: value %d is %g; the weights are damaged", name, i, dst[i])
	}
	return nil
}

// nonFinite is the index of the first infinity or NaN, or -1.
func nonFinite(values []float32) int {
	for i, v := range values {
		if v-v != 0 {
			return i
		}
	}
	return -1
}

// checkTied allows a head beside a tied embedding only if leaving it out changes nothing.
func (w *weightFiles) checkTied(embedding arch.Tensor, values []float32) error {
	home, ok := w.home[headName]
	if !ok {
		return nil
	}
	t := embedding
	t.Name, t.Kind = headName, arch.Head
	if err := checkTensor(home, t); err != nil {
		return &FileError{Path: home.path, Faults: []error{err}}
	}
	head := make([]float32, len(values))
	if err := w.values(headName, head); err != nil {
		return err
	}
	for i, v := range head {
		if math.Float32bits(v) != math.Float32bits(values[i]) {
			return fileErrorf(home.path, "%s: differs from %s at value %d, but tie_word_embeddings is true; set it to false",
				headName, embeddingName, i)
		}
	}
	return nil
}

// stored lists the weights of a model for writing, as float32 in the table's names.
func stored(c arch.Config, store *model.Store) ([]safetensors.Tensor, error) {
	if store == nil {
		return nil, fileErrorf("model to be saved", "no weights")
	}
	var out []safetensors.Tensor
	var faults []error
	for _, t := range c.Tensors() {
		v := store.GetVariable(t.Path())
		if v == nil || !v.HasValue() {
			faults = append(faults, fmt.Errorf("%s: missing", t.Name))
			continue
		}
		value, err := v.Value()
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", t.Name, err))
			continue
		}
		if err := checkValue(t, value); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", t.Name, err))
			continue
		}
		out = append(out, safetensors.Tensor{Name: t.Name, DType: safetensors.F32, Shape: t.Dims,
			Data: func(to io.Writer) error { return writeValue(to, t, value) }})
	}
	if len(faults) > 0 {
		return nil, &FileError{Path: "model to be saved", Faults: shorten(faults)}
	}
	return out, nil
}

func checkValue(t arch.Tensor, value *tensors.Tensor) error {
	if !slices.Equal(value.Shape().Dimensions, t.Dims) {
		return fmt.Errorf("shape %v, config wants %v", value.Shape().Dimensions, t.Dims)
	}
	at, bad := -1, float32(0)
	err := tensors.ConstFlatData(value, func(flat []float32) { // another dtype is an error
		if at = nonFinite(flat); at >= 0 {
			bad = flat[at]
		}
	})
	if err == nil && at >= 0 {
		err = fmt.Errorf("value %d is %g; a model that has diverged is not saved", at, bad)
	}
	return err
}

func writeValue(to io.Writer, t arch.Tensor, value *tensors.Tensor) error {
	var failed error
	err := tensors.ConstFlatData(value, func(flat []float32) {
		failed = safetensors.FromFloat32s(t.Name, safetensors.F32, t.Dims, flat).Data(to)
	})
	if err != nil {
		return err
	}
	return failed
}
