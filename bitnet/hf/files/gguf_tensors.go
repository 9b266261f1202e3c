package files

import (
	"fmt"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
)

// ggufParts are the names of a block's tensors in GGUF files, by what stands behind "model.layers.N." without ".weight" or
// ".bias". Gemma's norms around the feed-forward have names of their own.
var ggufParts = map[string]string{
	"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
	"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
	"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
	"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}

var ggufGemma3 = map[string]string{
	"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm",
}

// GGUFName is the name that a tensor of [arch.Config.Tensors] has in GGUF files of the family's architecture.
func GGUFName(family arch.Family, name string) string {
	stem, suffix := name, ""
	for _, s := range []string{".weight", ".bias"} {
		if cut, ok := strings.CutSuffix(name, s); ok {
			stem, suffix = cut, s
		}
	}
	switch stem {
	case "model.embed_tokens":
		return "token_embd" + suffix
	case "model.norm":
		return "output_norm" + suffix
	case "lm_head":
		return "output" + suffix
	}
	layer, part, _ := strings.Cut(strings.TrimPrefix(stem, "model.layers."), ".")
	short, ok := ggufGemma3[part]
	if !ok || family != arch.Gemma3 {
		short = ggufParts[part]
	}
	return "blk." + layer + "." + short + suffix
}

// ggufTensors is a weightFile that turns GGUF's names and layouts into those of Config.Tensors.
type ggufTensors struct {
	*gguf.File
	config arch.Config
	stored map[string]string      // names in the file by ours; those that have none by their own
	ours   map[string]arch.Tensor // by our name
}

func newGGUFTensors(f *gguf.File, c arch.Config) ggufTensors {
	g := ggufTensors{f, c, map[string]string{}, map[string]arch.Tensor{}}
	taken := map[string]bool{ropeFactors: true} // is in the config
	if c.Layers <= len(f.Tensors()) {           // before a table is made of it
		for _, t := range c.Tensors() {
			name := GGUFName(c.Family, t.Name)
			taken[name] = true
			if _, ok := f.Info(name); ok {
				g.stored[t.Name], g.ours[t.Name] = name, t
			}
		}
	}
	for _, info := range f.Tensors() {
		if !taken[info.Name] {
			g.stored[info.Name] = info.Name
		}
	}
	return g
}

// Names lists all tensors, those of the model under our names.
func (g ggufTensors) Names() []string {
	names := make([]string, 0, len(g.stored))
	for name := range g.stored {
		names = append(names, name)
	}
	return names
}

// Shape is row-major, as everywhere.
func (g ggufTensors) Shape(name string) ([]int, error) {
	info, _ := g.Info(g.stored[name])
	if !info.Type.IsFloat() {
		return nil, fmt.Errorf("%s of the file has type %s, which is not one of numbers", info.Name, info.Type)
	}
	return info.Shape, nil
}

func (g ggufTensors) Stored(name string) (kind gguf.Type, bytes int64) {
	info, _ := g.Info(g.stored[name])
	return info.Type, info.Bytes
}

// ReadRows reads rows in our layout: queries and keys of the llama architecture have their rows in pairs there, and Gemma's
// norms are stored with 1 added.
func (g ggufTensors) ReadRows(name string, first int, dst []float32) error {
	stored, t := g.stored[name], g.ours[name]
	if g.config.Family == arch.Llama && (strings.HasSuffix(name, "q_proj.weight") || strings.HasSuffix(name, "k_proj.weight")) {
		return g.readPaired(stored, first, t.Dims[1], dst)
	}
	if err := g.File.ReadRows(stored, first, dst); err != nil {
		return err
	}
	if t.Kind == arch.Norm && g.config.NormOffset() != 0 {
		for i := range dst {
			dst[i] -= float32(g.config.NormOffset())
		}
	}
	return nil
}

// readPaired reads rows of a matrix where the rows 2i and 2i+1 of each head, which the rotary embedding turns together, are ours i
// and i + headDim/2.
func (g ggufTensors) readPaired(stored string, first, width int, dst []float32) error {
	for n := range len(dst) / width {
		head, i := (first+n)/g.config.HeadDim, (first+n)%g.config.HeadDim
		half := g.config.HeadDim / 2
		row := head*g.config.HeadDim + i%half*2 + i/half
		if err := g.File.ReadRows(stored, row, dst[n*width:(n+1)*width]); err != nil {
			return err
		}
	}
	return nil
}
