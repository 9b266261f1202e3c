package decoder

import (
	"maps"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/graph"
)

// architecture is what a family changes in the block that all share: RMSNorm, grouped-query attention with rotary embeddings,
// RMSNorm, gated feed-forward network. Its zero value with an activation is Llama's.
type architecture struct {
	biases     []string          // linears of a block with a bias
	qkNorm     bool              // queries and keys are RMS-normalised per head
	postNorms  bool              // attention and feed-forward have an RMSNorm behind them too, before the residual
	normOffset float64           // added to the weights of the backbone's norms
	embedScale bool              // token embeddings are multiplied by sqrt(hidden)
	sliding    bool              // layers may have a window
	activation func(*Node) *Node // of the feed-forward's gate
}

var architectures = map[Family]architecture{Llama: llama, Qwen2: qwen2, Qwen3: qwen3, Gemma3: gemma3}

func (c Config) arch() architecture { return architectures[c.Family] }

// supported lists the families for messages.
func supported() string {
	var names []string
	for _, f := range slices.Sorted(maps.Keys(architectures)) {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}

// silu is x·sigmoid(x).
func silu(x *Node) *Node { return graph.Mul(x, graph.Logistic(x)) }
