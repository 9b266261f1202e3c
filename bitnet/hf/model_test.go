package hf

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/internal/golden"
	"github.com/bitdistill/bitdistill/internal/safetensors"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

const stories = "../../distill/embedded/model"

func mustLoad(t testing.TB, dir string) *Model {
	t.Helper()
	m, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func mustWrite(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t testing.TB, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// copyDir copies a folder, so that a test may damage it.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		mustWrite(t, filepath.Join(to, e.Name()), mustRead(t, from, e.Name()))
	}
	return to
}

func flat(t testing.TB, m *Model, tensor arch.Tensor) []float32 {
	t.Helper()
	v := m.Store.GetVariable(tensor.Path())
	if v == nil {
		t.Fatalf("no variable %s", tensor.Path())
	}
	values, err := tensors.CopyFlatData[float32](v.MustValue())
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// sameFolder compares all files of two folders byte for byte.
func sameFolder(t *testing.T, a, b string) {
	t.Helper()
	if err := fs.WalkDir(os.DirFS(a), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !bytes.Equal(mustRead(t, a, path), mustRead(t, b, path)) {
			t.Errorf("%s differs", path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// Every golden decoder of a supported family loads from both forms of its config, holds the values of its file, and
// comes back from Save bit for bit.
func TestGoldenDecoders(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(golden.Dir(t), "decoders", "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no decoders: %v", err)
	}
	for _, dir := range dirs {
		for _, form := range []string{"config.json", "config.legacy.json"} {
			t.Run(filepath.Base(dir)+"/"+form, func(t *testing.T) {
				folder := t.TempDir()
				mustWrite(t, filepath.Join(folder, "config.json"), mustRead(t, dir, form))
				mustWrite(t, filepath.Join(folder, "model.safetensors"), mustRead(t, dir, "model.safetensors"))
				m, err := Load(folder)
				if err != nil {
					t.Fatal(err)
				}
				checkValues(t, m, filepath.Join(dir, "model.safetensors"))
				checkRoundTrip(t, m)
			})
		}
	}
}

func checkValues(t *testing.T, m *Model, path string) {
	t.Helper()
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, tensor := range m.Config.Tensors() {
		want, err := f.Float32s(tensor.Name)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(flat(t, m, tensor), want) {
			t.Errorf("%s: values differ", tensor.Name)
		}
	}
}

func checkRoundTrip(t *testing.T, m *Model) {
	t.Helper()
	first, second := t.TempDir(), filepath.Join(t.TempDir(), "new")
	if err := m.Save(first); err != nil {
		t.Fatal(err)
	}
	again := mustLoad(t, first)
	if !reflect.DeepEqual(again.Config, m.Config) {
		t.Errorf("config %+v, want %+v", again.Config, m.Config)
	}
	for _, tensor := range m.Config.Tensors() {
		if !slices.Equal(flat(t, again, tensor), flat(t, m, tensor)) {
			t.Errorf("%s: values differ", tensor.Name)
		}
	}
	if err := again.Save(second); err != nil {
		t.Fatal(err)
	}
	sameFolder(t, first, second)
}

// A student keeps what its folder says beside the config, and its quantization.
func TestStudentRoundTrip(t *testing.T) {
	teacher := mustLoad(t, stories)
	for _, where := range []bitnet.SubLN{bitnet.SubLNNone, bitnet.SubLNOutput, bitnet.SubLNAll} {
		c := teacher.Config
		c.Quantization = bitnet.Ternary(where)
		store := model.NewStore()
		for _, tensor := range c.Tensors() {
			values := make([]float32, tensor.Size())
			if tensor.Kind == arch.SubLNorm {
				for i := range values {
					values[i] = 1 + float32(i)/1024
				}
			} else {
				values = flat(t, teacher, tensor)
			}
			if _, err := store.CreateVariable(tensor.Path(), tensors.FromFlatDataAndDimensions(values, tensor.Dims...)); err != nil {
				t.Fatal(err)
			}
		}
		student := teacher.With(c, store)
		checkRoundTrip(t, student)
		dir := t.TempDir()
		if err := student.Save(dir); err != nil {
			t.Fatal(err)
		}
		saved := mustLoad(t, dir)
		if saved.Tokenizer.Hash() != teacher.Tokenizer.Hash() {
			t.Error("the tokenizer changed")
		}
		if text := string(mustRead(t, dir, "config.json")); !strings.Contains(text, `"bitdistill"`) || !strings.Contains(text, `"bos_token_id": 1`) {
			t.Errorf("config.json lacks a key:\n%s", text)
		}
		// Back in full precision, the key goes.
		if err := saved.With(teacher.Config, teacher.Store).Save(dir); err != nil {
			t.Fatal(err)
		}
		if got := mustLoad(t, dir).Config; !reflect.DeepEqual(got, teacher.Config) {
			t.Errorf("got %+v", got)
		}
	}
}

// A model that was not loaded can be saved, and one whose sizes changed says so in its config.
func TestSaveChangedConfig(t *testing.T) {
	c := arch.Config{Family: arch.Qwen3, VocabSize: 5, HiddenSize: 8, IntermediateSize: 6, Layers: 2, Heads: 2, KVHeads: 1,
		HeadDim: 4, MaxPositions: 9, NormEps: 1e-5, RopeTheta: 1234.5, Quantization: bitnet.Full()}
	m := &Model{Model: files.Model{Config: c}, Store: zeros(t, c)}
	checkRoundTrip(t, m)
	dir := t.TempDir()
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	c.Layers, c.TieEmbeddings, c.RopeTheta, c.Family = 1, true, 77, arch.Llama
	llama3 := c
	llama3.RopeScaling = arch.RopeScaling{Type: arch.RopeLlama3, Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalPositions: 64}
	gemma := c
	gemma.Family, gemma.Layers, gemma.TieEmbeddings = arch.Gemma3, 3, false
	gemma.SlidingWindow, gemma.SlidingLayers, gemma.LocalRopeTheta, gemma.QueryScalar = 5, []bool{true, false, true}, 55, 12
	linear := gemma
	linear.RopeScaling = arch.RopeScaling{Type: arch.RopeLinear, Factor: 8}
	for _, c := range []arch.Config{c, llama3, c, gemma, linear, gemma} {
		checkRoundTrip(t, &Model{Model: files.Model{Config: c}, Store: zeros(t, c)})
		changed := mustLoad(t, dir)
		if changed.Config.Family != c.Family { // keys of the family before would be refused
			changed = &Model{}
		}
		if err := changed.With(c, zeros(t, c)).Save(dir); err != nil {
			t.Fatal(err)
		}
		if got := mustLoad(t, dir).Config; !reflect.DeepEqual(got, c) {
			t.Errorf("got %+v, want %+v", got, c)
		}
	}
}

func zeros(t testing.TB, c arch.Config) *model.Store {
	store := model.NewStore()
	for _, tensor := range c.Tensors() {
		if _, err := store.CreateVariable(tensor.Path(), tensors.FromFlatDataAndDimensions(make([]float32, tensor.Size()), tensor.Dims...)); err != nil {
			t.Fatal(err)
		}
	}
	return store
}

func TestSaveRefuses(t *testing.T) {
	m := mustLoad(t, stories)
	nan := float32(0)
	nan /= nan
	embedding := m.Config.Tensors()[0]
	dir := filepath.Join(t.TempDir(), "out")
	values := flat(t, m, embedding)
	values[3] = nan
	if err := m.Store.GetVariable(embedding.Path()).SetValue(tensors.FromFlatDataAndDimensions(values, embedding.Dims...)); err != nil {
		t.Fatal(err)
	}
	if err := m.Save(dir); err == nil || !strings.Contains(err.Error(), "model.embed_tokens.weight: value 3 is NaN") {
		t.Errorf("got %v", err)
	}
	c := m.Config
	c.Quantization = bitnet.Ternary(bitnet.SubLNOutput)
	if err := m.With(c, m.Store).Save(dir); err == nil || !strings.Contains(err.Error(), "o_proj.norm.weight: missing") {
		t.Errorf("got %v", err)
	}
	c.Heads = 0
	if err := m.With(c, m.Store).Save(dir); err == nil || !strings.Contains(err.Error(), "num_attention_heads: 0") {
		t.Errorf("got %v", err)
	}
	if err := (&Model{Model: m.Model}).Save(dir); err == nil || !strings.Contains(err.Error(), "no weights") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a refused model left a folder")
	}
}

// split writes a folder's weights as n shards with an index, and returns the weight map.
func split(t *testing.T, dir string, n int) map[string]string {
	t.Helper()
	whole := filepath.Join(dir, "model.safetensors")
	f, err := safetensors.Open(whole)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	parts := make([][]safetensors.Tensor, n)
	where := map[string]string{}
	for i, name := range f.Names() {
		info, _ := f.Info(name)
		data, err := f.Bytes(name)
		if err != nil {
			t.Fatal(err)
		}
		parts[i%n] = append(parts[i%n], safetensors.FromBytes(name, info.DType, info.Shape, data))
		where[name] = shardName(i % n)
	}
	for i, part := range parts {
		var b bytes.Buffer
		if err := safetensors.Write(&b, nil, part); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, filepath.Join(dir, shardName(i)), b.Bytes())
	}
	if err := os.Remove(whole); err != nil {
		t.Fatal(err)
	}
	writeIndex(t, dir, where)
	return where
}

func shardName(i int) string { return "model-0000" + string(rune('1'+i)) + ".safetensors" }

func writeIndex(t *testing.T, dir string, where map[string]string) {
	t.Helper()
	data, err := json.Marshal(map[string]any{"metadata": map[string]int{"total_size": 1}, "weight_map": where})
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(dir, "model.safetensors.index.json"), data)
}

func TestShards(t *testing.T) {
	dir := copyDir(t, stories)
	where := split(t, dir, 3)
	checkValues(t, mustLoad(t, dir), filepath.Join(stories, "model.safetensors"))

	const norm = "model.norm.weight"
	for want, change := range map[string]func(m map[string]string){
		"weight_map: no tensors":         func(m map[string]string) { clear(m) },
		`"../x.safetensors" is not the`:  func(m map[string]string) { m[norm] = "../x.safetensors" },
		`"/etc/passwd" is not the`:       func(m map[string]string) { m[norm] = "/etc/passwd" },
		`"a\\b.safetensors" is not the`:  func(m map[string]string) { m[norm] = `a\b.safetensors` },
		"names a missing file":           func(m map[string]string) { m[norm] = "none.safetensors" },
		"does not list " + norm:          func(m map[string]string) { delete(m, norm) },
		"extra is not in " + where[norm]: func(m map[string]string) { m["extra"] = where[norm] },
		"says that " + norm + " is in": func(m map[string]string) {
			for _, other := range m {
				if other != where[norm] {
					m[norm] = other
				}
			}
		},
	} {
		changed := maps.Clone(where)
		change(changed)
		writeIndex(t, dir, changed)
		if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "index.json") {
			t.Errorf("want %s, got %v", want, err)
		}
	}
	mustWrite(t, filepath.Join(dir, "model.safetensors.index.json"), []byte("{"))
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "unexpected end") {
		t.Errorf("got %v", err)
	}
}

// edit changes keys of a folder's config.json; a nil value deletes one.
func edit(t testing.TB, dir string, changes map[string]any) {
	t.Helper()
	var c map[string]any
	if err := json.Unmarshal(mustRead(t, dir, "config.json"), &c); err != nil {
		t.Fatal(err)
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(dir, "config.json"), data)
}
