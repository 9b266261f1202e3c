package infer

import (
	"fmt"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/infer/rows"
	"github.com/bitdistill/bitdistill/bitnet/packed"
)

// linear is a projection of a block, ternary or in full precision.
type linear struct {
	out, in int
	ternary *packed.Matrix // nil in full precision
	full    *rows.Matrix
	bias    []float32 // [out], nil for none
	subln   []float32 // [in], weight of the norm in front; nil for none
}

// panelRows is into how many rows products are cut.
const panelRows = 64

func (l *linear) panels() int { return (l.out + panelRows - 1) / panelRows }

// blocks reports whether it multiplies rows.Codes.
func (l *linear) blocks() bool { return l.full != nil && l.full.Blocks() }

// groups are the linears of a block that have the same input, in the order they are applied.
var groups = [4][]string{
	{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}, {"self_attn.o_proj"},
	{"mlp.gate_proj", "mlp.up_proj"}, {"mlp.down_proj"},
}

// Indices of groups.
const (
	qkv = iota
	output
	gateUp
	down
)

// layer is a block.
type layer struct {
	linears [len(groups)][]linear
	norms   map[string][]float32 // by what stands between "model.layers.N." and ".weight"; offsets are in them
	sliding bool

	// The norms again, nil where the family has none.
	inputNorm, qNorm, kNorm, postAttention, feedForward, postFeedForward []float32
}

// arrange puts the norms in their places.
func (l *layer) arrange(c arch.Config) {
	l.inputNorm, l.feedForward = l.norms[arch.InputNorm], l.norms[c.FeedForwardNorm()]
	l.qNorm, l.kNorm = l.norms["self_attn.q_norm"], l.norms["self_attn.k_norm"]
	if c.PostNorms() {
		l.postAttention, l.postFeedForward = l.norms[arch.PostAttentionNorm], l.norms[arch.PostFeedForwardNorm]
	}
	l.norms = nil
}

// place is which group a linear is in, and which of it.
func place(name string) (group, index int, err error) {
	for g, names := range groups {
		for i, n := range names {
			if n == name {
				return g, i, nil
			}
		}
	}
	return 0, 0, fmt.Errorf("infer: a block with the linear %s is not built", name)
}
