package files

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet/arch"
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
// The key "bitdistill" of our students holds a arch.Quantization; without it the model is bitnet.Full.
func ParseConfig(path string, data []byte) (arch.Config, error) {
	raw, err := parseObject(path, data)
	if err != nil {
		return arch.Config{}, err
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
		return arch.Config{}, &FileError{Path: path, Faults: f.faults}
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
func (f *fields) config() arch.Config {
	c := arch.Config{
		Family:           arch.Family(value(f, "model_type", "a string", "")),
		VocabSize:        f.size("vocab_size"),
		HiddenSize:       f.size("hidden_size"),
		IntermediateSize: f.size("intermediate_size"),
		Layers:           f.size("num_hidden_layers"),
		Heads:            f.size("num_attention_heads"),
		NormEps:          value(f, "rms_norm_eps", "a number", 1e-6),
		TieEmbeddings:    value(f, "tie_word_embeddings", "true or false", false),
		Quantization:     f.quantization(),
	}
	own, ok := familyKeys[c.Family]
	if !ok { // which is the fault: no others because of that
		own = familyKeys[arch.Llama]
	}
	c.KVHeads, c.HeadDim, c.MaxPositions = c.Heads, own.headDim, own.maxPositions
	if _, ok := f.raw["num_key_value_heads"]; !ok && own.kvHeads > 0 { // null, other than absence, means all heads
		c.KVHeads = own.kvHeads
	}
	if _, ok := f.raw["tie_word_embeddings"]; !ok {
		c.TieEmbeddings = own.tied
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
	c.RopeTheta = own.theta
	if c.Layers > maxLayers {
		f.fault("num_hidden_layers", "%d, at most %d are supported", c.Layers, maxLayers)
		return c
	}
	if !ok {
		return c
	}
	f.plainKeys(own.honours)
	f.rope(&c)
	f.layerTypes(&c)
	return c
}

// quantization reads the key that our students have.
func (f *fields) quantization() arch.Quantization {
	const name = "bitdistill"
	raw, ok := f.get(name)
	if !ok {
		return arch.Full()
	}
	var q arch.Quantization
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		f.fault(name, "%v", err)
		return arch.Full()
	}
	if err := q.Validate(); err != nil {
		f.fault(name, "%w", err)
		return arch.Full()
	}
	return q
}
