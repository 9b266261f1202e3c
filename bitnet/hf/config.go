package hf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/decoder"
)

// maxLayers bounds num_hidden_layers, since a table of tensors is made of it before a weight file is seen.
const maxLayers = 10_000

// ParseConfig reads the content of a config.json as transformers 5 writes it (rope_parameters, dtype) or as versions
// before did (rope_theta, rope_scaling, torch_dtype). path stands in front of errors, which are a [*FileError] with all
// faults at once.
//
// Fields that are absent have the defaults of transformers, save for the sizes that every published model states
// (vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads): they are demanded, because
// weights alone do not contradict a wrong number of heads. A key that changes the function of a decoder in a way that
// is not built is refused (see keys.go). A key that is not known at all is left alone: transformers' own code for these
// model types does not read it either; [UnknownKeys] lists them for a warning.
//
// The key "bitdistill" of our students holds a bitnet.Quantization; without it the model is bitnet.Full.
func ParseConfig(path string, data []byte) (decoder.Config, error) {
	raw, err := parseObject(path, data)
	if err != nil {
		return decoder.Config{}, err
	}
	f := &fields{raw: raw, faulty: map[string]bool{}}
	c := f.config()
	for _, fault := range flatten(c.Validate()) {
		// A field that could not be read is reported once.
		if name, _, _ := strings.Cut(fault.Error(), ":"); !f.faulty[name] {
			f.faults = append(f.faults, fault)
		}
	}
	if len(f.faults) > 0 {
		return decoder.Config{}, &FileError{Path: path, Faults: f.faults}
	}
	return c, nil
}

// UnknownKeys lists the keys of a config.json that are neither used nor known to be harmless, sorted. Names that begin
// with an underscore are private to transformers and left out. Content that ParseConfig refuses has none.
func UnknownKeys(data []byte) []string {
	raw, err := parseObject("", data)
	if err != nil {
		return nil
	}
	var unknown []string
	for name := range raw {
		_, constrained := plain[name]
		if !constrained && !read[name] && !harmless[name] && !strings.HasPrefix(name, "_") {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}

func parseObject(path string, data []byte) (map[string]json.RawMessage, error) {
	var raw map[string]json.RawMessage
	err := json.Unmarshal(data, &raw)
	if err == nil && raw == nil {
		err = errors.New("is null, want a JSON object")
	}
	if err != nil {
		return nil, fileErrorf(path, "%w%s", err, offset(err))
	}
	return raw, nil
}

// offset says where a JSON error is.
func offset(err error) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf(" (at byte %d)", syntax.Offset)
	}
	return ""
}

// fields reads the keys of a config and collects what is wrong with them.
type fields struct {
	raw    map[string]json.RawMessage
	faults []error
	faulty map[string]bool // names with a fault
}

func (f *fields) fault(name, format string, args ...any) {
	f.faulty[name] = true
	f.faults = append(f.faults, fmt.Errorf(name+": "+format, args...))
}

// get returns a key's value; false when it is absent or null.
func (f *fields) get(name string) (json.RawMessage, bool) {
	v, ok := f.raw[name]
	return v, ok && string(v) != "null"
}

// value reads a key of one type, or the default when it is absent or null.
func value[T any](f *fields, name, want string, otherwise T) T {
	raw, ok := f.get(name)
	if !ok {
		return otherwise
	}
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		f.fault(name, "%s, want %s", brief(raw), want)
		return otherwise
	}
	return v
}

func (f *fields) integer(name string, otherwise int) int {
	return value(f, name, "an integer", otherwise)
}

// size is an integer that must be there.
func (f *fields) size(name string) int {
	if _, ok := f.get(name); !ok {
		f.fault(name, "missing")
	}
	return f.integer(name, 0)
}

// brief shortens a value for an error.
func brief(raw json.RawMessage) string {
	const most = 60
	if len(raw) > most {
		return strconv.QuoteToASCII(string(raw[:most])) + "..."
	}
	return string(raw)
}

// config reads all keys.
func (f *fields) config() decoder.Config {
	c := decoder.Config{
		Family:           decoder.Family(value(f, "model_type", "a string", "")),
		VocabSize:        f.size("vocab_size"),
		HiddenSize:       f.size("hidden_size"),
		IntermediateSize: f.size("intermediate_size"),
		Layers:           f.size("num_hidden_layers"),
		Heads:            f.size("num_attention_heads"),
		NormEps:          value(f, "rms_norm_eps", "a number", 1e-6),
		RopeTheta:        10_000,
		TieEmbeddings:    value(f, "tie_word_embeddings", "true or false", false),
		Quantization:     f.quantization(),
	}
	c.KVHeads, c.HeadDim, c.MaxPositions = c.Heads, 0, 2048
	if c.Family == decoder.Qwen3 {
		if _, ok := f.raw["num_key_value_heads"]; !ok {
			c.KVHeads = 32
		}
		c.HeadDim, c.MaxPositions = 128, 32_768
	}
	c.KVHeads = f.integer("num_key_value_heads", c.KVHeads)
	c.HeadDim = f.integer("head_dim", c.HeadDim)
	c.MaxPositions = f.integer("max_position_embeddings", c.MaxPositions)
	if c.HeadDim == 0 && !f.faulty["head_dim"] && c.Heads > 0 {
		c.HeadDim = c.HiddenSize / c.Heads
		if c.HiddenSize%c.Heads != 0 {
			f.fault("head_dim", "missing, and hidden_size %d is not a multiple of num_attention_heads %d", c.HiddenSize, c.Heads)
		}
	}
	if c.Layers > maxLayers {
		f.fault("num_hidden_layers", "%d, at most %d are supported", c.Layers, maxLayers)
	}
	switch c.Family {
	case decoder.Llama, decoder.Qwen3:
		c.RopeTheta = f.rope()
		f.plainKeys()
		f.attentionLayers(c)
	}
	return c
}

// quantization reads the key that our students have.
func (f *fields) quantization() bitnet.Quantization {
	const name = "bitdistill"
	raw, ok := f.get(name)
	if !ok {
		return bitnet.Full()
	}
	var q bitnet.Quantization
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		f.fault(name, "%v", err)
		return bitnet.Full()
	}
	if err := q.Validate(); err != nil {
		f.fault(name, "%w", err)
		return bitnet.Full()
	}
	return q
}

// rope reads the base of the rotary embedding in either form, and refuses other kinds of it.
func (f *fields) rope() float64 {
	const otherwise = 10_000
	theta := value[float64](f, "rope_theta", "a number", otherwise)
	for _, name := range []string{"rope_parameters", "rope_scaling"} {
		params := value[map[string]json.RawMessage](f, name, "an object", nil)
		in := &fields{raw: params, faulty: map[string]bool{}}
		kind := value(in, "rope_type", "a string", value(in, "type", "a string", "default"))
		if kind != "default" {
			f.fault(name, "rope_type %q is not supported; supported is default", kind)
			continue
		}
		if own := value(in, "rope_theta", "a number", theta); own != theta {
			if _, both := f.get("rope_theta"); both {
				f.fault(name, "rope_theta %g contradicts rope_theta %g beside it", own, theta)
			}
			theta = own
		}
		if factor := value(in, "partial_rotary_factor", "a number", 1.0); factor != 1 {
			in.fault("partial_rotary_factor", "%g, supported is 1", factor)
		}
		for _, key := range slices.Sorted(maps.Keys(params)) {
			switch key {
			case "rope_type", "type", "rope_theta", "partial_rotary_factor":
			default:
				in.fault(key, "is not known with rope_type default")
			}
		}
		for _, fault := range in.faults {
			f.fault(name, "%w", fault)
		}
	}
	if !(theta > 0) || math.IsInf(theta, 1) {
		f.fault("rope_theta", "%g, want a positive number", theta)
	}
	return theta
}

// plainKeys refuses every value but the supported one.
func (f *fields) plainKeys() {
	for _, name := range slices.Sorted(maps.Keys(plain)) {
		raw, ok := f.get(name)
		if !ok {
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

// attentionLayers refuses windows: all layers look at all positions.
func (f *fields) attentionLayers(c decoder.Config) {
	if raw, ok := f.get("sliding_window"); ok && c.Family != decoder.Qwen3 {
		// Qwen3 has use_sliding_window beside it, which decides.
		f.fault("sliding_window", "%s is not supported; supported is null", brief(raw))
	}
	kinds := value[[]string](f, "layer_types", "a list of strings", nil)
	for i, kind := range kinds {
		if kind != "full_attention" {
			f.fault("layer_types", "layer %d is %q, supported is full_attention", i, kind)
			return
		}
	}
	if len(kinds) > 0 && len(kinds) != c.Layers {
		f.fault("layer_types", "has %d entries, num_hidden_layers is %d", len(kinds), c.Layers)
	}
}
