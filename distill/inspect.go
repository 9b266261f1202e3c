package distill

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/bitnet/native"
	"github.com/bitdistill/bitdistill/bitnet/packed"
	"github.com/bitdistill/bitdistill/internal/system"
)

// Inspection is what a model's files hold, and what the packed engine makes of them.
type Inspection struct {
	Model      string        `json:"model"`  // as it was named
	Format     string        `json:"format"` // bitdistill, gguf or folder
	Name       string        `json:"name,omitempty"`
	Family     arch.Family   `json:"family"`
	Layers     int           `json:"layers"`
	Hidden     int           `json:"hidden_size"`
	Vocabulary int           `json:"vocab_size"`
	Positions  int           `json:"max_position_embeddings"`
	Weights    arch.Weights  `json:"weights"` // quantizer of the linears
	SubLN      arch.SubLN    `json:"subln"`
	FileBytes  int64         `json:"file_bytes"` // all files of the model
	Tensors    []TensorStats `json:"tensors"`
	Totals     []TensorStats `json:"totals"` // by kind, then of all; without scales and shape
	Memory     EngineMemory  `json:"memory"`

	Tokenizer  bool            `json:"tokenizer"`
	Chat       string          `json:"chat_template,omitempty"` // where it stands
	Task       string          `json:"task,omitempty"`
	Provenance json.RawMessage `json:"provenance,omitempty"`

	config arch.Config
}

// TensorStats describes a tensor, or those of a kind.
type TensorStats struct {
	Name       string       `json:"name"`
	Kind       string       `json:"kind"`
	Shape      []int        `json:"shape,omitempty"`
	Type       string       `json:"type,omitempty"` // in the file
	Values     int          `json:"values"`
	Bytes      int64        `json:"bytes"`           // in the file, scales and filling included
	Memory     int64        `json:"memory_bytes"`    // in the engine, likewise
	Bits       float64      `json:"bits"`            // a value, in the file
	MemoryBits float64      `json:"memory_bits"`     // a value, in the engine
	Codes      *Codes       `json:"codes,omitempty"` // of a ternary linear
	Scale      *ScaleValues `json:"scale,omitempty"` // likewise
	codes      [3]int
}

// Codes are the shares of the ternary codes, which come to 1.
type Codes struct {
	Minus float64 `json:"minus"`
	Zero  float64 `json:"zero"`
	Plus  float64 `json:"plus"`
}

// ScaleValues are those of a ternary linear.
type ScaleValues struct {
	N    int     `json:"n"`
	Min  float64 `json:"min"`
	Mean float64 `json:"mean"`
	Max  float64 `json:"max"`
}

// EngineMemory is what a model takes in the packed engine, bytes.
type EngineMemory struct {
	Weights  int64     `json:"weights"`
	Cache    int64     `json:"cache"`   // keys and values of Context tokens
	Context  int       `json:"context"` // tokens
	Expected int64     `json:"expected"`
	Resident *Resident `json:"resident,omitempty"`
}

// Resident is what the system counts as this process's memory, bytes, around the opening of the model and a pass.
type Resident struct {
	Before int64 `json:"before"`
	After  int64 `json:"after"`
}

// kindNames are those of [arch.Kind].
var kindNames = map[arch.Kind]string{arch.Embedding: "embedding", arch.Head: "head", arch.Linear: "linear", arch.Norm: "norm", arch.SubLNorm: "subln", arch.Bias: "bias"}

// Inspect reads all of a model by the names of [OpenPacked]. context is the number of tokens that memory is reckoned for, 0 for 512 or
// as many as the model was made for, and cache the type of their keys and values. log is told what is fetched, and may be nil. Errors wrap [ErrInput] or [ErrUnreachable].
func Inspect(ctx context.Context, name string, context int, cache infer.CacheType, log io.Writer) (*Inspection, error) {
	var i *Inspection
	err := withModel(ctx, name, log, func(path string, from Origin) error {
		var err error
		if native.Is(path) {
			i, err = inspectNative(ctx, path, context, &from)
		} else {
			i, err = inspectFolder(ctx, path, context)
		}
		if err != nil {
			return ReadFault(ctx, err)
		}
		i.Model = name
		if task, known, err := from.ownTask(); known && err == nil {
			i.Task = task.Name
		}
		i.remember(cache)
		return nil
	})
	return i, err
}

// describe takes what a model's files say, and refuses a context that does not fit before tensors are read.
func (i *Inspection) describe(ctx context.Context, m *files.Model, context int) error {
	c := m.Config
	if context == 0 {
		context = min(DefaultMaxLength, c.MaxPositions)
	}
	if context < 1 || context > c.MaxPositions {
		return wrongInput("--context: %d tokens, want 1 to %d: what the model was made for (max_position_embeddings)", context, c.MaxPositions)
	}
	i.Memory.Context = context
	i.Family, i.Layers, i.Hidden, i.Vocabulary, i.Positions = c.Family, c.Layers, c.HiddenSize, c.VocabSize, c.MaxPositions
	i.Weights, i.SubLN, i.Tokenizer = c.Quantization.Weights, c.Quantization.SubLN, m.Tokenizer != nil
	i.config = c
	chat, err := m.Chat(ctx)
	if chat != nil {
		i.Chat = chat.Source
	}
	return err
}

func inspectNative(ctx context.Context, path string, context int, from *Origin) (*Inspection, error) {
	f, err := native.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	i := &Inspection{Format: native.Architecture, Name: f.Name, Provenance: f.Provenance, FileBytes: bytesOf(path)}
	if err := i.describe(ctx, f.Model, context); err != nil {
		return nil, err
	}
	if err := from.describe(f.Task, f.Provenance); err != nil {
		return nil, err
	}
	return i, i.each(ctx, f.Config, func(t arch.Tensor, s *TensorStats) error {
		info, err := f.Info(t)
		if err != nil {
			return err
		}
		s.Type, s.Bytes = info.Type.String(), info.Bytes
		if t.Kind != arch.Linear || !f.Config.Quantization.IsTernary() {
			s.Memory = s.Bytes // as it is mapped, or a vector of float32
			return nil
		}
		s.Type = "2-bit panels"
		raw, err := f.Bytes(t)
		if err != nil {
			return err
		}
		scales, err := f.Scales(t)
		if err != nil {
			return err
		}
		m, err := packed.FromPanels(raw, t.Dims[0], t.Dims[1], packed.Scaling(f.Config.Quantization.Weights), scales)
		if err == nil {
			err = m.Check()
		}
		if err != nil {
			return inputError{&files.FileError{Path: path, Faults: []error{errorOf(t, err)}}}
		}
		s.count(m)
		s.Bytes = s.Memory
		return nil
	})
}

func inspectFolder(ctx context.Context, path string, context int) (*Inspection, error) {
	m, weights, err := files.Open(path)
	if err != nil {
		return nil, err
	}
	defer weights.Close()
	i := &Inspection{Format: "folder", FileBytes: bytesOf(path)}
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		i.Format = "gguf"
	}
	if err := i.describe(ctx, m, context); err != nil {
		return nil, err
	}
	return i, i.each(ctx, m.Config, func(t arch.Tensor, s *TensorStats) error {
		kind, bytes := weights.Stored(t)
		s.Type, s.Bytes, s.Memory = kind.String(), bytes, 4*int64(s.Values)
		ternary := m.Config.Quantization.IsTernary()
		if len(t.Dims) > 1 && (kind == gguf.F16 || kind == gguf.BF16) {
			s.Memory = 2 * int64(s.Values) // matrices stay as they are
		}
		if t.Kind != arch.Linear || !ternary && !ternaryType(kind) {
			return nil
		}
		values := make([]float32, s.Values)
		if err := weights.Read(t, values); err != nil {
			return err
		}
		if !ternary { // the engine has such a matrix in full precision
			for _, v := range values {
				s.add(sign(v))
			}
			return nil
		}
		q, err := packed.QuantizeAs(values, t.Dims[0], t.Dims[1], m.Config.Quantization)
		if err != nil {
			return errorOf(t, err)
		}
		s.count(q)
		return nil
	})
}

// ternaryType reports whether a type of GGUF files has the codes -1, 0 and 1 alone.
func ternaryType(kind gguf.Type) bool { return kind == gguf.TQ1_0 || kind == gguf.TQ2_0 }

// sign is -1, 0 or 1.
func sign(v float32) int8 {
	switch {
	case v < 0:
		return -1
	case v > 0:
		return 1
	}
	return 0
}

// each describes all tensors, and adds them up.
func (i *Inspection) each(ctx context.Context, c arch.Config, describe func(t arch.Tensor, s *TensorStats) error) error {
	kinds := []arch.Kind{arch.Embedding, arch.Head, arch.Linear, arch.Norm, arch.SubLNorm, arch.Bias}
	sums, all := map[arch.Kind]*TensorStats{}, &TensorStats{Name: "all", Kind: "all"}
	for _, t := range c.Tensors() {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		s := TensorStats{Name: t.Name, Kind: kindNames[t.Kind], Shape: t.Dims, Values: t.Size()}
		if err := describe(t, &s); err != nil {
			return err
		}
		s.finish()
		i.Tensors = append(i.Tensors, s)
		if sums[t.Kind] == nil {
			sums[t.Kind] = &TensorStats{Name: "all " + s.Kind, Kind: s.Kind}
		}
		sums[t.Kind].merge(s)
		all.merge(s)
		all.codes = [3]int{}
	}
	for _, k := range kinds {
		if s := sums[k]; s != nil {
			s.finish()
			i.Totals = append(i.Totals, *s)
		}
	}
	all.finish()
	i.Totals = append(i.Totals, *all)
	return nil
}

// count takes the codes, the scales and the size of a matrix.
func (s *TensorStats) count(m *packed.Matrix) {
	for _, code := range m.Codes(nil) {
		s.add(code)
	}
	scales := m.Scales()
	s.Memory = int64(len(m.Bytes()) + 4*len(scales))
	v := &ScaleValues{N: len(scales), Min: float64(scales[0]), Max: float64(scales[0])}
	for _, x := range scales {
		v.Min, v.Max = min(v.Min, float64(x)), max(v.Max, float64(x))
		v.Mean += float64(x) / float64(v.N)
	}
	s.Scale = v
}

func (s *TensorStats) add(code int8) { s.codes[code+1]++ }

func (s *TensorStats) merge(o TensorStats) {
	s.Values += o.Values
	s.Bytes += o.Bytes
	s.Memory += o.Memory
	for i, n := range o.codes {
		s.codes[i] += n
	}
}

// finish computes what follows from the sums.
func (s *TensorStats) finish() {
	s.Bits, s.MemoryBits = 8*float64(s.Bytes)/float64(s.Values), 8*float64(s.Memory)/float64(s.Values)
	if n := float64(s.codes[0] + s.codes[1] + s.codes[2]); n > 0 {
		s.Codes = &Codes{float64(s.codes[0]) / n, float64(s.codes[1]) / n, float64(s.codes[2]) / n}
	}
}

// remember reckons the memory for the context.
func (i *Inspection) remember(cache infer.CacheType) {
	m := &i.Memory
	m.Cache, m.Weights = int64(m.Context)*cache.TokenBytes(i.config), i.Totals[len(i.Totals)-1].Memory
	m.Expected = m.Weights + m.Cache
}

// Measure opens the model in the engine, reads as many tokens as memory is reckoned for, and notes what the system says is resident. Systems
// other than Linux do not say.
func (i *Inspection) Measure(ctx context.Context, log io.Writer, o infer.Options) error {
	debug.FreeOSMemory()
	before := system.ResidentMemory()
	m, err := OpenPacked(ctx, i.Model, log, o)
	if err != nil {
		return err
	}
	defer m.Close()
	s, err := m.NewSequence(i.Memory.Context)
	if err != nil {
		return err
	}
	ids := make([]int32, i.Memory.Context)
	for at := range ids {
		ids[at] = int32(at % m.Config.VocabSize)
	}
	if _, err := s.Read(ctx, ids); err != nil {
		return err
	}
	debug.FreeOSMemory()
	if after := system.ResidentMemory(); after > 0 {
		i.Memory.Resident = &Resident{before, after}
	}
	return nil
}

func errorOf(t arch.Tensor, err error) error { return fmt.Errorf("%s: %w", t.Name, err) }

// bytesOf is the size of a file, or of those in a folder.
func bytesOf(path string) (n int64) {
	filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error { // what cannot be read is told when it is opened
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// Origin is the provenance as [Export] writes it, nil if the model says nothing of it.
func (i *Inspection) Origin() (*Provenance, error) {
	if i.Provenance == nil {
		return nil, nil
	}
	p := &Provenance{}
	return p, json.Unmarshal(i.Provenance, p)
}
