package native

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
)

// Matrix is a packed ternary linear.
type Matrix interface {
	Bytes() []byte     // panels of 64 rows, 2 bits a weight: see docs/gguf.md
	Scales() []float32 // as many as arch.Quantization.Scales says, exact
}

// Options say how a model is stored.
type Options struct {
	Name       string    // of the model, for people; may be empty
	Embeddings gguf.Type // of the embedding and of the head: F32, F16, Q8_0 or Q4_0, whose rows of 32 values the last two need
	Linears    gguf.Type // of the linears of a full-precision model: F32, F16, BF16, Q8_0 or Q4_0; not looked at for a ternary one
	// Pack quantizes the weights [out, in] of a ternary model's linear. A full-precision model needs none.
	Pack func(t arch.Tensor, weights []float32) (Matrix, error)
	// Task is what the model was made for: a data.Task, with the prompt and the words of its labels. nil if there is none.
	Task json.RawMessage
	// Provenance says how the model came to be: base model, settings, metrics. Any JSON; nil if it is not known.
	Provenance json.RawMessage
}

// Create writes a model to the file at path, which appears whole or not at all: the same bytes for the same model. rows fills dst with
// rows of a tensor from row first on, as files.Weights.ReadRows does. Memory stays at that of the largest linear.
//
// Names, shapes and types that do not fit are refused before anything is written, faults of weights when their turn comes; errors
// name the tensor. When ctx ends, so does the writing, with ctx.Err().
func Create(ctx context.Context, path string, m *files.Model, rows func(t arch.Tensor, first int, dst []float32) error, o Options) error {
	if err := m.Config.Validate(); err != nil {
		return fmt.Errorf("native: %s: %w", path, err)
	}
	if m.Config.Quantization.IsTernary() && o.Pack == nil {
		return fmt.Errorf("native: %s: a ternary model needs Options.Pack", path)
	}
	metadata, err := o.metadata(m)
	if err != nil {
		return fmt.Errorf("native: %s: %w", path, err)
	}
	w := writer{Options: o, quantization: m.Config.Quantization, rows: rows}
	var tensors []gguf.Tensor
	for _, p := range pieces(m.Config) {
		t, err := w.tensor(p)
		if err != nil {
			return fmt.Errorf("native: %s: %w", path, err)
		}
		tensors = append(tensors, t)
	}
	return gguf.Create(ctx, path, metadata, tensors)
}

func (o Options) metadata(m *files.Model) ([]gguf.KV, error) {
	contents, err := m.Contents()
	if err != nil {
		return nil, err
	}
	all := []gguf.KV{{Key: keyArchitecture, Value: Architecture}, {Key: keyAlignment, Value: uint32(Alignment)}, {Key: keyVersion, Value: uint32(Version)}}
	if o.Name != "" {
		all = append(all, gguf.KV{Key: keyName, Value: o.Name})
	}
	for _, name := range slices.Sorted(maps.Keys(contents)) {
		all = append(all, gguf.KV{Key: prefixFile + name, Value: string(contents[name])})
	}
	for _, j := range []struct {
		key   string
		value json.RawMessage
	}{{keyTask, o.Task}, {keyProvenance, o.Provenance}} {
		if j.value == nil {
			continue
		}
		if !json.Valid(j.value) {
			return nil, fmt.Errorf("%s is not valid JSON", j.key)
		}
		all = append(all, gguf.KV{Key: j.key, Value: string(j.value)})
	}
	return all, nil
}

// writer makes the tensors of a file.
type writer struct {
	Options
	quantization arch.Quantization
	rows         func(t arch.Tensor, first int, dst []float32) error
	scales       []float32 // of the linear whose panels were written last
}

func (w *writer) tensor(p piece) (gguf.Tensor, error) {
	t := p.tensor
	kind := p.types[0]
	switch {
	case p.packed:
		return gguf.Tensor{Name: p.name, Type: kind, Shape: p.shape, Data: func(to io.Writer) error { return w.panels(to, t) }}, nil
	case p.scales: // the tensor behind its panels
		return gguf.FromRows(p.name, kind, p.shape, func(_ int, dst []float32) error {
			copy(dst, w.scales)
			return nil
		}), nil
	case t.Kind == arch.Embedding || t.Kind == arch.Head:
		kind = w.Embeddings
	case t.Kind == arch.Linear:
		kind = w.Linears
	}
	return gguf.FromRows(p.name, kind, p.shape, func(first int, dst []float32) error { return w.rows(t, first, dst) }), p.allow(kind)
}

// panels packs a linear and keeps its scales for the next tensor.
func (w *writer) panels(to io.Writer, t arch.Tensor) error {
	weights := make([]float32, t.Size())
	if err := w.rows(t, 0, weights); err != nil {
		return err
	}
	m, err := w.Pack(t, weights)
	if err != nil {
		return err
	}
	w.scales = m.Scales()
	if want := w.quantization.Scales(t.Dims[0], t.Dims[1]); len(w.scales) != want {
		return fmt.Errorf("packed with %d scales, %s wants %d", len(w.scales), w.quantization.Weights, want)
	}
	if i := badScale(w.scales); i >= 0 {
		return fmt.Errorf("packed with the scale %g, want a positive number", w.scales[i])
	}
	_, err = to.Write(m.Bytes())
	return err
}
