// Package archtest has small models of every kind for tests.
package archtest

import (
	"fmt"

	"github.com/bitdistill/bitdistill/bitnet/arch"
)

// Tiny is a small model whose widths all differ where they can.
func Tiny(family arch.Family, q arch.Quantization) arch.Config {
	c := arch.Config{Family: family, VocabSize: 19, HiddenSize: 16, IntermediateSize: 24, Layers: 2, Heads: 4, KVHeads: 2,
		HeadDim: 4, MaxPositions: 32, NormEps: 1e-5, RopeTheta: 10000, TieEmbeddings: true, Quantization: q}
	if family == arch.Qwen3 { // heads*headDim is not hidden, and no two heads share more than one key head
		c.HeadDim, c.Heads, c.KVHeads, c.RopeTheta, c.NormEps, c.TieEmbeddings = 6, 3, 1, 1e6, 1e-6, false
	}
	switch family {
	case arch.Qwen2: // wavelengths above, between and below the limits
		c.HeadDim, c.Heads, c.KVHeads = 6, 2, 1
		c.RopeScaling = arch.RopeScaling{Type: arch.RopeLlama3, Factor: 4, LowFreqFactor: 1, HighFreqFactor: 4, OriginalPositions: 16}
		c.RopeTheta = 50
	case arch.Gemma3:
		c.RopeScaling = arch.RopeScaling{Type: arch.RopeLinear, Factor: 3}
		c.SlidingWindow, c.SlidingLayers, c.LocalRopeTheta, c.QueryScalar = 3, []bool{true, false}, 100, 7
	}
	return c
}

var subLNs = []arch.SubLN{arch.SubLNNone, arch.SubLNOutput, arch.SubLNAll}

// Variants are full precision and ternary ones with each SubLN, in every family.
func Variants() map[string]arch.Config {
	all := map[string]arch.Config{}
	for _, family := range arch.Families() {
		all[fmt.Sprintf("%s/full", family)] = Tiny(family, arch.Full())
		for _, where := range subLNs {
			all[fmt.Sprintf("%s/ternary/%s", family, where)] = Tiny(family, arch.Ternary(where))
		}
	}
	return all
}

// AllVariants are variants and the other quantizers of weights.
func AllVariants() map[string]arch.Config {
	all := Variants()
	for i, kind := range []arch.Weights{arch.Channel, arch.Block, arch.BlockPadded} {
		q := arch.Quantization{Weights: kind, SubLN: arch.SubLNOutput, SubLNEps: 1e-6}
		all["llama/"+string(kind)] = Tiny(arch.Llama, q)
		q.SubLN = subLNs[i]
		all["qwen3/"+string(kind)] = Tiny(arch.Qwen3, q)
	}
	return all
}
