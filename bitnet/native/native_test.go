package native_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/bitnet/native"
	"github.com/bitdistill/bitdistill/internal/archtest"
)

const stories = "../../distill/embedded/model"

// weights are random ones by name.
type weights map[string][]float32

func randomWeights(c arch.Config) weights {
	rng := rand.New(rand.NewPCG(1, 2))
	w := weights{}
	for _, t := range c.Tensors() {
		values := make([]float32, t.Size())
		for i := range values {
			values[i] = float32(rng.NormFloat64())
		}
		w[t.Name] = values
	}
	return w
}

func (w weights) rows(t arch.Tensor, first int, dst []float32) error {
	copy(dst, w[t.Name][first*t.Dims[len(t.Dims)-1]:])
	return nil
}

// matrix is packed after the words of docs/gguf.md, a weight at a time.
type matrix struct {
	panels []byte
	scales []float32
}

func (m matrix) Bytes() []byte     { return m.panels }
func (m matrix) Scales() []float32 { return m.scales }

// pack takes the sign of a weight for its code.
func pack(q arch.Quantization) func(t arch.Tensor, w []float32) (native.Matrix, error) {
	return func(t arch.Tensor, w []float32) (native.Matrix, error) {
		out, in := t.Dims[0], t.Dims[1]
		groups := (in + 3) / 4
		m := matrix{bytes.Repeat([]byte{0x55}, (out+63)/64*groups*64), make([]float32, q.Scales(out, in))}
		for r := range out {
			for k := range in {
				code := byte(1)
				if w[r*in+k] > 0.5 {
					code = 2
				} else if w[r*in+k] < -0.5 {
					code = 0
				}
				at, shift := (r/64*groups+k/4)*64+r%16*4+k%4, r%64/16*2
				m.panels[at] = m.panels[at]&^(3<<shift) | code<<shift
			}
		}
		for i := range m.scales {
			m.scales[i] = 0.1 + float32(i)/7
		}
		return m, nil
	}
}

func create(t *testing.T, c arch.Config, w weights, o native.Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := native.Create(t.Context(), path, &files.Model{Config: c}, w.rows, o); err != nil {
		t.Fatal(err)
	}
	return path
}

func opened(t *testing.T, path string) *native.File {
	t.Helper()
	f, err := native.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestRoundTrip writes and opens every kind of model: panels, scales and full-precision tensors come back bit for bit.
func TestRoundTrip(t *testing.T) {
	for name, c := range archtest.AllVariants() {
		w := randomWeights(c)
		f := opened(t, create(t, c, w, native.Options{Embeddings: gguf.F32, Linears: gguf.F32, Pack: pack(c.Quantization)}))
		if !reflect.DeepEqual(f.Config, c) || f.Tokenizer != nil || f.Task != nil || f.Provenance != nil || f.Name != "" {
			t.Errorf("%s: came back as %+v", name, f)
		}
		for _, tensor := range c.Tensors() {
			info, err := f.Info(tensor)
			if err != nil || info.Offset%64 != 0 {
				t.Errorf("%s: %s at %d, %v", name, tensor.Name, info.Offset, err)
			}
			if tensor.Kind == arch.Linear && c.Quantization.IsTernary() {
				want, _ := pack(c.Quantization)(tensor, w[tensor.Name])
				got, err := f.Bytes(tensor)
				scales, errScales := f.Scales(tensor)
				if err != nil || errScales != nil || !bytes.Equal(got, want.Bytes()) || !slices.Equal(scales, want.Scales()) {
					t.Errorf("%s: %s: other panels or scales (%v, %v)", name, tensor.Name, err, errScales)
				}
				continue
			}
			got := make([]float32, tensor.Size())
			if err := f.ReadRows(tensor, 0, got); err != nil || !slices.Equal(got, w[tensor.Name]) {
				t.Errorf("%s: %s: other values (%v)", name, tensor.Name, err)
			}
		}
	}
}

// TestEmbeddedModel writes a real folder with all that belongs to text, twice: the same bytes, and the same folder again.
func TestEmbeddedModel(t *testing.T) {
	m, folder, err := files.Open(stories)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	m.Config.Quantization = arch.Full()
	o := native.Options{Name: "stories", Embeddings: gguf.Q8_0, Linears: gguf.BF16, Task: json.RawMessage(`{"name": "sst2", "labels": [{"answer": " good"}]}`), Provenance: json.RawMessage(`{"base":"stories260K"}`)}
	var all [2][]byte
	var path string
	for i := range all {
		path = filepath.Join(t.TempDir(), "model.gguf")
		if err := native.Create(t.Context(), path, m, folder.ReadRows, o); err != nil {
			t.Fatal(err)
		}
		if all[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(all[0], all[1]) {
		t.Error("the same model gave other bytes")
	}
	f := opened(t, path)
	if f.Name != o.Name || string(f.Task) != string(o.Task) || string(f.Provenance) != string(o.Provenance) || f.Tokenizer.Hash() != m.Tokenizer.Hash() {
		t.Errorf("came back as %q, %s, %s", f.Name, f.Task, f.Provenance)
	}
	want, errWant := m.Contents()
	got, errGot := f.Contents()
	if errors.Join(errWant, errGot) != nil || !reflect.DeepEqual(got, want) {
		t.Error("the folder's files changed")
	}
	embedding := m.Config.Tensors()[0]
	values, again := make([]float32, embedding.Size()), make([]float32, embedding.Size())
	if err := errors.Join(folder.Read(embedding, values), f.ReadRows(embedding, 0, again)); err != nil {
		t.Fatal(err)
	}
	for i, v := range values { // in 8 bits
		if math.Abs(float64(v-again[i])) > 0.02 {
			t.Fatalf("value %d: %v became %v", i, v, again[i])
		}
	}
}

// TestSizes: a matrix of the widths of real models takes 2 bits a weight, and a header that does not count.
func TestSizes(t *testing.T) {
	c := archtest.Tiny(arch.Llama, arch.Ternary(arch.SubLNNone))
	c.HiddenSize, c.IntermediateSize, c.Heads, c.KVHeads, c.HeadDim, c.Layers = 256, 768, 4, 2, 64, 1
	f := opened(t, create(t, c, randomWeights(c), native.Options{Embeddings: gguf.F16, Pack: pack(c.Quantization)}))
	for _, tensor := range c.Tensors() {
		info, err := f.Info(tensor)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[arch.Kind]int{arch.Linear: 2, arch.Norm: 32, arch.Embedding: 16}[tensor.Kind] * tensor.Size() / 8; info.Bytes != int64(want) {
			t.Errorf("%s: %d bytes, want %d", tensor.Name, info.Bytes, want)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	ternary := archtest.Tiny(arch.Llama, arch.Ternary(arch.SubLNNone))
	channel := ternary
	channel.Quantization.Weights = arch.Channel
	full := archtest.Tiny(arch.Llama, arch.Full())
	bad := full
	bad.Heads = 3
	fails := errors.New("disk on fire")
	packs := func(panels int, scales ...float32) func(arch.Tensor, []float32) (native.Matrix, error) {
		return func(arch.Tensor, []float32) (native.Matrix, error) { return matrix{make([]byte, panels), scales}, nil }
	}
	for says, c := range map[string]struct {
		config arch.Config
		rows   func(t arch.Tensor, first int, dst []float32) error
		o      native.Options
	}{
		"num_key_value_heads: 2 does not divide":                                              {bad, nil, native.Options{}},
		"a ternary model needs Options.Pack":                                                  {ternary, nil, native.Options{}},
		"model.embed_tokens.weight: type BF16, want Q8_0 or F32 or F16 or Q4_0":               {full, nil, native.Options{Embeddings: gguf.BF16}},
		"q_proj.weight: type TQ2_0, want F32 or F16 or BF16 or Q8_0 or Q4_0":                  {full, nil, native.Options{Linears: gguf.TQ2_0}},
		`tensor "model.embed_tokens.weight": dimensions: a row has 16 values, not a multiple`: {full, nil, native.Options{Embeddings: gguf.Q8_0}},
		"bitdistill.task is not valid JSON":                                                   {full, nil, native.Options{Task: json.RawMessage("{")}},
		`tensor "model.embed_tokens.weight": data: write: disk on fire`:                       {full, func(arch.Tensor, int, []float32) error { return fails }, native.Options{}},
		`q_proj.weight": data: 4 bytes, I8 [1 4 64] needs 256`:                                {ternary, nil, native.Options{Pack: packs(4, 1)}},
		"packed with 1 scales, channel wants 16":                                              {channel, nil, native.Options{Pack: packs(256, 1)}},
		"packed with the scale 0, want a positive number":                                     {ternary, nil, native.Options{Pack: packs(256, 0)}},
	} {
		path := filepath.Join(t.TempDir(), "model.gguf")
		rows := c.rows
		if rows == nil {
			rows = randomWeights(full).rows
		}
		if err := native.Create(t.Context(), path, &files.Model{Config: c.config}, rows, c.o); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v, want %s", err, says)
		}
		if left, _ := os.ReadDir(filepath.Dir(path)); len(left) > 0 {
			t.Errorf("%s: left %v", says, left)
		}
	}
}

// TestInterrupted leaves nothing.
func TestInterrupted(t *testing.T) {
	c := archtest.Tiny(arch.Llama, arch.Full())
	ctx, cancel := context.WithCancel(t.Context())
	path := filepath.Join(t.TempDir(), "model.gguf")
	err := native.Create(ctx, path, &files.Model{Config: c}, func(arch.Tensor, int, []float32) error {
		cancel()
		return nil
	}, native.Options{})
	if left, _ := os.ReadDir(filepath.Dir(path)); !errors.Is(err, context.Canceled) || len(left) > 0 {
		t.Errorf("%v, left %v", err, left)
	}
}

// TestOpenRefuses changes one thing of a good file.
func TestOpenRefuses(t *testing.T) {
	c := archtest.Tiny(arch.Llama, arch.Ternary(arch.SubLNNone))
	good := create(t, c, randomWeights(c), native.Options{Embeddings: gguf.F32, Pack: pack(c.Quantization)})
	const q = "model.layers.0.self_attn.q_proj"
	set := func(key string, value any) func(m []gguf.KV, ts []gguf.Tensor) ([]gguf.KV, []gguf.Tensor) {
		return func(m []gguf.KV, ts []gguf.Tensor) ([]gguf.KV, []gguf.Tensor) {
			i := slices.IndexFunc(m, func(e gguf.KV) bool { return e.Key == key })
			if i < 0 {
				return append(m, gguf.KV{Key: key, Value: value}), ts
			}
			if m[i].Value = value; value == nil {
				m = slices.Delete(m, i, i+1)
			}
			return m, ts
		}
	}
	replace := func(name string, with ...gguf.Tensor) func(m []gguf.KV, ts []gguf.Tensor) ([]gguf.KV, []gguf.Tensor) {
		return func(m []gguf.KV, ts []gguf.Tensor) ([]gguf.KV, []gguf.Tensor) {
			i := slices.IndexFunc(ts, func(t gguf.Tensor) bool { return t.Name == name })
			return m, slices.Replace(ts, i, i+1, with...)
		}
	}
	for says, change := range map[string]func(m []gguf.KV, ts []gguf.Tensor) ([]gguf.KV, []gguf.Tensor){
		`general.architecture: "llama": not a file of this project's own format`: set("general.architecture", "llama"),
		`key "bitdistill.format_version": metadata: is missing`:                  set("bitdistill.format_version", nil),
		"bitdistill.format_version: 2 is not known, this program reads 1":        set("bitdistill.format_version", uint32(2)),
		`key "bitdistill.format_version": value type: is uint64`:                 set("bitdistill.format_version", uint64(1)),
		"no config.json": set("bitdistill.file.config.json", nil),
		"config.json: unexpected end of JSON input":                           set("bitdistill.file.config.json", "{"),
		`key "bitdistill.file.tokenizer.json": value type: is array of uint8`: set("bitdistill.file.tokenizer.json", []byte("{}")),
		"tokenizer.json: ":                                   set("bitdistill.file.tokenizer.json", "{}"),
		"bitdistill.task: is not valid JSON":                 set("bitdistill.task", "{"),
		`key "general.name": value type: is bool`:            set("general.name", true),
		q + ".weight: missing":                               replace(q + ".weight"),
		q + ".scales: missing":                               replace(q + ".scales"),
		q + ".weight: shape [1 4 32], config wants [1 4 64]": replace(q+".weight", gguf.FromBytes(q+".weight", gguf.I8, []int{1, 4, 32}, make([]byte, 128))),
		q + ".weight: type F32, want I8":                     replace(q+".weight", gguf.FromFloat32s(q+".weight", gguf.F32, []int{1, 4, 64}, make([]float32, 256))),
		"extra: is not part of the model":                    replace("model.norm.weight", gguf.FromFloat32s("model.norm.weight", gguf.F32, []int{16}, make([]float32, 16)), gguf.FromBytes("extra", gguf.I8, []int{1}, []byte{1})),
		"num_hidden_layers 9000":                             set("bitdistill.file.config.json", manyLayers(t, c)),
	} {
		f, err := gguf.Open(good)
		if err != nil {
			t.Fatal(err)
		}
		var ts []gguf.Tensor
		for _, info := range f.Tensors() {
			tensor, err := f.Copy(info.Name)
			if err != nil {
				t.Fatal(err)
			}
			ts = append(ts, tensor)
		}
		metadata, ts := change(f.Metadata().Entries(), ts)
		path := filepath.Join(t.TempDir(), "bad.gguf")
		if err := gguf.Create(t.Context(), path, metadata, ts); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if _, err := native.Open(path); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v, want %s", err, says)
		}
	}
}

// manyLayers is the config with another number of layers.
func manyLayers(t *testing.T, c arch.Config) string {
	t.Helper()
	c.Layers = 9000
	contents, err := (&files.Model{Config: c}).Contents()
	if err != nil {
		t.Fatal(err)
	}
	return string(contents["config.json"])
}

// TestBadScales: they are read apart from the rest.
func TestBadScales(t *testing.T) {
	c := archtest.Tiny(arch.Llama, arch.Ternary(arch.SubLNNone))
	path := create(t, c, randomWeights(c), native.Options{Embeddings: gguf.F32, Pack: pack(c.Quantization)})
	tensor := c.Tensors()[2]
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	info, ok := f.Info(strings.TrimSuffix(tensor.Name, ".weight") + ".scales")
	if f.Close(); !ok {
		t.Fatal("no scales")
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte{0, 0, 0xc0, 0x7f}, info.Offset); err != nil {
		t.Fatal(err)
	}
	file.Close()
	if _, err := opened(t, path).Scales(tensor); err == nil || !strings.Contains(err.Error(), "scale 0 is NaN, want a positive number") {
		t.Errorf("got %v", err)
	}
}

// ExampleOpen writes a model of no words, and looks at it.
func ExampleOpen() {
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	m, weights, err := files.Open(stories)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer weights.Close()
	path := filepath.Join(folder, "model.gguf")
	if err := native.Create(context.Background(), path, m, weights.ReadRows, native.Options{Embeddings: gguf.Q8_0, Linears: gguf.F16}); err != nil {
		fmt.Println(err)
		return
	}
	f, err := native.Open(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	info, err := f.Info(f.Config.Tensors()[0])
	fmt.Println(f.Config.Family, f.Config.Layers, info.Type, info.Shape, len(f.Tokenizer.Encode("Once upon a time")), err)
	// Output: llama 5 Q8_0 [512 64] 4 <nil>
}

// TestMemory: an embedding does not stand in memory while it is written.
func TestMemory(t *testing.T) {
	c := archtest.Tiny(arch.Llama, arch.Full())
	c.VocabSize, c.HiddenSize = 100_000, 64 // 24 MiB in float32
	path := filepath.Join(t.TempDir(), "model.gguf")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := native.Create(t.Context(), path, &files.Model{Config: c}, func(_ arch.Tensor, _ int, dst []float32) error {
		clear(dst)
		return nil
	}, native.Options{Embeddings: gguf.Q8_0}); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 4<<20 {
		t.Errorf("%d bytes allocated", got)
	}
}
