package infer

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/bitnet/infer/rows"
	"github.com/bitdistill/bitdistill/bitnet/native"
	"github.com/bitdistill/bitdistill/bitnet/packed"
)

// parts splits "model.layers.3.mlp.up_proj.norm.weight" into 3 and "mlp.up_proj".
func parts(t arch.Tensor) (layer int, name string, err error) {
	fields := strings.SplitN(t.Name, ".", 4)
	if len(fields) == 4 {
		layer, err = strconv.Atoi(fields[2])
		name = strings.TrimSuffix(strings.TrimSuffix(fields[3], ".weight"), ".bias")
		if t.Kind == arch.SubLNorm {
			name = strings.TrimSuffix(name, ".norm")
		}
	}
	if len(fields) < 4 || err != nil {
		return 0, "", fmt.Errorf("infer: a model with the tensor %s is not built", t.Name)
	}
	return layer, name, nil
}

// mapped is a model file of the project's own.
type mapped struct {
	*native.File
	data []byte
}

func (m *Model) openNative(ctx context.Context, path string, o Options) error {
	if o.Embeddings != "" || o.Linears != "" {
		return fmt.Errorf("infer: %s: has types of its own; export the model again for others", path)
	}
	data, unmap, err := mapFile(path)
	if err != nil {
		return err
	}
	m.file.unmap = unmap
	f, err := native.NewFile(path, bytes.NewReader(data), int64(len(data))) // not by its name, which may stand for another file by now
	if err != nil {
		return err
	}
	m.Model, m.Name, m.Task, m.Provenance = f.Model, f.Name, f.Task, f.Provenance
	if err := m.take(ctx, mapped{f, data}); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (f mapped) bytes(t arch.Tensor) (gguf.Info, []byte, error) {
	info, err := f.Info(t)
	if err == nil && info.Offset+info.Bytes > int64(len(f.data)) {
		err = fmt.Errorf("%s: the file has become shorter since it was opened", t.Name)
	}
	if err != nil {
		return info, nil, err
	}
	return info, f.data[info.Offset:][:info.Bytes:info.Bytes], nil
}

func (f mapped) values(t arch.Tensor) ([]float32, error) {
	x := make([]float32, t.Size())
	return x, f.ReadRows(t, 0, x)
}

func (f mapped) table(t arch.Tensor) (*rows.Matrix, error) {
	info, b, err := f.bytes(t)
	if err != nil {
		return nil, err
	}
	return newTable(t, info.Type, b)
}

func newTable(t arch.Tensor, kind gguf.Type, b []byte) (*rows.Matrix, error) {
	m, err := rows.New(kind, t.Dims[0], t.Dims[1], b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.Name, err)
	}
	return m, nil
}

// packed takes panels as they are. They are not looked at: that would read all of the file, and codes that are none do no harm beyond
// wrong results.
func (f mapped) packed(t arch.Tensor) (*packed.Matrix, error) {
	_, b, err := f.bytes(t)
	if err != nil {
		return nil, err
	}
	scales, err := f.Scales(t)
	if err != nil {
		return nil, err
	}
	m, err := packed.FromPanels(b, t.Dims[0], t.Dims[1], packed.Scaling(f.Config.Quantization.Weights), scales)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.Name, err)
	}
	return m, nil
}

// folder is a model whose weights are float numbers.
type folder struct {
	*files.Weights
	config              arch.Config
	embeddings, linears string // see Options
}

func (m *Model) openFolder(ctx context.Context, path string, o Options) error {
	for option, name := range map[string]string{"Embeddings": o.Embeddings, "Linears": o.Linears} {
		if _, known := typeOf(name); !known && name != "" {
			return fmt.Errorf("infer: Options.%s: %q, want one of %v", option, name, rows.Types())
		}
	}
	description, weights, err := files.Open(path)
	if err != nil {
		return err
	}
	defer weights.Close()
	m.Model = description
	return m.take(ctx, folder{weights, description.Config, o.Embeddings, o.Linears})
}

func (f folder) values(t arch.Tensor) ([]float32, error) {
	x := make([]float32, t.Size())
	return x, f.Read(t, x)
}

// table reads a matrix some rows at a time into the type that it is to have.
func (f folder) table(t arch.Tensor) (*rows.Matrix, error) {
	kind := f.kind(t)
	out, in := t.Dims[0], t.Dims[1]
	if in%kind.BlockSize() != 0 {
		return nil, fmt.Errorf("infer: %s: %s needs rows of a multiple of %d values, these have %d; choose another type", t.Name, kind, kind.BlockSize(), in)
	}
	pitch := in / kind.BlockSize() * kind.BlockBytes()
	b := make([]byte, out*pitch)
	some := max(1, 1<<16/in)
	x := make([]float32, min(some, out)*in)
	for first := 0; first < out; first += some {
		n := min(some, out-first)
		if err := f.ReadRows(t, first, x[:n*in]); err != nil {
			return nil, err
		}
		if err := gguf.Quantize(kind, b[first*pitch:][:n*pitch], x[:n*in]); err != nil {
			return nil, fmt.Errorf("%s: %w", t.Name, err)
		}
	}
	return newTable(t, kind, b)
}

// kind is the type of a matrix in memory.
func (f folder) kind(t arch.Tensor) gguf.Type {
	name := f.linears
	if t.Kind == arch.Embedding || t.Kind == arch.Head {
		name = f.embeddings
	}
	if kind, chosen := typeOf(name); chosen {
		return kind
	}
	if stored, _ := f.Stored(t); stored == gguf.F16 || stored == gguf.BF16 {
		return stored
	}
	return gguf.F32
}

// typeOf finds a type of matrices by its name, in small letters or large ones.
func typeOf(name string) (gguf.Type, bool) {
	for _, kind := range rows.Types() {
		if strings.EqualFold(name, kind.String()) {
			return kind, true
		}
	}
	return 0, false
}

func (f folder) packed(t arch.Tensor) (*packed.Matrix, error) {
	w, err := f.values(t)
	if err != nil {
		return nil, err
	}
	return pack(f.config.Quantization, t, w)
}

// pack quantizes the weights [out, in] of a linear as training does, bitnet.QuantizeWeightsAs on the pure-Go backend.
func pack(q arch.Quantization, t arch.Tensor, weights []float32) (*packed.Matrix, error) {
	m, err := packed.QuantizeAs(weights, t.Dims[0], t.Dims[1], q)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.Name, err)
	}
	return m, nil
}
