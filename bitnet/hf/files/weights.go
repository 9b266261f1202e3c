package files

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
)

const (
	embeddingName = "model.embed_tokens.weight"
	headName      = "lm_head.weight"
)

// check compares names, shapes and dtypes of the files with the config's table, from the headers alone.
func (w *Weights) check(c arch.Config) error {
	w.tied = c.TieEmbeddings
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

// Read fills dst, which has the tensor's size, with a tensor of the config, row-major. F16 and BF16 become float32 exactly, blocks
// of GGUF files as the format says. A value that is not finite is refused, and with the embedding of a model that ties its head one
// that differs from a head beside it.
func (w *Weights) Read(t arch.Tensor, dst []float32) error {
	if len(dst) != t.Size() {
		return fmt.Errorf("%s: room for %d values, the tensor has %d", t.Name, len(dst), t.Size())
	}
	return w.ReadRows(t, 0, dst)
}

// Stored is the type that a tensor of the config is stored in, F32, F16 or BF16 in a safetensors file, and its size there in bytes.
func (w *Weights) Stored(t arch.Tensor) (kind gguf.Type, bytes int64) {
	return w.home[t.Name].Stored(t.Name)
}

// ReadRows is [Weights.Read] of the rows from first on that dst has room for. A vector has one row.
func (w *Weights) ReadRows(t arch.Tensor, first int, dst []float32) error {
	width := t.Dims[len(t.Dims)-1]
	if rows := t.Size() / width; len(dst)%width != 0 || first < 0 || len(dst)/width > rows-first {
		return fmt.Errorf("%s: room for %d values from row %d on, the tensor has %d rows of %d", t.Name, len(dst), first, rows, width)
	}
	if err := w.values(t.Name, first, width, dst); err != nil {
		return err
	}
	if w.tied && t.Kind == arch.Embedding {
		return w.checkTied(t, first, dst)
	}
	return nil
}

// values fills dst with rows of a tensor.
func (w *Weights) values(name string, first, width int, dst []float32) error {
	home := w.home[name]
	if err := home.ReadRows(name, first, dst); err != nil {
		return err
	}
	if i := nonFinite(dst); i >= 0 {
		return fileErrorf(home.path, "%s: value %d is %g; the weights are damaged", name, first*width+i, dst[i])
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
func (w *Weights) checkTied(embedding arch.Tensor, first int, values []float32) error {
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
	width := t.Dims[1]
	if err := w.values(headName, first, width, head); err != nil {
		return err
	}
	for i, v := range head {
		if math.Float32bits(v) != math.Float32bits(values[i]) {
			return fileErrorf(home.path, "%s: differs from %s at value %d, but tie_word_embeddings is true; set it to false",
				headName, embeddingName, first*width+i)
		}
	}
	return nil
}
