package arch

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is the role of a tensor; what is quantized, decayed or counted depends on it.
type Kind int

const (
	Embedding Kind = iota // token embedding, also the head when tied
	Head                  // untied output head
	Linear                // a projection inside a block: the matrices that become ternary
	Norm                  // an RMSNorm weight of the backbone
	SubLNorm              // an RMSNorm weight that stage 1 added
	Bias                  // a bias of a projection, in full precision
)

// Tensor describes one weight of a model. Name is its Hugging Face name, and with "/" for "." its path in the
// model.Store, so that one name leads from a file to a variable.
type Tensor struct {
	Name string
	Dims []int // linears [out, in]; embedding and head [vocab, hidden]; norms [width]; biases [out]
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

// Norms of a block, behind "model.layers.N." and in front of ".weight".
const (
	InputNorm           = "input_layernorm"
	PostAttentionNorm   = "post_attention_layernorm" // behind the attention with [Config.PostNorms], else in front of the feed-forward
	PreFeedForwardNorm  = "pre_feedforward_layernorm"
	PostFeedForwardNorm = "post_feedforward_layernorm"
)

// FeedForwardNorm is the norm in front of the feed-forward.
func (c Config) FeedForwardNorm() string {
	if c.PostNorms() {
		return PreFeedForwardNorm
	}
	return PostAttentionNorm
}

// linears of a block, in the order they are applied.
var linears = [...]string{
	"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
	"mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
}

// Linears lists the linears of a block in the order they are applied, by what stands behind "model.layers.N.": "self_attn.q_proj".
func Linears() []string { return slices.Clone(linears[:]) }

// HasSubLN reports whether the linear of a block has a SubLN in front.
func (c Config) HasSubLN(linear string) bool {
	switch c.Quantization.SubLN {
	case SubLNAll:
		return true
	case SubLNOutput:
		return linear == "self_attn.o_proj" || linear == "mlp.down_proj"
	}
	return false
}

// HasBias reports whether the linear of a block has a bias.
func (c Config) HasBias(linear string) bool { return slices.Contains(c.traits().biases, linear) }

// LinearDims is [out, in] of a linear of a block.
func (c Config) LinearDims(linear string) []int {
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
		ts = append(ts, Tensor{block + InputNorm + ".weight", []int{c.HiddenSize}, Norm})
		for _, l := range linears {
			dims := c.LinearDims(l)
			ts = append(ts, Tensor{block + l + ".weight", dims, Linear})
			if c.HasBias(l) {
				ts = append(ts, Tensor{block + l + ".bias", []int{dims[0]}, Bias})
			}
			if c.HasSubLN(l) {
				ts = append(ts, Tensor{block + l + ".norm.weight", []int{dims[1]}, SubLNorm})
			}
		}
		if c.QKNorm() {
			ts = append(ts,
				Tensor{block + "self_attn.q_norm.weight", []int{c.HeadDim}, Norm},
				Tensor{block + "self_attn.k_norm.weight", []int{c.HeadDim}, Norm})
		}
		ts = append(ts, Tensor{block + PostAttentionNorm + ".weight", []int{c.HiddenSize}, Norm})
		if c.PostNorms() {
			ts = append(ts,
				Tensor{block + PreFeedForwardNorm + ".weight", []int{c.HiddenSize}, Norm},
				Tensor{block + PostFeedForwardNorm + ".weight", []int{c.HiddenSize}, Norm})
		}
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
