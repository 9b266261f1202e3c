package speed

import (
	"context"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/bitnet/native"
	"github.com/bitdistill/bitdistill/bitnet/packed"
)

// Model is what the limits of a model depend on.
type Model struct {
	Config arch.Config     `json:"config"`
	Cache  infer.CacheType `json:"cache"`
	Bytes  int64           `json:"bytes"` // of weights that are read for each token, or for many at once: all but an embedding that is not the head too
}

// Describe opens a model, as [Measure] will, to see what it is.
func Describe(ctx context.Context, path string) (Model, error) {
	m, err := infer.Open(ctx, path, infer.Options{})
	if err != nil {
		return Model{}, err
	}
	defer m.Close()
	d := Model{Config: m.Config}
	size, done, err := fullPrecision(path)
	if err != nil {
		return Model{}, err
	}
	defer done()
	for _, t := range m.Config.Tensors() {
		if t.Kind == arch.Embedding && !m.Config.TieEmbeddings {
			continue
		}
		n, err := stored(size, m.Config, t)
		if err != nil {
			return d, err
		}
		d.Bytes += n
	}
	return d, nil
}

// fullPrecision tells what a tensor that is not packed takes in memory: as much as in the project's own file, or float32, but for the matrices
// of other files that are stored in 16 bits and stay so.
func fullPrecision(path string) (size func(arch.Tensor) (int64, error), done func(), err error) {
	if native.Is(path) {
		file, err := native.Open(path)
		if err != nil {
			return nil, nil, err
		}
		return func(t arch.Tensor) (int64, error) {
			info, err := file.Info(t)
			return info.Bytes, err
		}, func() { file.Close() }, nil
	}
	_, weights, err := files.Open(path)
	if err != nil {
		return nil, nil, err
	}
	return func(t arch.Tensor) (int64, error) {
		if kind, _ := weights.Stored(t); len(t.Dims) > 1 && (kind == gguf.F16 || kind == gguf.BF16) {
			return 2 * int64(t.Size()), nil
		}
		return 4 * int64(t.Size()), nil
	}, weights.Close, nil
}

// stored is the size of a tensor in memory.
func stored(full func(arch.Tensor) (int64, error), c arch.Config, t arch.Tensor) (int64, error) {
	if t.Kind == arch.Linear && c.Quantization.IsTernary() {
		n, err := packed.PanelBytes(t.Dims[0], t.Dims[1])
		return int64(n + 4*c.Quantization.Scales(t.Dims[0], t.Dims[1])), err
	}
	return full(t)
}

// cacheBytes is what a layer keeps of a token.
func (m Model) cacheBytes() int { return int(m.Cache.TokenBytes(m.Config)) / m.Config.Layers }

// Seconds is how long a test takes at least: each step as long as reading the weights and the cache, or as the products of the ternary
// linears, whichever is longer. It is 0 where that is not known: for prompts of models in full precision.
func (m Model) Seconds(t Test, r Rates) float64 {
	ternary := m.Config.Quantization.IsTernary()
	if t.Prompt > 0 && !ternary {
		return 0
	}
	products := 0.0 // of a token
	if ternary {
		products = float64(m.Config.Parameters(arch.Linear))
	}
	step := func(tokens int, cache float64) float64 {
		return max((float64(m.Bytes)+cache)/r.Read, float64(tokens)*products/r.Products)
	}
	seconds := 0.0
	if t.Prompt > 0 {
		seconds += step(t.Prompt*t.Sequences, 0)
	}
	for i := range t.Generate {
		seconds += step(t.Sequences, float64(t.Sequences)*m.cache(t.Prompt+i+1))
	}
	return seconds
}

// cache is what a token reads of keys and values where there are n.
func (m Model) cache(n int) float64 {
	tokens := 0
	for layer := range m.Config.Layers {
		seen := n
		if m.Config.Sliding(layer) {
			seen = min(seen, m.Config.SlidingWindow)
		}
		tokens += seen
	}
	return float64(tokens * m.cacheBytes())
}
