package hf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/internal/golden"
)

// ggufFile is a GGUF file in the making: keys with values of the types below, and tensors of float32.
type ggufFile struct {
	keys    map[string]any
	names   []string
	tensors map[string]ggufTensor
}

type ggufTensor struct {
	dims   []int // row-major
	values []float32
}

func (f *ggufFile) put(name string, values []float32, dims ...int) {
	if _, ok := f.tensors[name]; !ok {
		f.names = append(f.names, name)
	}
	f.tensors[name] = ggufTensor{dims, values}
}

// bytes is the file, version 3, as the format's description has it.
func (f *ggufFile) bytes() []byte {
	var b bytes.Buffer
	le := func(values ...any) {
		for _, v := range values {
			if s, ok := v.(string); ok {
				binary.Write(&b, binary.LittleEndian, uint64(len(s)))
				b.WriteString(s)
				continue
			}
			binary.Write(&b, binary.LittleEndian, v)
		}
	}
	b.WriteString("GGUF")
	le(uint32(3), uint64(len(f.names)), uint64(len(f.keys)))
	for _, key := range slices.Sorted(maps.Keys(f.keys)) {
		le(key)
		switch v := f.keys[key].(type) {
		case int:
			le(uint32(4), uint32(v))
		case float64:
			le(uint32(6), float32(v))
		case bool:
			le(uint32(7), v)
		case string:
			le(uint32(8), v)
		case []string:
			le(uint32(9), uint32(8), uint64(len(v)))
			for _, s := range v {
				le(s)
			}
		case []int32:
			le(uint32(9), uint32(5), uint64(len(v)), v)
		case []float32:
			le(uint32(9), uint32(6), uint64(len(v)), v)
		default:
			panic(fmt.Sprintf("%s: %T", key, v))
		}
	}
	offset := 0
	for _, name := range f.names {
		t := f.tensors[name]
		le(name, uint32(len(t.dims)))
		for _, d := range slices.Backward(t.dims) {
			le(uint64(d))
		}
		le(uint32(0), uint64(offset))
		offset += (4*len(t.values) + 31) / 32 * 32
	}
	for _, name := range f.names {
		b.Write(make([]byte, (32-b.Len()%32)%32))
		le(f.tensors[name].values)
	}
	b.Write(make([]byte, (32-b.Len()%32)%32))
	return b.Bytes()
}

// ggufOf writes a model as llama.cpp's converter does: sizes under the architecture's keys, rows of queries and keys in pairs for
// llama, norms with 1 added for gemma3.
func ggufOf(t *testing.T, m *Model) *ggufFile {
	c := m.Config
	architecture := map[arch.Family]string{arch.Llama: "llama", arch.Qwen2: "qwen2", arch.Qwen3: "qwen3", arch.Gemma3: "gemma3"}[c.Family]
	tokens := []string{"<unk>", "<s>", "</s>", "▁", "a", "▁a"}
	f := &ggufFile{tensors: map[string]ggufTensor{}, keys: map[string]any{
		"general.architecture": architecture, "general.name": "tiny", architecture + ".block_count": c.Layers, architecture + ".embedding_length": c.HiddenSize,
		architecture + ".feed_forward_length": c.IntermediateSize, architecture + ".attention.head_count": c.Heads, architecture + ".attention.head_count_kv": c.KVHeads,
		architecture + ".attention.key_length": c.HeadDim, architecture + ".attention.value_length": c.HeadDim, architecture + ".context_length": c.MaxPositions,
		architecture + ".attention.layer_norm_rms_epsilon": c.NormEps, architecture + ".rope.freq_base": c.RopeTheta,
		"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.scores": []float32{0, 0, 0, -3, -4, -1},
		"tokenizer.ggml.token_type": []int32{2, 3, 3, 1, 1, 1}, "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2,
	}}
	if c.Family == arch.Gemma3 {
		f.keys["gemma3.attention.sliding_window"], f.keys["gemma3.attention.sliding_window_pattern"] = c.SlidingWindow, 3
	}
	for _, tensor := range c.Tensors() {
		values, dims := slices.Clone(flat(t, m, tensor)), tensor.Dims
		name := tensor.Name
		switch {
		case c.Family == arch.Gemma3 && strings.Contains(name, "norm"):
			for i := range values {
				values[i]++
			}
		case c.Family == arch.Llama && strings.Contains(name, "q_proj"), c.Family == arch.Llama && strings.Contains(name, "k_proj"):
			// [heads, 2, half, width] becomes [heads, half, 2, width].
			out, half, width := make([]float32, len(values)), c.HeadDim/2, dims[1]
			for h := range dims[0] / c.HeadDim {
				for s := range 2 {
					for i := range half {
						copy(out[((h*half+i)*2+s)*width:][:width], values[((h*2+s)*half+i)*width:][:width])
					}
				}
			}
			values = out
		}
		feedForward := "ffn_norm"
		if c.Family == arch.Gemma3 {
			feedForward = "post_attention_norm"
		}
		name = strings.NewReplacer("model.layers", "blk", "self_attn.q_proj", "attn_q", "self_attn.k_proj", "attn_k", "self_attn.v_proj", "attn_v",
			"self_attn.o_proj", "attn_output", "self_attn.q_norm", "attn_q_norm", "self_attn.k_norm", "attn_k_norm", "mlp.gate_proj", "ffn_gate",
			"mlp.up_proj", "ffn_up", "mlp.down_proj", "ffn_down", "input_layernorm", "attn_norm", "pre_feedforward_layernorm", "ffn_norm",
			"post_feedforward_layernorm", "post_ffw_norm", "post_attention_layernorm", feedForward, "model.embed_tokens", "token_embd",
			"model.norm", "output_norm", "lm_head", "output").Replace(name)
		f.put(name, values, dims...)
	}
	if s := c.RopeScaling; s.Type == arch.RopeLlama3 {
		factors := make([]float32, c.HeadDim/2)
		for i := range factors {
			wavelength := 2 * math.Pi * math.Pow(c.RopeTheta, 2*float64(i)/float64(c.HeadDim))
			switch low, high := 8192.0, 2048.0; { // as in the published models
			case wavelength > low:
				factors[i] = 8
			case wavelength < high:
				factors[i] = 1
			default:
				smooth := (8192/wavelength - 1) / 3
				factors[i] = float32(1 / ((1-smooth)/8 + smooth))
			}
		}
		f.put("rope_freqs.weight", factors, len(factors))
	}
	return f
}

// TestGGUF writes every golden decoder as a GGUF file and reads it back.
func TestGGUF(t *testing.T) {
	for _, name := range golden.Folders(t, "decoders") {
		t.Run(name, func(t *testing.T) {
			want := mustLoad(t, filepath.Join(golden.Dir(t), "decoders", name))
			path := filepath.Join(t.TempDir(), "tiny.gguf")
			mustWrite(t, path, ggufOf(t, want).bytes())
			got := mustLoad(t, path)
			c := want.Config
			if c.Family == arch.Gemma3 { // which the file does not say
				c.QueryScalar = float64(c.HeadDim)
			}
			if c.RopeScaling.Type == arch.RopeLlama3 {
				c.RopeScaling.OriginalPositions = 8192
			}
			if !reflect.DeepEqual(got.Config, c) {
				t.Errorf("got  %+v\nwant %+v", got.Config, c)
			}
			for _, tensor := range c.Tensors() {
				values, original := flat(t, got, tensor), flat(t, want, tensor)
				for i := range values {
					if d := math.Abs(float64(values[i] - original[i])); d > 1e-6 { // 1 was added and taken off
						t.Fatalf("%s: value %d is %g, want %g", tensor.Name, i, values[i], original[i])
					}
				}
			}
			if ids := got.Tokenizer.Encode("a a"); !slices.Equal(ids, []int32{5, 5}) {
				t.Errorf("ids %v", ids)
			}
			if bos, ok := got.Tokenizer.BOS(); !ok || bos != 1 {
				t.Errorf("begins with %d, %t", bos, ok)
			}
			checkRoundTrip(t, got)
		})
	}
}

// TestBadGGUF sees what is wrong named.
func TestBadGGUF(t *testing.T) {
	good := mustLoad(t, filepath.Join(golden.Dir(t), "decoders", golden.Folders(t, "decoders")[0]))
	good.Config.Family, good.Config.RopeScaling = arch.Llama, arch.RopeScaling{} // whatever it was
	good.Config.SlidingLayers, good.Config.SlidingWindow, good.Config.LocalRopeTheta, good.Config.QueryScalar = nil, 0, 0, 0
	good.Store = zeros(t, good.Config)
	set := func(key string, value any) func(f *ggufFile) { return func(f *ggufFile) { f.keys[key] = value } }
	unset := func(key string) func(f *ggufFile) { return func(f *ggufFile) { delete(f.keys, key) } }
	for want, change := range map[string]func(f *ggufFile){
		`general.architecture: "mamba" is not supported; supported are gemma3, llama, qwen2, qwen3`: set("general.architecture", "mamba"),
		"llama.expert_count: 8 is not supported":                                                    set("llama.expert_count", 8),
		"split.count: the model is split into 3 files":                                              set("split.count", 3),
		"llama.attention.value_length: 2 differs":                                                   set("llama.attention.value_length", 2),
		"llama.rope.dimension_count: 2, want the width of a head":                                   set("llama.rope.dimension_count", 2),
		`llama.rope.scaling.type: "yarn" is not supported`:                                          set("llama.rope.scaling.type", "yarn"),
		"llama.block_count":                                                        unset("llama.block_count"),
		"num_hidden_layers: 0":                                                     set("llama.block_count", 0),
		"tensors cannot hold num_hidden_layers 5000":                               set("llama.block_count", 5000),
		"llama.embedding_length":                                                   set("llama.embedding_length", "64"),
		"num_attention_heads: 0":                                                   set("llama.attention.head_count", 0),
		"tokenizer.ggml.tokens":                                                    unset("tokenizer.ggml.tokens"),
		"tokenizer.ggml.scores: has 1 entries for 6 tokens":                        set("tokenizer.ggml.scores", []float32{1}),
		"tokenizer.ggml.token_type: has 1 entries":                                 set("tokenizer.ggml.token_type", []int32{1}),
		"tokenizer.ggml.bos_token_id: 9, there are 6 tokens":                       set("tokenizer.ggml.bos_token_id", 9),
		"true, but there is no tokenizer.ggml.bos_token_id":                        unset("tokenizer.ggml.bos_token_id"),
		`tokenizer.ggml.model: "bert" is not supported; supported are gpt2, llama`: set("tokenizer.ggml.model", "bert"),
		`entries 4 and 5 are both "a"`:                                             set("tokenizer.ggml.tokens", []string{"<unk>", "<s>", "</s>", "▁", "a", "a"}),
		"tokenizer.ggml.tokens: entry 3 is not UTF-8":                              set("tokenizer.ggml.tokens", []string{"<unk>", "<s>", "</s>", "\xff", "a", "b"}),
		`tokenizer.ggml.pre: "odd" is not supported`:                               func(f *ggufFile) { f.keys["tokenizer.ggml.model"], f.keys["tokenizer.ggml.pre"] = "gpt2", "odd" },
		"rope_freqs.weight: not the factors of Llama 3.1 or 3.2":                   func(f *ggufFile) { f.put("rope_freqs.weight", []float32{1, 2}, 2) },
		"model.norm.weight: missing": func(f *ggufFile) {
			f.names = slices.DeleteFunc(f.names, func(n string) bool { return n == "output_norm.weight" })
		},
		"blk.0.ssm.weight: is not part of a llama model": func(f *ggufFile) { f.put("blk.0.ssm.weight", []float32{1}, 1) },
		"shape [3], config wants":                        func(f *ggufFile) { f.put("output_norm.weight", make([]float32, 3), 3) },
		"model.norm.weight: value 0 is NaN":              func(f *ggufFile) { f.tensors["output_norm.weight"].values[0] = float32(math.NaN()) },
	} {
		f := ggufOf(t, good)
		change(f)
		path := filepath.Join(t.TempDir(), "bad.gguf")
		mustWrite(t, path, f.bytes())
		if _, err := Load(path); err == nil || !strings.HasPrefix(err.Error(), path) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s\n got %v", want, err)
		}
	}
}
