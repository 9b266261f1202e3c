package hf

import (
	"bytes"
	"encoding/json"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/decoder"
)

// architectures are the class names that transformers wants in config.json.
var architectures = map[decoder.Family]string{
	decoder.Llama: "LlamaForCausalLM",
	decoder.Qwen3: "Qwen3ForCausalLM",
}

// configJSON is the original config.json, or an empty one, with what the model's config and dtype changed.
func (m *Model) configJSON() ([]byte, error) {
	raw, old := map[string]json.RawMessage{}, decoder.Config{}
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
		{"hidden_act", "silu", "silu"},
	} {
		if m.config == nil || !equalJSON(f.now, f.was) {
			set(f.name, f.now)
		}
	}
	if c.RopeTheta != old.RopeTheta { // in both forms: each version of transformers reads its own
		set("rope_theta", c.RopeTheta)
		set("rope_parameters", map[string]any{"rope_type": "default", "rope_theta": c.RopeTheta})
		delete(raw, "rope_scaling")
	}
	if c.Layers != old.Layers {
		delete(raw, "layer_types")
	}
	setDType(raw)
	delete(raw, "bitdistill")
	if c.Quantization != bitnet.Full() {
		set("bitdistill", c.Quantization)
	}
	return encode(raw)
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
