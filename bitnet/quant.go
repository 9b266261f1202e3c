package bitnet

import "github.com/bitdistill/bitdistill/bitnet/arch"

// The names of quantizers are those of package arch, where what describes a model is. Here they stand again beside the functions that
// take them: a program that quantizes a matrix or builds a [Linear] needs no other package.
type (
	// Weights names a quantizer of weight matrices.
	Weights = arch.Weights
	// SubLN says which linears have an RMSNorm of their own in front.
	SubLN = arch.SubLN
	// Quantization is how the linears of a decoder's blocks compute.
	Quantization = arch.Quantization
)

// See package arch.
const (
	FullPrecision = arch.FullPrecision
	AbsMean       = arch.AbsMean
	Block         = arch.Block
	BlockPadded   = arch.BlockPadded
	Channel       = arch.Channel

	SubLNNone   = arch.SubLNNone
	SubLNOutput = arch.SubLNOutput
	SubLNAll    = arch.SubLNAll

	BlockSize  = arch.BlockSize
	ScaleFloor = arch.ScaleFloor
)

// Full is a model as it was published: no quantization, no SubLN.
func Full() Quantization { return arch.Full() }

// Ternary is the paper's student: absmean weights, int8 activations and SubLN at the given places.
func Ternary(where SubLN) Quantization { return arch.Ternary(where) }
