package files

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/internal/golden"
)

// required are the fields without a default.
const required = `"vocab_size": 100, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4`

func parse(fields string) (arch.Config, error) {
	return ParseConfig("dir/config.json", []byte("{"+fields+"}"))
}

// The defaults are those of transformers 5.23: LlamaConfig(), Qwen2Config(), Qwen3Config() and Gemma3TextConfig() with the required fields.
func TestConfigDefaults(t *testing.T) {
	base := arch.Config{VocabSize: 100, HiddenSize: 64, IntermediateSize: 96, Layers: 2, Heads: 4,
		NormEps: 1e-6, RopeTheta: 10_000, Quantization: arch.Full()}
	llama := base
	llama.Family, llama.KVHeads, llama.HeadDim, llama.MaxPositions = arch.Llama, 4, 16, 2048
	qwen := base
	qwen.Family, qwen.KVHeads, qwen.HeadDim, qwen.MaxPositions = arch.Qwen3, 4, 128, 32_768
	qwen2 := qwen
	qwen2.Family, qwen2.HeadDim = arch.Qwen2, 16
	gemma := base
	gemma.Family, gemma.KVHeads, gemma.HeadDim, gemma.MaxPositions, gemma.RopeTheta = arch.Gemma3, 4, 256, 131_072, 1e6
	gemma.TieEmbeddings, gemma.SlidingWindow, gemma.SlidingLayers, gemma.LocalRopeTheta, gemma.QueryScalar = true, 4096, []bool{true, true}, 1e4, 256
	pattern := gemma
	pattern.SlidingLayers, pattern.RopeScaling = []bool{true, false}, arch.RopeScaling{Type: arch.RopeLinear, Factor: 8}
	for _, c := range []struct {
		fields string
		want   arch.Config
	}{
		{`"model_type": "qwen2", "num_key_value_heads": null, ` + required, qwen2},
		{`"model_type": "gemma3_text", ` + required, gemma},
		{`"model_type": "gemma3_text", "rope_parameters": {"full_attention": {}, "sliding_attention": {}}, "layer_types": null, ` + required, gemma},
		{`"model_type": "gemma3_text", "sliding_window_pattern": 2, "rope_scaling": {"rope_type": "linear", "factor": 8.0}, ` + required, pattern},
		{`"model_type": "llama", ` + required, llama},
		{`"model_type": "llama", "head_dim": null, "num_key_value_heads": null, "rope_parameters": null, "rope_scaling": null, ` + required, llama},
		{`"model_type": "qwen3", "num_key_value_heads": null, ` + required, qwen},
		{`"model_type": "qwen3", "num_key_value_heads": null, "sliding_window": 4096, "use_sliding_window": false, ` + required, qwen},
	} {
		got, err := parse(c.fields)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s\n got %+v, %v\nwant %+v", c.fields, got, err, c.want)
		}
	}
	// Qwen3's own default, 32, does not divide 4.
	if _, err := parse(`"model_type": "qwen3", ` + required); err == nil || !strings.Contains(err.Error(), "num_key_value_heads: 32 does not divide") {
		t.Errorf("got %v", err)
	}
}

func TestConfigFields(t *testing.T) {
	llama := `"model_type": "llama", ` + required
	for fields, check := range map[string]func(c arch.Config) bool{
		`"rope_theta": 5e5`: func(c arch.Config) bool { return c.RopeTheta == 5e5 },
		`"rope_parameters": {"rope_theta": 7, "rope_type": "default"}`:                  func(c arch.Config) bool { return c.RopeTheta == 7 },
		`"rope_theta": 7, "rope_parameters": {"rope_theta": 7}`:                         func(c arch.Config) bool { return c.RopeTheta == 7 },
		`"rope_theta": 7, "rope_scaling": {"type": "default"}`:                          func(c arch.Config) bool { return c.RopeTheta == 7 },
		`"head_dim": 6, "num_key_value_heads": 2`:                                       func(c arch.Config) bool { return c.HeadDim == 6 && c.KVHeads == 2 },
		`"tie_word_embeddings": true, "rms_norm_eps": 1e-05`:                            func(c arch.Config) bool { return c.TieEmbeddings && c.NormEps == 1e-5 },
		`"hidden_act": "silu", "attention_bias": false, "pretraining_tp": 1`:            func(c arch.Config) bool { return true },
		`"partial_rotary_factor": 1, "quantization_config": null, "layer_types": null`:  func(c arch.Config) bool { return true },
		`"layer_types": ["full_attention", "full_attention"]`:                           func(c arch.Config) bool { return true },
		`"bitdistill": {"weights": "absmean", "subln": "output", "subln_eps": 1e-8}`:    func(c arch.Config) bool { return c.Quantization == arch.Ternary(arch.SubLNOutput) },
		`"bitdistill": {"weights": "absmean", "subln": "none", "fp16_scales": true}`:    func(c arch.Config) bool { return c.Quantization.FP16Scales },
		`"bitdistill": {"weights": "none", "subln": "none"}, "anything": {"else": [1]}`: func(c arch.Config) bool { return c.Quantization == arch.Full() },
	} {
		c, err := parse(llama + ", " + fields)
		if err != nil || !check(c) {
			t.Errorf("%s: %+v, %v", fields, c, err)
		}
	}
}

// Whatever changes the function is refused by its name.
func TestConfigRefusals(t *testing.T) {
	llama := `"model_type": "llama", ` + required
	gemma := `"model_type": "gemma3_text", ` + required
	for fields, want := range map[string]string{
		`"model_type": "gpt2", ` + required:                           `model_type: "gpt2" is not supported; supported are gemma3_text, llama, qwen2, qwen3`,
		required:                                                      `model_type: "" is not supported`,
		`"model_type": "llama"`:                                       "num_attention_heads: missing",
		llama + `, "hidden_size": "64"`:                               `hidden_size: "64", want an integer`,
		llama + `, "hidden_size": 64.5`:                               `hidden_size: 64.5, want an integer`,
		llama + `, "hidden_size": -64, "head_dim": 16`:                "hidden_size: -64, want a positive number",
		llama + `, "num_attention_heads": 3`:                          "head_dim: missing, and hidden_size 64 is not a multiple",
		llama + `, "num_key_value_heads": 3`:                          "num_key_value_heads: 3 does not divide",
		llama + `, "head_dim": 7`:                                     "head_dim: 7 is odd",
		llama + `, "num_hidden_layers": 2000000000`:                   "num_hidden_layers: 2000000000, at most",
		llama + `, "rms_norm_eps": 0`:                                 "rms_norm_eps: 0",
		llama + `, "rope_theta": -1`:                                  "rope_theta: -1",
		llama + `, "tie_word_embeddings": "yes"`:                      `tie_word_embeddings: "yes", want true or false`,
		llama + `, "hidden_act": "gelu"`:                              `hidden_act: "gelu" is not supported; supported is "silu"`,
		llama + `, "attention_bias": true`:                            "attention_bias: true is not supported",
		llama + `, "mlp_bias": true`:                                  "mlp_bias: true",
		llama + `, "pretraining_tp": 2`:                               "pretraining_tp: 2",
		llama + `, "partial_rotary_factor": 0.5`:                      "partial_rotary_factor: 0.5",
		llama + `, "attn_logit_softcapping": 50.0`:                    "attn_logit_softcapping: 50.0",
		llama + `, "sliding_window": 4096`:                            "sliding_window: 4096",
		llama + `, "use_sliding_window": true`:                        "use_sliding_window: true",
		llama + `, "layer_types": ["full_attention"]`:                 "layer_types: has 1 entries",
		llama + `, "layer_types": ["full_attention", "sliding"]`:      `layer_types: layer 1 is "sliding"`,
		llama + `, "quantization_config": {"quant_method": "bitnet"}`: "quantization_config: ",
		llama + `, "auto_map": {"AutoModel": "x.Y"}`:                  "own modelling code",
		llama + `, "rope_scaling": {"type": "dynamic", "factor": 2}`:  `rope_scaling: rope_type: "dynamic" is not supported; supported are default, linear, llama3`,
		llama + `, "rope_scaling": {"type": "linear", "factor": -2}`:  `rope_scaling: factor: -2`,
		llama + `, "rope_scaling": {"rope_type": "llama3"}`:           `rope_scaling: factor: 0`,
		llama + `, "rope_scaling": {"rope_type": "llama3", "factor": 2, "low_freq_factor": 4, "high_freq_factor": 4}`:             `low_freq_factor 4 and high_freq_factor 4`,
		llama + `, "rope_scaling": {"rope_type": "llama3", "factor": 2, "low_freq_factor": 1, "high_freq_factor": 4}`:             `original_max_position_embeddings: 0`,
		llama + `, "rope_scaling": {"rope_type": "linear", "factor": 2, "beta_fast": 4}`:                                          `rope_scaling: beta_fast: is not known`,
		llama + `, "rope_scaling": {"rope_type": "linear", "factor": 2}, "rope_parameters": {"rope_type": "linear", "factor": 4}`: `contradicts rope_parameters`,
		llama + `, "rope_parameters": {"rope_type": "yarn"}`:                                                                      `rope_parameters: rope_type: "yarn" is not supported`,
		gemma + `, "sliding_window": 0`:                                                                                  "sliding_window: 0",
		gemma + `, "sliding_window_pattern": 0`:                                                                          "sliding_window_pattern: 0",
		gemma + `, "hidden_activation": "gelu"`:                                                                          `hidden_activation: "gelu" is not supported; supported is "gelu_pytorch_tanh"`,
		gemma + `, "hidden_act": "gelu"`:                                                                                 `hidden_act: "gelu"`,
		gemma + `, "final_logit_softcapping": 30.0`:                                                                      "final_logit_softcapping: 30.0",
		gemma + `, "attn_logit_softcapping": 50.0`:                                                                       "attn_logit_softcapping: 50.0",
		gemma + `, "use_bidirectional_attention": true`:                                                                  "use_bidirectional_attention: true",
		gemma + `, "query_pre_attn_scalar": 0`:                                                                           "query_pre_attn_scalar: 0",
		gemma + `, "rope_local_base_freq": -1`:                                                                           "rope_local_base_freq: -1",
		gemma + `, "layer_types": ["full_attention"]`:                                                                    "layer_types: has 1 entries",
		gemma + `, "layer_types": ["full_attention", "chunked_attention"]`:                                               `layer_types: layer 1 is "chunked_attention"`,
		gemma + `, "rope_parameters": {"full_attention": {"rope_type": "yarn"}, "sliding_attention": {}}`:                `rope_parameters: full_attention: rope_type: "yarn"`,
		gemma + `, "rope_parameters": {"full_attention": {"factor": 2}, "sliding_attention": {}}`:                        "rope_parameters: full_attention: factor: is not known",
		gemma + `, "rope_parameters": {"full_attention": {}, "sliding_attention": {"rope_type": "linear", "factor": 2}}`: "sliding_attention: rope_type \"linear\" is not supported",
		gemma + `, "attention_bias": true`:                                                                               "attention_bias: true is not supported",
		`"model_type": "qwen2", "num_key_value_heads": 2, "use_sliding_window": true, ` + required:                       "use_sliding_window: true",
		`"model_type": "llama", "rope_local_base_freq": 10000.0, ` + required:                                            "rope_local_base_freq: 10000.0 is not supported",
		llama + `, "rope_parameters": {"factor": 8}`:                                                                     "rope_parameters: factor: is not known",
		llama + `, "rope_parameters": {"partial_rotary_factor": 0.5}`:                                                    "rope_parameters: partial_rotary_factor: 0.5",
		llama + `, "rope_parameters": {"rope_theta": 5}, "rope_theta": 6`:                                                "rope_parameters: rope_theta: 5 contradicts",
		llama + `, "rope_parameters": 5`:                                                                                 "rope_parameters: 5, want an object",
		llama + `, "bitdistill": {"weights": "int4", "subln": "none"}`:                                                   `bitdistill: weights: "int4"`,
		llama + `, "bitdistill": {"weight": "absmean"}`:                                                                  `bitdistill: json: unknown field "weight"`,
		llama + `, "bitdistill": {"weights": "absmean", "subln":"all"}`:                                                  "bitdistill: subln_eps: 0",
		`"model_type": "llama",`:                                                                                         "invalid character '}'",
	} {
		_, err := parse(fields)
		var file *FileError
		if !errors.As(err, &file) || !strings.HasPrefix(err.Error(), "dir/config.json: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", fields, err, want)
		}
	}
	for _, data := range []string{"", "null", "[]", "7"} {
		if _, err := ParseConfig("c", []byte(data)); err == nil {
			t.Errorf("%q was accepted", data)
		}
	}
}

func TestConfigReportsAllFaults(t *testing.T) {
	_, err := parse(`"model_type": "llama", "hidden_size": 64, "intermediate_size": 0, "num_hidden_layers": "two",
		"num_attention_heads": 4, "hidden_act": "relu", "vocab_size": 10`)
	var file *FileError
	if !errors.As(err, &file) || len(file.Faults) != 3 {
		t.Fatalf("want three faults, got %v", err)
	}
	for _, want := range []string{"config.json: 3 faults:\n", "intermediate_size: 0, want a positive number", `num_hidden_layers: "two", want an integer`, `hidden_act: "relu"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
}

func TestUnknownKeys(t *testing.T) {
	got := UnknownKeys([]byte(`{"zeta": 1, "alpha": {}, "_name_or_path": "x", "use_cache": true, "hidden_act": "gelu", "bos_token_id": 1}`))
	if !slices.Equal(got, []string{"alpha", "zeta"}) {
		t.Errorf("got %v", got)
	}
	if n := len(UnknownKeys(nil)); n != 0 {
		t.Errorf("%d keys of nothing", n)
	}
	// Published forms cause no warning.
	for _, name := range golden.Folders(t, "decoders") {
		for _, form := range []string{"config.json", "config.legacy.json"} {
			data := mustRead(t, golden.Dir(t), "decoders", name, form)
			if _, err := ParseConfig(form, data); err != nil {
				continue
			}
			if keys := UnknownKeys(data); len(keys) > 0 {
				t.Errorf("%s/%s: %v", name, form, keys)
			}
		}
	}
	m, weights, err := Open(stories)
	if err != nil {
		t.Fatal(err)
	}
	weights.Close()
	if keys := m.UnknownKeys(); len(keys) > 0 {
		t.Error(keys)
	}
}

// Packed or otherwise quantized folders are not read as if they were plain.
func TestGoldenQuantizedFolders(t *testing.T) {
	for _, name := range golden.Folders(t, "bitnet_hf") {
		path := filepath.Join(golden.Dir(t), "bitnet_hf", name, "config.json")
		data, err := os.ReadFile(path)
		if err != nil {
			continue // not a model
		}
		_, err = ParseConfig(path, data)
		var file *FileError
		if !errors.As(err, &file) || !strings.Contains(err.Error(), "quantization_config") && !strings.Contains(err.Error(), "model_type") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"model_type": "llama", ` + required + `}`))
	f.Add([]byte(`{"model_type": "qwen3", "rope_parameters": {"rope_type": "default"}, "layer_types": [], "bitdistill": {}, ` + required + `}`))
	f.Add(mustRead(f, stories, "config.json"))
	f.Add([]byte(`{"model_type": "gemma3_text", "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 2}, "sliding_attention": {"rope_theta": 3}}, ` + required + `}`))
	f.Add([]byte(`{"model_type": "gemma3_text", "sliding_window_pattern": 2, "rope_local_base_freq": 5, "rope_scaling": {"type": "linear", "factor": 2}, ` + required + `}`))
	f.Add([]byte(`{"model_type": "qwen2", "num_key_value_heads": 2, "rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1,
		"high_freq_factor": 4, "original_max_position_embeddings": 64}, ` + required + `}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig("config.json", data)
		if err != nil {
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("accepted, but %v", err)
		}
		// What is accepted survives being written.
		m := &Model{Config: c, config: data}
		written, err := m.configJSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseConfig("config.json", written)
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("%s became %s: %v", data, written, err)
		}
		m.files = map[string][]byte{tokenizerName: []byte(`{"model":{"vocab":{"a":0}},"decoder":{"type":"Fuse"}}`)}
		if tok, err := newTokenizer("", m); err == nil && int(tok.Pad()) >= c.VocabSize {
			t.Fatalf("pad %d is beyond %d", tok.Pad(), c.VocabSize)
		}
	})
}
