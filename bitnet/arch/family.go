package arch

import (
	"maps"
	"math"
	"slices"
	"strings"
)

// traits are what a family changes in the block that all share: RMSNorm, grouped-query attention with rotary embeddings, RMSNorm,
// gated feed-forward network. Their zero value with an activation is Llama's.
type traits struct {
	biases     []string // linears of a block with a bias
	qkNorm     bool     // queries and keys are RMS-normalised per head
	postNorms  bool     // attention and feed-forward have an RMSNorm behind them too, before the residual
	normOffset float64  // added to the weights of the backbone's norms
	embedScale bool     // token embeddings are multiplied by sqrt(hidden)
	sliding    bool     // layers may have a window
	activation Activation
}

// Activation is the function of the feed-forward's gate, under the name that config.json has for it.
type Activation string

const (
	SiLU     Activation = "silu"              // x·sigmoid(x)
	GELUTanh Activation = "gelu_pytorch_tanh" // GELU in its tanh form (Hendrycks and Gimpel 2016): x/2·(1 + tanh(sqrt(2/pi)·(x + 0.044715·x³)))
)

var families = map[Family]traits{Llama: llama, Qwen2: qwen2, Qwen3: qwen3, Gemma3: gemma3}

// Families lists the families that there are, sorted.
func Families() []Family { return slices.Sorted(maps.Keys(families)) }

func (c Config) traits() traits { return families[c.Family] }

// supported lists the families for messages.
func supported() string {
	var names []string
	for _, f := range Families() {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}

// Activation is the function of the feed-forward's gate.
func (c Config) Activation() Activation { return c.traits().activation }

// QKNorm reports whether queries and keys are RMS-normalised per head before the rotary embedding.
func (c Config) QKNorm() bool { return c.traits().qkNorm }

// PostNorms reports whether attention and feed-forward have an RMSNorm behind them too, before the residual is added. The one in
// front of the feed-forward then has another name, see [Config.FeedForwardNorm].
func (c Config) PostNorms() bool { return c.traits().postNorms }

// NormOffset is what is added to the weights of the backbone's RMSNorms before they multiply: 1 for Gemma3, else 0.
func (c Config) NormOffset() float64 { return c.traits().normOffset }

// EmbeddingScale is what token embeddings are multiplied by: sqrt(HiddenSize) for Gemma3, else 1.
func (c Config) EmbeddingScale() float64 {
	if c.traits().embedScale {
		return math.Sqrt(float64(c.HiddenSize))
	}
	return 1
}

// ScoreScale is what the products of queries and keys are multiplied by: 1/sqrt(HeadDim), or 1/sqrt(QueryScalar) where there is one.
func (c Config) ScoreScale() float64 {
	if c.QueryScalar > 0 {
		return 1 / math.Sqrt(c.QueryScalar)
	}
	return 1 / math.Sqrt(float64(c.HeadDim))
}

// Sliding reports whether a layer looks at SlidingWindow tokens alone, itself included.
func (c Config) Sliding(layer int) bool { return c.SlidingLayers != nil && c.SlidingLayers[layer] }
