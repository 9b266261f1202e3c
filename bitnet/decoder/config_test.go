package decoder_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/decoder"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

func TestValidate(t *testing.T) {
	for name, cfg := range allVariants() {
		if err := cfg.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []struct {
		want   string
		change func(*decoder.Config)
	}{
		{`model_type: "gemma3"`, func(c *decoder.Config) { c.Family = "gemma3" }},
		{"vocab_size: 0", func(c *decoder.Config) { c.VocabSize = 0 }},
		{"hidden_size: -1", func(c *decoder.Config) { c.HiddenSize = -1 }},
		{"intermediate_size: 2147483648", func(c *decoder.Config) { c.IntermediateSize = math.MaxInt32 + 1 }},
		{"num_hidden_layers: 0", func(c *decoder.Config) { c.Layers = 0 }},
		{"num_attention_heads: 0", func(c *decoder.Config) { c.Heads = 0 }},
		{"num_key_value_heads: 0", func(c *decoder.Config) { c.KVHeads = 0 }},
		{"num_key_value_heads: 3 does not divide num_attention_heads 4", func(c *decoder.Config) { c.KVHeads = 3 }},
		{"num_key_value_heads: 8 does not divide num_attention_heads 4", func(c *decoder.Config) { c.KVHeads = 8 }},
		{"head_dim: 0", func(c *decoder.Config) { c.HeadDim = 0 }},
		{"head_dim: 5 is odd", func(c *decoder.Config) { c.HeadDim = 5 }},
		{"max_position_embeddings: 0", func(c *decoder.Config) { c.MaxPositions = 0 }},
		{"rms_norm_eps: 0", func(c *decoder.Config) { c.NormEps = 0 }},
		{"rms_norm_eps: NaN", func(c *decoder.Config) { c.NormEps = math.NaN() }},
		{"rope_theta: -1", func(c *decoder.Config) { c.RopeTheta = -1 }},
		{"rope_theta: NaN", func(c *decoder.Config) { c.RopeTheta = math.NaN() }},
		{"rope_theta: +Inf", func(c *decoder.Config) { c.RopeTheta = math.Inf(1) }},
		{`weights: "int4"`, func(c *decoder.Config) { c.Quantization.Weights = "int4" }},
		{`subln: ""`, func(c *decoder.Config) { c.Quantization.SubLN = "" }},
		{"subln_eps: 0", func(c *decoder.Config) {
			c.Quantization = bitnet.Quantization{Weights: bitnet.AbsMean, SubLN: bitnet.SubLNAll}
		}},
	} {
		cfg := tiny(decoder.Llama, bitnet.Full())
		c.change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("want the one fault %q, got %v", c.want, err)
		}
	}
}

// TestValidateNamesAllFaults wants every field of a config without any in the one error.
func TestValidateNamesAllFaults(t *testing.T) {
	err := decoder.Config{}.Validate()
	if err == nil {
		t.Fatal("an empty config is valid")
	}
	faults := strings.Split(err.Error(), "\n")
	for _, name := range []string{"model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
		"num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps", "rope_theta", "weights"} {
		if n := len(slices.DeleteFunc(slices.Clone(faults), func(f string) bool { return !strings.HasPrefix(f, name+":") })); n != 1 {
			t.Errorf("%d faults name %s:\n%v", n, name, err)
		}
	}
}

func TestLayer(t *testing.T) {
	cfg := tiny(decoder.Llama, bitnet.Full())
	cfg.Layers = 3
	for n, want := range map[int]int{0: 0, 2: 2, -1: 2, -3: 0} {
		if got, err := cfg.Layer(n); err != nil || got != want {
			t.Errorf("Layer(%d) = %d, %v, want %d", n, got, err, want)
		}
	}
	for _, n := range []int{3, -4} {
		if _, err := cfg.Layer(n); err == nil || !strings.Contains(err.Error(), "layers 0 to 2 (or -3 to -1)") {
			t.Errorf("Layer(%d): %v", n, err)
		}
	}
}

// TestTensorsAreTheVariables compares the table with what a forward pass on an empty store creates.
func TestTensorsAreTheVariables(t *testing.T) {
	for name, cfg := range variants() {
		for _, tied := range []bool{true, false} {
			cfg.TieEmbeddings = tied
			store := model.NewStore()
			run(t, store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
				return []*graph.Node{decoder.Forward(scope, cfg, decoder.Inputs{IDs: in[0]}, decoder.Options{}).Logits}
			}, randomIDs(cfg, 1, 3, 1))
			listed := map[string]bool{}
			for _, tensor := range cfg.Tensors() {
				if listed[tensor.Path()] {
					t.Errorf("%s: %s is listed twice", name, tensor.Name)
				}
				listed[tensor.Path()] = true
				if v := store.GetVariable(tensor.Path()); v == nil {
					t.Errorf("%s: Forward does not use %s", name, tensor.Name)
				} else if !slices.Equal(v.Shape().Dimensions, tensor.Dims) {
					t.Errorf("%s: %s has shape %v, the table says %v", name, tensor.Name, v.Shape(), tensor.Dims)
				}
			}
			for v := range store.IterVariables() {
				if !listed[v.Path()] && !strings.Contains(v.Path(), "#") { // GoMLX's own, for random numbers
					t.Errorf("%s: %s is not listed", name, v.Path())
				}
			}
		}
	}
}

// TestTensorNames spells the table of one block out, as Hugging Face files have it.
func TestTensorNames(t *testing.T) {
	cfg := tiny(decoder.Qwen3, bitnet.Ternary(bitnet.SubLNOutput))
	want := map[string]decoder.Kind{
		"model.embed_tokens.weight": decoder.Embedding, "model.norm.weight": decoder.Norm, "lm_head.weight": decoder.Head,
	}
	for _, layer := range []string{"model.layers.0.", "model.layers.1."} {
		for _, name := range strings.Fields("input_layernorm post_attention_layernorm self_attn.q_norm self_attn.k_norm") {
			want[layer+name+".weight"] = decoder.Norm
		}
		for _, name := range strings.Fields("self_attn.q_proj self_attn.k_proj self_attn.v_proj self_attn.o_proj mlp.gate_proj mlp.up_proj mlp.down_proj") {
			want[layer+name+".weight"] = decoder.Linear
		}
		want[layer+"self_attn.o_proj.norm.weight"], want[layer+"mlp.down_proj.norm.weight"] = decoder.SubLNorm, decoder.SubLNorm
	}
	tensors := cfg.Tensors()
	for _, tensor := range tensors {
		if kind, ok := want[tensor.Name]; !ok || kind != tensor.Kind {
			t.Errorf("%s of kind %d is not expected", tensor.Name, tensor.Kind)
		}
	}
	if len(tensors) != len(want) {
		t.Errorf("%d tensors, want %d", len(tensors), len(want))
	}
	if got := tensors[1].Path(); got != "/model/layers/0/input_layernorm/weight" {
		t.Errorf("path %s", got)
	}
}

// TestParameters counts by hand.
func TestParameters(t *testing.T) {
	llama, qwen := tiny(decoder.Llama, bitnet.Full()), tiny(decoder.Qwen3, bitnet.Ternary(bitnet.SubLNAll))
	const llamaLinears = 2 * (2*16*16 + 2*8*16 + 3*24*16) // q, o; k, v; gate, up, down
	const qwenLinears = 2 * (2*18*16 + 2*6*16 + 3*24*16)
	for _, c := range []struct {
		what      string
		got, want int
	}{
		{"llama embedding", llama.Parameters(decoder.Embedding), 19 * 16},
		{"llama head", llama.Parameters(decoder.Head), 0},
		{"llama linears", llama.Parameters(decoder.Linear), llamaLinears},
		{"llama norms", llama.Parameters(decoder.Norm, decoder.SubLNorm), 5 * 16},
		{"llama", llama.Parameters(), 19*16 + llamaLinears + 5*16},
		{"qwen head", qwen.Parameters(decoder.Head), 19 * 16},
		{"qwen linears", qwen.Parameters(decoder.Linear), qwenLinears},
		{"qwen norms", qwen.Parameters(decoder.Norm), 5*16 + 2*2*6},
		{"qwen SubLN", qwen.Parameters(decoder.SubLNorm), 2 * (5*16 + 18 + 24)}, // q, k, v, gate, up; o; down
		{"qwen", qwen.Parameters(), 2*19*16 + qwenLinears + 5*16 + 2*2*6 + 2*(5*16+18+24)},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d parameters, want %d", c.what, c.got, c.want)
		}
	}
}
