package decoder

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet"
)

// Family names an architecture, as model_type does in a Hugging Face config.json.
type Family string

const (
	Llama Family = "llama" // Llama and SmolLM2
	Qwen3 Family = "qwen3" // Llama with an RMSNorm on every query and key head
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
	TieEmbeddings    bool    // the head is the embedding, transposed

	Quantization bitnet.Quantization
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
	switch c.Family {
	case Llama, Qwen3:
	default:
		fault("model_type: %q is not supported; supported are llama, qwen3", c.Family)
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
	if !(c.RopeTheta > 0) || math.IsInf(c.RopeTheta, 1) {
		fault("rope_theta: %g, want a positive number", c.RopeTheta)
	}
	if err := c.Quantization.Validate(); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// QKNorm reports whether queries and keys are RMS-normalised per head before the rotary embedding.
func (c Config) QKNorm() bool { return c.Family == Qwen3 }

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

// Kind is the role of a tensor; what is quantized, decayed or counted depends on it.
type Kind int

const (
	Embedding Kind = iota // token embedding, also the head when tied
	Head                  // untied output head
	Linear                // a projection inside a block: the matrices that become ternary
	Norm                  // an RMSNorm weight of the backbone
	SubLNorm              // an RMSNorm weight that stage 1 added
)

// Tensor describes one weight of a model. Name is its Hugging Face name, and with "/" for "." its path in the
// model.Store, so that one name leads from a file to a variable.
type Tensor struct {
	Name string
	Dims []int // linears [out, in]; embedding and head [vocab, hidden]; norms [width]
	Kind Kind
}

// Path is the tensor's variable path in a model.Store.
func (t Tensor) Path() string { return "/" + strings.ReplaceAll(t.Name, ".", "/") }

// Size is the number of values.
func (t Tensor) Size() int {
	n := 1
	for _, d := range t.Dims {
		n *= d
	}
	return n
}

// linears of a block, in the order they are applied.
var linears = [...]string{
	"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
	"mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
}

// hasSubLN reports whether the linear has a SubLN in front.
func (c Config) hasSubLN(linear string) bool {
	switch c.Quantization.SubLN {
	case bitnet.SubLNAll:
		return true
	case bitnet.SubLNOutput:
		return linear == "self_attn.o_proj" || linear == "mlp.down_proj"
	}
	return false
}

// linearDims is [out, in] of a linear of a block.
func (c Config) linearDims(linear string) []int {
	q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	switch linear {
	case "self_attn.q_proj":
		return []int{q, c.HiddenSize}
	case "self_attn.k_proj", "self_attn.v_proj":
		return []int{kv, c.HiddenSize}
	case "self_attn.o_proj":
		return []int{c.HiddenSize, q}
	case "mlp.gate_proj", "mlp.up_proj":
		return []int{c.IntermediateSize, c.HiddenSize}
	default: // mlp.down_proj
		return []int{c.HiddenSize, c.IntermediateSize}
	}
}

// Tensors is the one table of names and shapes: import, export, checks, counts and the optimizer's groups follow it.
// The config must be valid.
func (c Config) Tensors() []Tensor {
	ts := []Tensor{{"model.embed_tokens.weight", []int{c.VocabSize, c.HiddenSize}, Embedding}}
	for i := range c.Layers {
		block := fmt.Sprintf("model.layers.%d.", i)
		ts = append(ts, Tensor{block + "input_layernorm.weight", []int{c.HiddenSize}, Norm})
		for _, l := range linears {
			dims := c.linearDims(l)
			ts = append(ts, Tensor{block + l + ".weight", dims, Linear})
			if c.hasSubLN(l) {
				ts = append(ts, Tensor{block + l + ".norm.weight", []int{dims[1]}, SubLNorm})
			}
		}
		if c.QKNorm() {
			ts = append(ts,
				Tensor{block + "self_attn.q_norm.weight", []int{c.HeadDim}, Norm},
				Tensor{block + "self_attn.k_norm.weight", []int{c.HeadDim}, Norm})
		}
		ts = append(ts, Tensor{block + "post_attention_layernorm.weight", []int{c.HiddenSize}, Norm})
	}
	ts = append(ts, Tensor{"model.norm.weight", []int{c.HiddenSize}, Norm})
	if !c.TieEmbeddings {
		ts = append(ts, Tensor{"lm_head.weight", []int{c.VocabSize, c.HiddenSize}, Head})
	}
	return ts
}

// Parameters counts the values of the tensors of the given kinds, or of all when none is given.
func (c Config) Parameters(kinds ...Kind) int {
	n := 0
	for _, t := range c.Tensors() {
		keep := len(kinds) == 0
		for _, k := range kinds {
			keep = keep || t.Kind == k
		}
		if keep {
			n += t.Size()
		}
	}
	return n
}
