package files

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/bitdistill/bitdistill/bitnet/arch"
)

// architectures are the class names that transformers wants in config.json.
var architectures = map[arch.Family]string{
	arch.Llama:  "LlamaForCausalLM",
	arch.Qwen2:  "Qwen2ForCausalLM",
	arch.Qwen3:  "Qwen3ForCausalLM",
	arch.Gemma3: "Gemma3ForCausalLM",
}

// configJSON is the original config.json, or an empty one, with what the model's config and dtype changed.
func (m *Model) configJSON() ([]byte, error) {
	raw, old := map[string]json.RawMessage{}, arch.Config{}
	if m.config != nil {
		var err error
		if old, err = ParseConfig(configName, m.config); err != nil {
			return nil, err
		}
		if raw, err = parseObject(configName, m.config); err != nil {
			return nil, err
		}
	}
	set := func(name string, value any) {
		raw[name], _ = json.Marshal(value) // strings, numbers and bools cannot fail
	}
	c := m.Config
	for _, f := range []struct {
		name string
		now  any
		was  any
	}{
		{"model_type", c.Family, old.Family},
		{"architectures", []string{architectures[c.Family]}, []string{architectures[old.Family]}},
		{"vocab_size", c.VocabSize, old.VocabSize},
		{"hidden_size", c.HiddenSize, old.HiddenSize},
		{"intermediate_size", c.IntermediateSize, old.IntermediateSize},
		{"num_hidden_layers", c.Layers, old.Layers},
		{"num_attention_heads", c.Heads, old.Heads},
		{"num_key_value_heads", c.KVHeads, old.KVHeads},
		{"head_dim", c.HeadDim, old.HeadDim},
		{"max_position_embeddings", c.MaxPositions, old.MaxPositions},
		{"rms_norm_eps", c.NormEps, old.NormEps},
		{"tie_word_embeddings", c.TieEmbeddings, old.TieEmbeddings},
	} {
		if m.config == nil || !equalJSON(f.now, f.was) {
			set(f.name, f.now)
		}
	}
	if c.Family == arch.Gemma3 {
		setGemma3(c, old, m.config == nil, set)
	} else if m.config == nil {
		set("hidden_act", "silu")
	}
	if c.RopeTheta != old.RopeTheta || c.LocalRopeTheta != old.LocalRopeTheta || c.RopeScaling != old.RopeScaling {
		setRope(c, set)
	}
	if c.Layers != old.Layers && c.SlidingLayers == nil {
		delete(raw, "layer_types")
	}
	setDType(raw)
	delete(raw, "bitdistill")
	if c.Quantization != arch.Full() {
		set("bitdistill", c.Quantization)
	}
	return encode(raw)
}

// setGemma3 states what only that family has, as far as it differs.
func setGemma3(c, old arch.Config, all bool, set func(string, any)) {
	for _, f := range []struct {
		name string
		now  any
		was  any
	}{
		{"sliding_window", c.SlidingWindow, old.SlidingWindow},
		{"query_pre_attn_scalar", c.QueryScalar, old.QueryScalar},
		{"hidden_activation", geluTanh, geluTanh},
	} {
		if all || !equalJSON(f.now, f.was) {
			set(f.name, f.now)
		}
	}
	if all || !slices.Equal(c.SlidingLayers, old.SlidingLayers) {
		kinds := make([]string, len(c.SlidingLayers))
		for i, sliding := range c.SlidingLayers {
			kinds[i] = map[bool]string{true: slidingAttention, false: fullAttention}[sliding]
		}
		set("layer_types", kinds)
	}
}

// setRope states the rotary embedding in both forms: each version of transformers reads its own.
func setRope(c arch.Config, set func(string, any)) {
	scaling := map[string]any{"rope_type": "default"}
	switch s := c.RopeScaling; s.Type {
	case arch.RopeLinear:
		scaling = map[string]any{"rope_type": s.Type, "factor": s.Factor}
	case arch.RopeLlama3:
		scaling = map[string]any{"rope_type": s.Type, "factor": s.Factor, "low_freq_factor": s.LowFreqFactor,
			"high_freq_factor": s.HighFreqFactor, "original_max_position_embeddings": s.OriginalPositions}
	}
	set("rope_theta", c.RopeTheta)
	if c.RopeScaling.Type == arch.RopeDefault {
		set("rope_scaling", nil)
	} else {
		set("rope_scaling", scaling)
	}
	parameters := maps.Clone(scaling)
	parameters["rope_theta"] = c.RopeTheta
	if c.Family == arch.Gemma3 {
		set("rope_local_base_freq", c.LocalRopeTheta)
		parameters = map[string]any{
			fullAttention:    parameters,
			slidingAttention: map[string]any{"rope_type": "default", "rope_theta": c.LocalRopeTheta},
		}
	}
	set("rope_parameters", parameters)
}

func equalJSON(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

// setDType states the dtype of the weights under the name that the file used.
func setDType(raw map[string]json.RawMessage) {
	const f32 = `"float32"`
	_, now := raw["dtype"]
	if now {
		raw["dtype"] = json.RawMessage(f32)
	}
	if _, before := raw["torch_dtype"]; before || !now {
		raw["torch_dtype"] = json.RawMessage(f32)
	}
}

// encode writes keys in alphabetical order, as transformers does.
func encode(raw map[string]json.RawMessage) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(raw); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
