package arch_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/internal/archtest"
)

func TestValidate(t *testing.T) {
	for name, cfg := range archtest.AllVariants() {
		if err := cfg.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []struct {
		want   string
		change func(*arch.Config)
	}{
		{`model_type: "gemma3"`, func(c *arch.Config) { c.Family = "gemma3" }},
		{"vocab_size: 0", func(c *arch.Config) { c.VocabSize = 0 }},
		{"hidden_size: -1", func(c *arch.Config) { c.HiddenSize = -1 }},
		{"intermediate_size: 2147483648", func(c *arch.Config) { c.IntermediateSize = math.MaxInt32 + 1 }},
		{"num_hidden_layers: 0", func(c *arch.Config) { c.Layers = 0 }},
		{"num_attention_heads: 0", func(c *arch.Config) { c.Heads = 0 }},
		{"num_key_value_heads: 0", func(c *arch.Config) { c.KVHeads = 0 }},
		{"num_key_value_heads: 3 does not divide num_attention_heads 4", func(c *arch.Config) { c.KVHeads = 3 }},
		{"num_key_value_heads: 8 does not divide num_attention_heads 4", func(c *arch.Config) { c.KVHeads = 8 }},
		{"head_dim: 0", func(c *arch.Config) { c.HeadDim = 0 }},
		{"head_dim: 5 is odd", func(c *arch.Config) { c.HeadDim = 5 }},
		{"max_position_embeddings: 0", func(c *arch.Config) { c.MaxPositions = 0 }},
		{"rms_norm_eps: 0", func(c *arch.Config) { c.NormEps = 0 }},
		{"rms_norm_eps: NaN", func(c *arch.Config) { c.NormEps = math.NaN() }},
		{"rope_theta: -1", func(c *arch.Config) { c.RopeTheta = -1 }},
		{"rope_theta: NaN", func(c *arch.Config) { c.RopeTheta = math.NaN() }},
		{"rope_theta: +Inf", func(c *arch.Config) { c.RopeTheta = math.Inf(1) }},
		{`weights: "int4"`, func(c *arch.Config) { c.Quantization.Weights = "int4" }},
		{`subln: ""`, func(c *arch.Config) { c.Quantization.SubLN = "" }},
		{"subln_eps: 0", func(c *arch.Config) {
			c.Quantization = arch.Quantization{Weights: arch.AbsMean, SubLN: arch.SubLNAll}
		}},
	} {
		cfg := archtest.Tiny(arch.Llama, arch.Full())
		c.change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("want the one fault %q, got %v", c.want, err)
		}
	}
}

// TestValidateNamesAllFaults wants every field of a config without any in the one error.
func TestValidateNamesAllFaults(t *testing.T) {
	err := arch.Config{}.Validate()
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
	cfg := archtest.Tiny(arch.Llama, arch.Full())
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

// TestTensorNames spells the table of one block out, as Hugging Face files have it.
func TestTensorNames(t *testing.T) {
	cfg := archtest.Tiny(arch.Qwen3, arch.Ternary(arch.SubLNOutput))
	want := map[string]arch.Kind{
		"model.embed_tokens.weight": arch.Embedding, "model.norm.weight": arch.Norm, "lm_head.weight": arch.Head,
	}
	for _, layer := range []string{"model.layers.0.", "model.layers.1."} {
		for _, name := range strings.Fields("input_layernorm post_attention_layernorm self_attn.q_norm self_attn.k_norm") {
			want[layer+name+".weight"] = arch.Norm
		}
		for _, name := range strings.Fields("self_attn.q_proj self_attn.k_proj self_attn.v_proj self_attn.o_proj mlp.gate_proj mlp.up_proj mlp.down_proj") {
			want[layer+name+".weight"] = arch.Linear
		}
		want[layer+"self_attn.o_proj.norm.weight"], want[layer+"mlp.down_proj.norm.weight"] = arch.SubLNorm, arch.SubLNorm
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
	llama, qwen := archtest.Tiny(arch.Llama, arch.Full()), archtest.Tiny(arch.Qwen3, arch.Ternary(arch.SubLNAll))
	const llamaLinears = 2 * (2*16*16 + 2*8*16 + 3*24*16) // q, o; k, v; gate, up, down
	const qwenLinears = 2 * (2*18*16 + 2*6*16 + 3*24*16)
	for _, c := range []struct {
		what      string
		got, want int
	}{
		{"llama embedding", llama.Parameters(arch.Embedding), 19 * 16},
		{"llama head", llama.Parameters(arch.Head), 0},
		{"llama linears", llama.Parameters(arch.Linear), llamaLinears},
		{"llama norms", llama.Parameters(arch.Norm, arch.SubLNorm), 5 * 16},
		{"llama", llama.Parameters(), 19*16 + llamaLinears + 5*16},
		{"qwen head", qwen.Parameters(arch.Head), 19 * 16},
		{"qwen linears", qwen.Parameters(arch.Linear), qwenLinears},
		{"qwen norms", qwen.Parameters(arch.Norm), 5*16 + 2*2*6},
		{"qwen SubLN", qwen.Parameters(arch.SubLNorm), 2 * (5*16 + 18 + 24)}, // q, k, v, gate, up; o; down
		{"qwen", qwen.Parameters(), 2*19*16 + qwenLinears + 5*16 + 2*2*6 + 2*(5*16+18+24)},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d parameters, want %d", c.what, c.got, c.want)
		}
	}
}

func TestQuantizationValidate(t *testing.T) {
	for _, q := range []arch.Quantization{arch.Full(), arch.Ternary(arch.SubLNNone), arch.Ternary(arch.SubLNOutput), arch.Ternary(arch.SubLNAll)} {
		if err := q.Validate(); err != nil {
			t.Errorf("%+v: %v", q, err)
		}
	}
	for want, q := range map[string]arch.Quantization{
		"weights":     {Weights: "ternary", SubLN: arch.SubLNNone},
		"subln":       {Weights: arch.AbsMean, SubLN: "some"},
		"fp16_scales": {Weights: arch.FullPrecision, SubLN: arch.SubLNNone, FP16Scales: true},
		"subln_eps":   {Weights: arch.AbsMean, SubLN: arch.SubLNAll, SubLNEps: math.NaN()},
	} {
		if err := q.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v does not name %s", q, err, want)
		}
	}
	both := arch.Quantization{Weights: "ternary", SubLN: "some"}.Validate()
	if both == nil || !strings.Contains(both.Error(), "weights: ") || !strings.Contains(both.Error(), "subln: ") {
		t.Errorf("two faults: %v", both)
	}
}

// TestFrequencies compares with the formula, spelled out for heads of 4 and 6 values.
func TestFrequencies(t *testing.T) {
	gemma := archtest.Tiny(arch.Gemma3, arch.Full()) // full layers: base 10000, divided by 3; sliding ones: base 100
	llama3 := archtest.Tiny(arch.Qwen2, arch.Full()) // base 50; 16 original positions, limits of 16 and 4 tokens, factor 4
	between := math.Pow(50, -1.0/3)                  // a wavelength of 23.1 is low, of 6.3 between the limits
	low := math.Pow(50, -2.0/3)
	share := (16/(2*math.Pi) - 1) / 3 // of the frequency 1 that stays
	for name, c := range map[string]struct{ got, want []float32 }{
		"gemma3 full":    {gemma.Frequencies(false), []float32{1.0 / 3, 0.01 / 3}},
		"gemma3 sliding": {gemma.Frequencies(true), []float32{1, 0.1}},
		"llama3":         {llama3.Frequencies(false), []float32{float32(share + (1-share)/4), float32(between / 4), float32(low / 4)}},
		"llama":          {archtest.Tiny(arch.Llama, arch.Full()).Frequencies(false), []float32{1, 0.01}},
	} {
		if len(c.got) != len(c.want) {
			t.Fatalf("%s: %v, want %v", name, c.got, c.want)
		}
		for i := range c.got {
			if math.Abs(float64(c.got[i]/c.want[i]-1)) > 1e-6 {
				t.Errorf("%s: %v, want %v", name, c.got, c.want)
			}
		}
	}
}

// TestTraits spells out what families change.
func TestTraits(t *testing.T) {
	for _, family := range arch.Families() {
		c := archtest.Tiny(family, arch.Full())
		type traits struct {
			activation             arch.Activation
			qkNorm, post           bool
			offset, embed, scores  float64
			feedForward, biasNames string
		}
		var biased []string
		for _, l := range arch.Linears() {
			if c.HasBias(l) {
				biased = append(biased, l)
			}
		}
		got := traits{c.Activation(), c.QKNorm(), c.PostNorms(), c.NormOffset(), c.EmbeddingScale(), c.ScoreScale(), c.FeedForwardNorm(), strings.Join(biased, " ")}
		want := map[arch.Family]traits{
			arch.Llama:  {arch.SiLU, false, false, 0, 1, 1 / 2.0, "post_attention_layernorm", ""},
			arch.Qwen2:  {arch.SiLU, false, false, 0, 1, 1 / math.Sqrt(6), "post_attention_layernorm", "self_attn.q_proj self_attn.k_proj self_attn.v_proj"},
			arch.Qwen3:  {arch.SiLU, true, false, 0, 1, 1 / math.Sqrt(6), "post_attention_layernorm", ""},
			arch.Gemma3: {arch.GELUTanh, true, true, 1, 4, 1 / math.Sqrt(7), "pre_feedforward_layernorm", ""},
		}[family]
		if got != want {
			t.Errorf("%s: %+v, want %+v", family, got, want)
		}
		if c.Sliding(0) != (family == arch.Gemma3) || c.Sliding(1) {
			t.Errorf("%s: windows in layers %v, %v", family, c.Sliding(0), c.Sliding(1))
		}
	}
}
