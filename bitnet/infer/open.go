package infer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/bitnet/infer/rows"
	"github.com/bitdistill/bitdistill/bitnet/native"
	"github.com/bitdistill/bitdistill/bitnet/packed"
)

// Options say how a model computes. The zero value is a good choice.
type Options struct {
	Threads int       // goroutines that compute; 0 for as many as Go runs at once (GOMAXPROCS)
	Cache   CacheType // how sequences store keys and values: float32, or smaller and faster with long texts
	// Embeddings and Linears are in what type the embedding and the head, and the linears of a full-precision model, are kept in memory: "f32",
	// "f16", "bf16", "q8_0" or "q4_0", the last two for rows of a multiple of 32 values; "" for F32, F16 and BF16 as they are stored, and
	// F32 for what is stored otherwise. A file of the project's own is mapped as it is and takes no types.
	Embeddings, Linears string
}

// Model is a model that is ready to compute. Its methods may be called from several goroutines; passes through it take turns, each with
// all threads.
type Model struct {
	*files.Model                 // Config, Tokenizer, Chat
	Name         string          // as its file says, "" if it does not
	Task         json.RawMessage // what it was made for, nil if its file does not say
	Provenance   json.RawMessage // how it came to be, nil likewise

	embedding, head *rows.Matrix
	layers          []layer
	norm            []float32
	cache           CacheType

	passing sync.Mutex // of pass, pool and closed
	pass    *pass
	pool    *pool
	closed  bool
	file    *mapping
}

// mapping is a file that is mapped until the last of those who read it has done. A model that is in memory maps nothing.
type mapping struct {
	users atomic.Int32
	unmap func()
}

func (m *mapping) leave() {
	if m.users.Add(-1) == 0 {
		m.unmap()
	}
}

var errClosed = errors.New("infer: the model is closed")

// Open opens the project's own model file (see [native.Create]), a Hugging Face folder, or another GGUF file that [files.Open] reads.
//
// A file of the project's own is mapped: it is ready at once, its pages are shared by all processes that have it open, and it must not be
// cut short or written to meanwhile (replace it by a rename; where a mapped page is missing the operating system ends the program).
// Matrices of other models are read, and packed if they are ternary. Errors are those of the packages that read, with the path.
func Open(ctx context.Context, path string, o Options) (*Model, error) {
	if o.Threads < 0 {
		return nil, fmt.Errorf("infer: %d threads, want at least 1, or 0 for as many as there are processors", o.Threads)
	}
	if o.Cache < 0 || int(o.Cache) >= len(cacheNames) {
		return nil, fmt.Errorf("infer: %s, want CacheF32, CacheF16 or CacheInt8", o.Cache)
	}
	if o.Threads == 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	if _, err := packed.Kernel(); err != nil {
		return nil, err
	}
	m := &Model{cache: o.Cache, file: &mapping{unmap: func() {}}}
	m.file.users.Add(1)
	load := m.openFolder
	if native.Is(path) {
		load = m.openNative
	}
	if err := load(ctx, path, o); err != nil {
		m.file.leave()
		return nil, err
	}
	return m.start(o.Threads)
}

// start makes the threads and the room of a model that has its weights. One that cannot be started is closed.
func (m *Model) start(threads int) (_ *Model, err error) {
	m.pool = newPool(threads)
	if m.pass, err = newPass(m); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// Beside is the model once more, to compute other texts at the same time: with the weights of this one, but with room and threads of its
// own. Texts side by side, each on one thread, are faster than one after the other on all of them, the more so the smaller the model is.
// The room is that of the activations of a tile of 144 tokens (0.7 MB of the embedded model, about 17 MB of Qwen3-0.6B). Each of the two is closed for itself,
// and a file stays mapped until the last of them is. Sequences belong to the model that made them.
func (m *Model) Beside(threads int) (*Model, error) {
	if threads < 1 {
		return nil, fmt.Errorf("infer: %d threads, want at least 1", threads)
	}
	m.passing.Lock()
	defer m.passing.Unlock()
	if m.closed {
		return nil, errClosed
	}
	m.file.users.Add(1)
	other := &Model{Model: m.Model, Name: m.Name, Task: m.Task, Provenance: m.Provenance,
		embedding: m.embedding, head: m.head, layers: m.layers, norm: m.norm, cache: m.cache, file: m.file}
	return other.start(threads)
}

// Threads is the number of goroutines that compute.
func (m *Model) Threads() int { return m.pool.workers() }

// Close ends the threads, and frees the file unless models beside this one read it. What is computing ends first; what would
// compute afterwards returns an error.
func (m *Model) Close() {
	m.passing.Lock()
	defer m.passing.Unlock()
	if m.closed {
		return
	}
	m.closed = true
	m.pool.stop()
	m.embedding, m.head, m.layers, m.pass = nil, nil, nil, nil
	m.file.leave()
}

// source is where a model's tensors come from.
type source interface {
	values(t arch.Tensor) ([]float32, error) // a vector
	table(t arch.Tensor) (*rows.Matrix, error)
	packed(t arch.Tensor) (*packed.Matrix, error)
}

// take puts all tensors in their places.
func (m *Model) take(ctx context.Context, from source) error {
	c := m.Config
	m.layers = make([]layer, c.Layers)
	for i := range m.layers {
		m.layers[i] = layer{norms: map[string][]float32{}, sliding: c.Sliding(i)}
		for g, names := range groups {
			m.layers[i].linears[g] = make([]linear, len(names))
		}
	}
	for _, t := range c.Tensors() {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := m.takeTensor(t, from); err != nil {
			return err
		}
	}
	for i := range m.layers {
		m.layers[i].arrange(c)
	}
	if c.TieEmbeddings {
		m.head = m.embedding
	}
	return nil
}

func (m *Model) takeTensor(t arch.Tensor, from source) (err error) {
	if t.Kind == arch.Embedding || t.Kind == arch.Head {
		matrix, err := from.table(t)
		if t.Kind == arch.Embedding {
			m.embedding = matrix
		} else {
			m.head = matrix
		}
		return err
	}
	if t.Name == "model.norm.weight" {
		m.norm, err = m.takeNorm(t, from)
		return err
	}
	index, name, err := parts(t)
	if err != nil {
		return err
	}
	block := &m.layers[index]
	if t.Kind == arch.Norm {
		block.norms[name], err = m.takeNorm(t, from)
		return err
	}
	group, i, err := place(name)
	if err != nil {
		return err
	}
	l := &block.linears[group][i]
	switch {
	case t.Kind == arch.Bias:
		l.bias, err = from.values(t)
	case t.Kind == arch.SubLNorm:
		l.subln, err = from.values(t)
	case m.Config.Quantization.IsTernary():
		l.out, l.in = t.Dims[0], t.Dims[1]
		l.ternary, err = from.packed(t)
	default:
		l.out, l.in = t.Dims[0], t.Dims[1]
		l.full, err = from.table(t)
	}
	return err
}

// takeNorm reads a weight of the backbone's norms, with the offset.
func (m *Model) takeNorm(t arch.Tensor, from source) ([]float32, error) {
	w, err := from.values(t)
	if offset := float32(m.Config.NormOffset()); offset != 0 {
		for i := range w {
			w[i] += offset
		}
	}
	return w, err
}
