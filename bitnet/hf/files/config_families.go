package files

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"github.com/bitdistill/bitdistill/bitnet/arch"
)

// familyKeys are the defaults of transformers that differ by family, and the keys that are refused elsewhere.
var familyKeys = map[arch.Family]struct {
	kvHeads      int // 0: as many as heads
	headDim      int // 0: hidden_size over heads
	maxPositions int
	tied         bool
	theta        float64
	honours      []string
}{
	arch.Llama: {maxPositions: 2048, theta: 10_000},
	arch.Qwen2: {kvHeads: 32, maxPositions: 32_768, theta: 10_000, honours: []string{"sliding_window"}},
	arch.Qwen3: {kvHeads: 32, headDim: 128, maxPositions: 32_768, theta: 10_000, honours: []string{"sliding_window"}},
	arch.Gemma3: {kvHeads: 4, headDim: 256, maxPositions: 131_072, tied: true, theta: 1_000_000, honours: []string{
		"sliding_window", "sliding_window_pattern", "rope_local_base_freq", "query_pre_attn_scalar", "hidden_activation"}},
}

// plainKeys refuses every value but the supported one, save of the keys that the family honours.
func (f *fields) plainKeys(honoured []string) {
	for _, name := range slices.Sorted(maps.Keys(plain)) {
		raw, ok := f.get(name)
		if !ok || slices.Contains(honoured, name) {
			continue
		}
		var got any
		if err := json.Unmarshal(raw, &got); err == nil && reflect.DeepEqual(got, plain[name]) {
			continue
		}
		reason, ok := advice[name]
		if !ok {
			supported, _ := json.Marshal(plain[name]) // a string, number, bool or null cannot fail
			reason = "supported is " + string(supported)
		}
		f.fault(name, "%s is not supported; %s", brief(raw), reason)
	}
}

// rope reads the rotary embedding in either form: rope_theta and rope_scaling, or rope_parameters, which Gemma3 has by the
// kind of layer.
func (f *fields) rope(c *arch.Config) {
	full := rotary{theta: value(f, "rope_theta", "a number", familyKeys[c.Family].theta)}
	_, full.stated = f.get("rope_theta")
	var local rotary
	if c.Family == arch.Gemma3 {
		local.theta = value(f, "rope_local_base_freq", "a number", 10_000.0)
		_, local.stated = f.get("rope_local_base_freq")
	}
	for _, name := range []string{"rope_parameters", "rope_scaling"} {
		params := f.object(name)
		if _, byLayer := params.get(fullAttention); byLayer && c.Family == arch.Gemma3 {
			params.ropeOf(fullAttention, &full)
			params.ropeOf(slidingAttention, &local)
		} else {
			params.parameters(&full)
		}
		f.adopt(name, params)
	}
	if local.scaling.Type != arch.RopeDefault {
		f.fault("rope_parameters", "%s: rope_type %q is not supported; supported is default", slidingAttention, local.scaling.Type)
	}
	c.RopeTheta, c.RopeScaling, c.LocalRopeTheta = full.theta, full.scaling, local.theta
}

// object reads a key that holds keys.
func (f *fields) object(name string) *fields {
	return &fields{raw: value[map[string]json.RawMessage](f, name, "an object", nil), faulty: map[string]bool{}}
}

// adopt takes over the faults of an object under a key.
func (f *fields) adopt(name string, inner *fields) {
	for _, fault := range inner.faults {
		f.fault(name, "%w", fault)
	}
}

// rotary is what a file says of a rotary embedding.
type rotary struct {
	theta   float64
	stated  bool // the base stands somewhere already
	scaling arch.RopeScaling
}

// ropeOf reads the parameters of a kind of layer.
func (f *fields) ropeOf(kind string, into *rotary) {
	inner := f.object(kind)
	inner.parameters(into)
	f.adopt(kind, inner)
}

// parameters reads one object of parameters.
func (f *fields) parameters(into *rotary) {
	if len(f.raw) == 0 {
		return
	}
	if theta := value(f, "rope_theta", "a number", into.theta); theta != into.theta {
		if into.stated {
			f.fault("rope_theta", "%g contradicts rope_theta %g beside it", theta, into.theta)
		}
		into.theta = theta
	}
	if factor := value(f, "partial_rotary_factor", "a number", 1.0); factor != 1 {
		f.fault("partial_rotary_factor", "%g, supported is 1", factor)
	}
	kind := value(f, "rope_type", "a string", value(f, "type", "a string", "default"))
	known := []string{"rope_type", "type", "rope_theta", "partial_rotary_factor"}
	number := func(name string) float64 {
		known = append(known, name)
		return value(f, name, "a number", 0.0)
	}
	var scaling arch.RopeScaling
	switch arch.RopeType(kind) {
	case "default":
	case arch.RopeLinear:
		scaling = arch.RopeScaling{Type: arch.RopeLinear, Factor: number("factor")}
	case arch.RopeLlama3:
		scaling = arch.RopeScaling{
			Type: arch.RopeLlama3, Factor: number("factor"), LowFreqFactor: number("low_freq_factor"),
			HighFreqFactor: number("high_freq_factor"), OriginalPositions: f.integer("original_max_position_embeddings", 0),
		}
		known = append(known, "original_max_position_embeddings")
	default:
		f.fault("rope_type", "%q is not supported; supported are default, linear, llama3", kind)
		return
	}
	if into.scaling.Type != arch.RopeDefault && into.scaling != scaling {
		f.fault("rope_type", "%s with these factors contradicts rope_parameters beside it", kind)
	}
	into.scaling = scaling
	for _, key := range slices.Sorted(maps.Keys(f.raw)) {
		if !slices.Contains(known, key) {
			f.fault(key, "is not known with rope_type %s", kind)
		}
	}
}

// layerTypes reads which layers have a window. Only Gemma3's may: Qwen2 and Qwen3 name one in sliding_window that
// use_sliding_window switches on, which is refused.
func (f *fields) layerTypes(c *arch.Config) {
	if raw, ok := f.get("sliding_window"); ok && !slices.Contains(familyKeys[c.Family].honours, "sliding_window") {
		f.fault("sliding_window", "%s is not supported; supported is null", brief(raw))
	}
	kinds := value[[]string](f, "layer_types", "a list of strings", nil)
	if c.Family == arch.Gemma3 {
		f.gemma3(c, kinds)
		return
	}
	for i, kind := range kinds {
		if kind != fullAttention {
			f.fault("layer_types", "layer %d is %q, supported is %s", i, kind, fullAttention)
			return
		}
	}
	if len(kinds) > 0 && len(kinds) != c.Layers {
		f.fault("layer_types", "has %d entries, num_hidden_layers is %d", len(kinds), c.Layers)
	}
}

const (
	fullAttention    = "full_attention"
	slidingAttention = "sliding_attention"
)

// gemma3 reads what only that family has. Files without layer_types state, or leave to the default of 6, that each n-th layer
// looks at everything.
func (f *fields) gemma3(c *arch.Config, kinds []string) {
	c.SlidingWindow = f.integer("sliding_window", 4096)
	c.QueryScalar = value(f, "query_pre_attn_scalar", "a number", 256.0)
	if activation := value(f, "hidden_activation", "a string", geluTanh); activation != geluTanh {
		f.fault("hidden_activation", "%q is not supported; supported is %q", activation, geluTanh)
	}
	pattern := f.integer("sliding_window_pattern", f.integer("_sliding_window_pattern", 6))
	if pattern < 1 {
		f.fault("sliding_window_pattern", "%d, want a positive number", pattern)
		return
	}
	if c.Layers < 0 {
		return // a fault of its own
	}
	if kinds == nil {
		for i := range c.Layers {
			kinds = append(kinds, map[bool]string{true: fullAttention, false: slidingAttention}[(i+1)%pattern == 0])
		}
	}
	for i, kind := range kinds {
		if kind != fullAttention && kind != slidingAttention {
			f.fault("layer_types", "layer %d is %q, supported are %s and %s", i, kind, fullAttention, slidingAttention)
			return
		}
		c.SlidingLayers = append(c.SlidingLayers, kind == slidingAttention)
	}
}

const geluTanh = "gelu_pytorch_tanh"
