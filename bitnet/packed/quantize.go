package packed

import (
	"fmt"
	"math"

	"github.com/bitdistill/bitdistill/bitnet/arch"
)

// Quantize makes a matrix of weights w [out, in] with the arithmetic of bitnet.QuantizeWeights, operation for operation as GoMLX's
// pure-Go backend does it, all in float32: the scale D is the mean of magnitudes, at least ScaleFloor, a code is w/D rounded half to
// even and clipped to ±1. Sums run from first to last and are multiplied by the reciprocal of their length; AbsMean takes the mean of the
// rows' means. Another backend may add up in another order: then scales differ in their last bits, and a code where w/D is about ±1/2.
func Quantize(w []float32, out, in int, scaling Scaling) (*Matrix, error) {
	return QuantizeAs(w, out, in, arch.Quantization{Weights: arch.Weights(scaling)})
}

// QuantizeAs is [Quantize] with the quantizer of q, as bitnet.QuantizeWeightsAs: where q has FP16Scales, scales are rounded to float16
// (half to even, kept within its normal numbers), and codes are those of the rounded ones.
func QuantizeAs(w []float32, out, in int, q arch.Quantization) (*Matrix, error) {
	scaling := Scaling(q.Weights)
	count, err := scaling.Count(out, in)
	if err != nil {
		return nil, err
	}
	if len(w) != out*in {
		return nil, fmt.Errorf("packed: %d weights for a matrix [%d, %d], want %d", len(w), out, in, out*in)
	}
	scales := make([]float32, count)
	switch scaling {
	case AbsMean:
		rows := make([]float32, out)
		for r := range rows {
			rows[r] = mean(w[r*in:(r+1)*in], in)
		}
		scales[0] = mean(rows, out)
	case Channel:
		for r := range scales {
			scales[r] = mean(w[r*in:(r+1)*in], in)
		}
	default:
		for i := range scales {
			run := w[i*BlockSize : min((i+1)*BlockSize, len(w))]
			count := len(run)
			if scaling == BlockPadded {
				count = BlockSize
			}
			scales[i] = mean(run, count)
		}
	}
	for i, s := range scales {
		scales[i] = max(s, ScaleFloor)
		if !(s <= math.MaxFloat32) {
			return nil, fmt.Errorf("packed: the mean magnitude of weights is %g (scale %d of %s): they hold a value that is no finite number, or too large ones", s, i, scaling)
		}
		if q.FP16Scales {
			scales[i] = roundScale(scales[i])
		}
	}
	codes := make([]int8, len(w))
	for i, v := range w {
		codes[i] = round(v / scales[scaling.index(i, in)])
	}
	return FromCodes(codes, out, in, scaling, scales)
}

// The normal numbers of float16.
const (
	leastFP16 = 1.0 / (1 << 14)
	mostFP16  = 65504
)

// roundScale is the float16 value nearest to x, as bitnet.RoundScale makes it.
func roundScale(x float32) float32 {
	const dropped = 23 - 10 // bits of the mantissa
	bits := math.Float32bits(min(max(x, leastFP16), mostFP16))
	bits += 1<<(dropped-1) - 1 + bits>>dropped&1 // half to even; carries into the exponent where the mantissa overflows
	return math.Float32frombits(bits >> dropped << dropped)
}

// index is which scale the value i of a matrix in columns wide has.
func (s Scaling) index(i, in int) int {
	switch s {
	case AbsMean:
		return 0
	case Channel:
		return i / in
	}
	return i / BlockSize
}

// mean is the sum of magnitudes by count.
func mean(x []float32, count int) float32 {
	var sum float32
	for _, v := range x {
		sum += float32(math.Abs(float64(v)))
	}
	return sum * float32(1/float64(count))
}

// round is to the nearest of -1, 0 and 1; ±1/2 are nearest to 0, which is even.
func round(x float32) int8 {
	switch {
	case x > 0.5:
		return 1
	case x < -0.5:
		return -1
	}
	return 0
}
