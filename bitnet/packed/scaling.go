package packed

import (
	"fmt"
	"math"

	"github.com/bitdistill/bitdistill/bitnet/arch"
)

// Scaling names which codes share a scale. The names are those of package arch's quantizers.
type Scaling string

const (
	// AbsMean is one scale for the matrix.
	AbsMean = Scaling(arch.AbsMean)
	// Channel is one scale a row.
	Channel = Scaling(arch.Channel)
	// Block is one scale for every BlockSize consecutive codes in row-major order; a run may straddle rows, and the last one be shorter.
	Block = Scaling(arch.Block)
	// BlockPadded is Block, with the mean of an incomplete last run taken over BlockSize values.
	BlockPadded = Scaling(arch.BlockPadded)
)

const (
	// BlockSize is the number of codes that share a scale under [Block] and [BlockPadded].
	BlockSize = arch.BlockSize
	// MaxIn is the largest width of a matrix: what int32 holds the sums of and float32 the products of.
	MaxIn = 1 << 17
	// ScaleFloor is the smallest scale that a quantizer makes, of weights and of activations.
	ScaleFloor = arch.ScaleFloor
)

// Count is the number of scales of a matrix [out, in].
func (s Scaling) Count(out, in int) (int, error) {
	if err := checkShape(out, in); err != nil {
		return 0, err
	}
	switch s {
	case AbsMean:
		return 1, nil
	case Channel:
		return out, nil
	case Block, BlockPadded:
		return (out*in + BlockSize - 1) / BlockSize, nil
	}
	return 0, fmt.Errorf("packed: scaling %q is not one of absmean, channel, block, block_padded", s)
}

func (s Scaling) blocks() bool { return s == Block || s == BlockPadded }

func checkShape(out, in int) error {
	switch {
	case in < 1 || in > MaxIn:
		return fmt.Errorf("packed: a matrix of width %d; 1 to %d can be multiplied", in, MaxIn)
	case out < 1 || out > (math.MaxInt-panelRows)/(2*in)-panelRows:
		return fmt.Errorf("packed: a matrix of %d rows by %d columns is none or does not fit into memory", out, in)
	}
	return nil
}

func checkScales(scales []float32) error {
	for i, s := range scales {
		if bits := math.Float32bits(s) &^ signBit; bits >= infinity {
			return fmt.Errorf("packed: scale %d is %g; want a finite number", i, s)
		}
	}
	return nil
}

// Of float32's bits.
const (
	signBit  = 1 << 31
	infinity = 0x7f800000
)
