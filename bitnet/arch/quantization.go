package arch

import (
	"errors"
	"fmt"
)

// Weights names a quantizer of weight matrices.
type Weights string

const (
	// FullPrecision leaves weights and activations as they are.
	FullPrecision Weights = "none"
	// AbsMean is one scale per matrix, D = mean(|W|). The default of BitNet b1.58.
	AbsMean Weights = "absmean"
	// Block is one scale per BlockSize consecutive values in row-major order, the mean over the values that are there.
	Block Weights = "block"
	// BlockPadded is Block with the mean of a last incomplete run taken as if zeros filled it up: what the reference code
	// of BitNet Distillation does, and too small a scale.
	BlockPadded Weights = "block_padded"
	// Channel is one scale per output row.
	Channel Weights = "channel"
)

// BlockSize is the number of consecutive values that share a scale under [Block].
const BlockSize = 256

// ScaleFloor is the smallest scale of weights and of activations (reference code of BitNet Distillation): an all-zero matrix
// or token has this scale and not 0.
const ScaleFloor = 1e-5

// SubLN says which linears have an RMSNorm of their own in front (BitNet Distillation, section 3.1).
type SubLN string

const (
	// SubLNNone adds no norm.
	SubLNNone SubLN = "none"
	// SubLNOutput adds one in front of the attention output projection and one in front of the FFN down projection
	// (the paper's Eq. 4 and 5).
	SubLNOutput SubLN = "output"
	// SubLNAll adds one in front of each of the seven linears of a block.
	SubLNAll SubLN = "all"
)

// Quantization is how the linears of a decoder's blocks compute. Embeddings and the output head are never quantized.
// The zero value is not valid; [Full] and [Ternary] are the two usual ones.
type Quantization struct {
	Weights  Weights `json:"weights"`   // quantizer of the weights; "none" for a full-precision model
	SubLN    SubLN   `json:"subln"`     // where SubLN stands
	SubLNEps float64 `json:"subln_eps"` // added to the mean square inside SubLN, > 0 unless SubLN is "none"

	// FP16Scales rounds the scales of the weights to float16, so that formats that store them so compute the same.
	FP16Scales bool `json:"fp16_scales,omitempty"`
}

// Full is a model as it was published: no quantization, no SubLN.
func Full() Quantization { return Quantization{Weights: FullPrecision, SubLN: SubLNNone} }

// Ternary is the paper's student: absmean weights, int8 activations and SubLN at the given places.
func Ternary(where SubLN) Quantization {
	q := Quantization{Weights: AbsMean, SubLN: where}
	if where != SubLNNone {
		q.SubLNEps = 1e-8
	}
	return q
}

// IsTernary reports whether the linears are BitLinears.
func (q Quantization) IsTernary() bool { return q.Weights != FullPrecision }

// Validate returns all faults at once, each with the JSON name of its field.
func (q Quantization) Validate() error {
	var faults []error
	switch q.Weights {
	case FullPrecision, AbsMean, Block, BlockPadded, Channel:
	default:
		faults = append(faults, fmt.Errorf("weights: %q is not one of none, absmean, block, block_padded, channel", q.Weights))
	}
	switch q.SubLN {
	case SubLNNone:
	case SubLNOutput, SubLNAll:
		if !(q.SubLNEps > 0 && q.SubLNEps < 1) {
			faults = append(faults, fmt.Errorf("subln_eps: %g, want a small positive number such as 1e-8", q.SubLNEps))
		}
	default:
		faults = append(faults, fmt.Errorf("subln: %q is not one of none, output, all", q.SubLN))
	}
	if q.FP16Scales && !q.IsTernary() {
		faults = append(faults, errors.New("fp16_scales: weights are \"none\" and have no scales; leave it out"))
	}
	return errors.Join(faults...)
}

// Scales is the number of scales of an [out, in] matrix.
func (q Quantization) Scales(out, in int) int {
	switch q.Weights {
	case AbsMean:
		return 1
	case Channel:
		return out
	case Block, BlockPadded:
		return (out*in + BlockSize - 1) / BlockSize
	}
	return 0
}
