package arch

import (
	"errors"
	"fmt"
	"math"
)

// Family names an architecture, as model_type does in a Hugging Face config.json.
type Family string

const (
	Llama  Family = "llama"       // Llama and SmolLM2
	Qwen2  Family = "qwen2"       // Qwen2 and Qwen2.5
	Qwen3  Family = "qwen3"       // Qwen3, the dense models
	Gemma3 Family = "gemma3_text" // Gemma3, text alone
)

// Config is everything that decides the function of a decoder besides its weights.
type Config struct {
	Family           Family
	VocabSize        int     // rows of the embedding, and of the head
	HiddenSize       int     // width of the residual stream
	IntermediateSize int     // width inside the feed-forward network
	Layers           int     // blocks
	Heads            int     // query heads
	KVHeads          int     // key/value heads; divides Heads
	HeadDim          int     // width of a head, even
	MaxPositions     int     // longest sequence the model was made for
	NormEps          float64 // epsilon of the backbone's RMSNorms
	RopeTheta        float64 // base of the rotary embedding
	RopeScaling      RopeScaling
	TieEmbeddings    bool // the head is the embedding, transposed

	// Gemma3 alone.
	SlidingWindow  int     // tokens that a sliding layer looks at, itself included; 0 without such layers
	SlidingLayers  []bool  // by layer: whether it is sliding; nil when none is
	LocalRopeTheta float64 // base of the rotary embedding of sliding layers, which is not scaled
	QueryScalar    float64 // attention scores are divided by its square root (query_pre_attn_scalar)

	Quantization Quantization
}

// Validate returns all faults at once, each with the name config.json has for the field.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	positive := func(name string, v int) {
		if v < 1 || v > math.MaxInt32 {
			fault("%s: %d, want a positive number", name, v)
		}
	}
	if _, ok := families[c.Family]; !ok {
		fault("model_type: %q is not supported; supported are %s", c.Family, supported())
	}
	positive("vocab_size", c.VocabSize)
	positive("hidden_size", c.HiddenSize)
	positive("intermediate_size", c.IntermediateSize)
	positive("num_hidden_layers", c.Layers)
	positive("num_attention_heads", c.Heads)
	positive("num_key_value_heads", c.KVHeads)
	positive("head_dim", c.HeadDim)
	positive("max_position_embeddings", c.MaxPositions)
	if c.Heads > 0 && c.KVHeads > 0 && c.Heads%c.KVHeads != 0 {
		fault("num_key_value_heads: %d does not divide num_attention_heads %d", c.KVHeads, c.Heads)
	}
	if c.HeadDim%2 != 0 {
		fault("head_dim: %d is odd, rotary embeddings need an even one", c.HeadDim)
	}
	if !(c.NormEps > 0 && c.NormEps < 1) {
		fault("rms_norm_eps: %g, want a small positive number", c.NormEps)
	}
	if !finitePositive(c.RopeTheta) {
		fault("rope_theta: %g, want a positive number", c.RopeTheta)
	}
	if err := c.RopeScaling.Validate(); err != nil {
		faults = append(faults, err)
	}
	if err := c.validateSliding(); err != nil {
		faults = append(faults, err)
	}
	if err := c.Quantization.Validate(); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// validateSliding checks what only Gemma3 has.
func (c Config) validateSliding() error {
	if !c.traits().sliding {
		if c.SlidingWindow != 0 || len(c.SlidingLayers) != 0 || c.LocalRopeTheta != 0 || c.QueryScalar != 0 {
			return fmt.Errorf("sliding_window: a %s model has none, nor rope_local_base_freq or query_pre_attn_scalar", c.Family)
		}
		return nil
	}
	switch {
	case c.SlidingWindow < 1 || c.SlidingWindow > math.MaxInt32:
		return fmt.Errorf("sliding_window: %d, want a positive number", c.SlidingWindow)
	case len(c.SlidingLayers) != c.Layers:
		return fmt.Errorf("layer_types: has %d entries, num_hidden_layers is %d", len(c.SlidingLayers), c.Layers)
	case !finitePositive(c.LocalRopeTheta):
		return fmt.Errorf("rope_local_base_freq: %g, want a positive number", c.LocalRopeTheta)
	case !finitePositive(c.QueryScalar):
		return fmt.Errorf("query_pre_attn_scalar: %g, want a positive number", c.QueryScalar)
	}
	return nil
}

func finitePositive(v float64) bool { return v > 0 && !math.IsInf(v, 1) }

// Layer turns a layer number that may count from the end (-1 is the last) into one in [0, Layers).
func (c Config) Layer(n int) (int, error) {
	i := n
	if i < 0 {
		i += c.Layers
	}
	if i < 0 || i >= c.Layers {
		return 0, fmt.Errorf("layer %d: the model has layers 0 to %d (or -%d to -1)", n, c.Layers-1, c.Layers)
	}
	return i, nil
}
