package hf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/internal/safetensors"
)

// rewrite changes the tensors of a folder's model.safetensors.
func rewrite(t *testing.T, dir string, change func(all []safetensors.Tensor) []safetensors.Tensor) {
	t.Helper()
	path := filepath.Join(dir, "model.safetensors")
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []safetensors.Tensor
	for _, name := range f.Names() {
		values, err := f.Float32s(name)
		if err != nil {
			t.Fatal(err)
		}
		info, _ := f.Info(name)
		all = append(all, safetensors.FromFloat32s(name, safetensors.F32, info.Shape, values))
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, nil, change(all)); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, path, b.Bytes())
}

// with adds or replaces a tensor of zeros, or of the given values.
func with(name string, dtype safetensors.DType, shape []int, values ...float32) func([]safetensors.Tensor) []safetensors.Tensor {
	size := 1
	for _, n := range shape {
		size *= n
	}
	full := make([]float32, size)
	copy(full, values)
	return func(all []safetensors.Tensor) []safetensors.Tensor {
		return append(without(name)(all), safetensors.FromFloat32s(name, dtype, shape, full))
	}
}

func without(name string) func([]safetensors.Tensor) []safetensors.Tensor {
	return func(all []safetensors.Tensor) []safetensors.Tensor {
		return slices.DeleteFunc(all, func(t safetensors.Tensor) bool { return t.Name == name })
	}
}

const oProj = "model.layers.3.self_attn.o_proj.weight"

var inf = func() float32 { zero := float32(0); return 1 / zero }()

func TestBadFolders(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string)
		file   string // that the error names
		want   string
	}{
		"no config":  {remove("config.json"), "config.json", "no such file"},
		"no weights": {remove("model.safetensors"), "model.safetensors", "no model.safetensors.index.json"},
		"pickled weights": {func(t *testing.T, dir string) {
			remove("model.safetensors")(t, dir)
			mustWrite(t, filepath.Join(dir, "pytorch_model.bin"), nil)
		}, "pytorch_model.bin", "to safetensors first"},
		"empty weights":     {put("model.safetensors", nil), "model.safetensors", "is empty"},
		"truncated weights": {cut("model.safetensors", 500_000), "model.safetensors", ""},
		"truncated header":  {cut("model.safetensors", 100), "model.safetensors", "claims"},
		"long header": {func(t *testing.T, dir string) {
			data := mustRead(t, dir, "model.safetensors")
			binary.LittleEndian.PutUint64(data, uint64(len(data)))
			mustWrite(t, filepath.Join(dir, "model.safetensors"), data)
		}, "model.safetensors", "header length: claims"},
		"wrong shape": {weights(with(oProj, safetensors.F32, []int{64, 32})), "model.safetensors",
			oProj + ": shape [64 32], config wants [64 64]; check num_attention_heads and head_dim"},
		"wrong rank":        {weights(with("model.norm.weight", safetensors.F32, []int{8, 8})), "model.safetensors", "shape [8 8], config wants [64]; check hidden_size"},
		"wrong dtype":       {weights(with(oProj, safetensors.F64, []int{64, 64})), "model.safetensors", oProj + ": dtype F64"},
		"missing":           {weights(without(oProj)), "model.safetensors", oProj + ": missing"},
		"unknown":           {weights(with("model.extra", safetensors.F32, []int{1})), "model.safetensors", "model.extra: is not part of a llama model"},
		"bias":              {weights(with("model.layers.0.self_attn.q_proj.bias", safetensors.F32, []int{64})), "model.safetensors", "biases there are not supported"},
		"SubLN":             {weights(with("model.layers.0.self_attn.o_proj.norm.weight", safetensors.F32, []int{64})), "model.safetensors", "check bitdistill.subln"},
		"not finite":        {weights(with("model.norm.weight", safetensors.F32, []int{64}, 1, inf)), "model.safetensors", "model.norm.weight: value 1 is +Inf"},
		"untied":            {changed(map[string]any{"tie_word_embeddings": false}), "model.safetensors", "lm_head.weight: missing; if the head is the embedding"},
		"other head":        {weights(with("lm_head.weight", safetensors.F32, []int{512, 64})), "model.safetensors", "differs from model.embed_tokens.weight"},
		"short head":        {weights(with("lm_head.weight", safetensors.F32, []int{5, 64})), "model.safetensors", "lm_head.weight: shape [5 64]"},
		"fewer layers":      {changed(map[string]any{"num_hidden_layers": 4}), "model.safetensors", "check num_hidden_layers"},
		"more layers":       {changed(map[string]any{"num_hidden_layers": 6}), "model.safetensors", "model.layers.5.input_layernorm.weight: missing"},
		"absurd layers":     {changed(map[string]any{"num_hidden_layers": 9000}), "model.safetensors", "cannot hold num_hidden_layers 9000"},
		"other vocabulary":  {changed(map[string]any{"vocab_size": 600}), "model.safetensors", "shape [512 64], config wants [600 64]; check vocab_size"},
		"small vocabulary":  {changed(map[string]any{"vocab_size": 500}), "tokenizer.json", "has the id 500, beyond vocab_size 500"},
		"other heads":       {changed(map[string]any{"num_key_value_heads": 2}), "model.safetensors", "check num_key_value_heads"},
		"other width":       {changed(map[string]any{"intermediate_size": 100}), "model.safetensors", "check intermediate_size"},
		"other family":      {changed(map[string]any{"model_type": "mamba"}), "config.json", `model_type: "mamba"`},
		"damaged tokenizer": {cut("tokenizer.json", 4000), "tokenizer.json", "unexpected end of JSON"},
		"other tokenizer":   {put("tokenizer.json", []byte(`{"model":{"type":"Unigram"}}`)), "tokenizer.json", `"Unigram" is not supported`},
		"config is a folder": {func(t *testing.T, dir string) {
			remove("config.json")(t, dir)
			if err := os.Mkdir(filepath.Join(dir, "config.json"), 0o777); err != nil {
				t.Fatal(err)
			}
		}, "config.json", "is not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyDir(t, stories)
			c.damage(t, dir)
			m, err := Load(dir)
			if err == nil || m != nil {
				t.Fatal("was accepted")
			}
			if !strings.Contains(err.Error(), c.file) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
			var file *files.FileError
			var format *safetensors.FormatError
			if !errors.As(err, &file) && !errors.As(err, &format) && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("an error of kind %T", err)
			}
		})
	}
}

func remove(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func put(name string, data []byte) func(*testing.T, string) {
	return func(t *testing.T, dir string) { mustWrite(t, filepath.Join(dir, name), data) }
}

func cut(name string, n int) func(*testing.T, string) {
	return func(t *testing.T, dir string) { put(name, mustRead(t, dir, name)[:n])(t, dir) }
}

func changed(keys map[string]any) func(*testing.T, string) {
	return func(t *testing.T, dir string) { edit(t, dir, keys) }
}

func weights(change func([]safetensors.Tensor) []safetensors.Tensor) func(*testing.T, string) {
	return func(t *testing.T, dir string) { rewrite(t, dir, change) }
}

// What published folders have beside the table is accepted: buffers, and a copy of the tied embedding.
func TestHarmlessTensors(t *testing.T) {
	dir := copyDir(t, stories)
	embedding := flat(t, mustLoad(t, stories), mustLoad(t, stories).Config.Tensors()[0])
	rewrite(t, dir, with("model.layers.0.self_attn.rotary_emb.inv_freq", safetensors.F32, []int{4}))
	rewrite(t, dir, with("lm_head.weight", safetensors.F32, []int{512, 64}, embedding...))
	checkValues(t, mustLoad(t, dir), filepath.Join(stories, "model.safetensors"))
	checkRoundTrip(t, mustLoad(t, dir))
}

// Without a tokenizer a folder still holds a model.
func TestNoTokenizer(t *testing.T) {
	dir := copyDir(t, stories)
	remove("tokenizer.json")(t, dir)
	if m := mustLoad(t, dir); m.Tokenizer != nil {
		t.Error("there is a tokenizer")
	}
}

// Check refuses what headers show and reads no weights.
func TestCheck(t *testing.T) {
	dir := copyDir(t, stories)
	m, err := Check(dir)
	if err != nil || m.Store != nil || m.Config.Layers != 5 || m.Tokenizer == nil {
		t.Errorf("%+v, %v", m, err)
	}
	rewrite(t, dir, without(oProj))
	if _, err := Check(dir); err == nil || !strings.Contains(err.Error(), oProj+": missing") {
		t.Errorf("got %v", err)
	}
}

// Many faults of a kind do not fill the screen.
func TestManyFaults(t *testing.T) {
	dir := copyDir(t, stories)
	edit(t, dir, map[string]any{"hidden_size": 32, "head_dim": 8})
	_, err := Load(dir)
	var file *files.FileError
	if !errors.As(err, &file) || len(file.Faults) != 7 || !strings.HasSuffix(err.Error(), "more") {
		t.Errorf("got %v", err)
	}
}
