package bitnet

import (
	"fmt"
	"slices"

	"github.com/bitdistill/bitdistill/internal/matmul"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// Node is a value of the graph under construction.
type Node = graph.Node

// activationLevels is the largest int8 code: activations are scaled so that their largest magnitude becomes 127.
const activationLevels = 127

// straightThrough has the value of quantized and the gradient of x. Written as x + stop_gradient(Q(x) - x) it would round
// wherever |x| is much larger than Q(x), as for an outlier weight; in this order the difference is exactly zero.
func straightThrough(x, quantized *Node) *Node {
	return graph.Add(graph.StopGradient(quantized), graph.Sub(x, graph.StopGradient(x)))
}

// QuantizeWeights gives the ternary codes of w and their scale; the quantized weights are codes*scale
// (BitNet Distillation, Eq. 1 and 2: D = mean|W|, codes = clip(round(W/D), -1, 1), round half to even).
//
// w is [out, in], float32. codes has its shape and holds exactly -1, 0 and 1; gradients pass straight through.
// scale broadcasts against w: [1, 1] for [AbsMean], [out, 1] for [Channel], [out, in] for [Block] and [BlockPadded]; it
// carries no gradient.
func QuantizeWeights(w *Node, kind Weights) (codes, scale *Node) {
	return QuantizeWeightsAs(w, Quantization{Weights: kind})
}

// QuantizeWeightsAs is [QuantizeWeights] with the quantizer of q, whose scales are rounded where q says so. The codes are those of
// the rounded scale.
func QuantizeWeightsAs(w *Node, q Quantization) (codes, scale *Node) {
	kind := q.Weights
	magnitude := graph.StopGradient(graph.Abs(w))
	out, in := w.Shape().Dimensions[0], w.Shape().Dimensions[1]
	switch kind {
	case AbsMean:
		// Rows first: one long float32 sum over millions of values would lose digits.
		rows := graph.ReduceAndKeep(magnitude, graph.ReduceMean, -1)
		scale = graph.ReduceAndKeep(rows, graph.ReduceMean, 0)
	case Channel:
		scale = graph.ReduceAndKeep(magnitude, graph.ReduceMean, -1)
	case Block, BlockPadded:
		scale = blockMeans(magnitude, out*in, kind == BlockPadded)
	default:
		panic(fmt.Errorf("bitnet: no quantizer named %q", kind)) // an error value: any other panic would escape an executor
	}
	scale = graph.StopGradient(graph.MaxScalar(scale, ScaleFloor))
	if q.FP16Scales {
		scale = RoundScale(scale)
	}
	if kind == Block || kind == BlockPadded {
		scale = spreadBlocks(scale, out, in)
	}
	unit := graph.Div(w, scale)
	return straightThrough(unit, graph.ClipScalar(graph.Round(unit), -1, 1)), scale
}

// The normal numbers of float16. Those below are less precise, and flushed to zero by some programs.
const (
	leastFP16 = 1.0 / (1 << 14)
	mostFP16  = 65504
)

// RoundScale gives the float16 value nearest to each of x, as float32: half to even, kept within 2^-14 and 65504, the normal numbers
// of float16. x is float32, positive; no gradient passes. The rounding is done on the bits: compilers drop a conversion to float16
// and back, since it only loses precision.
func RoundScale(x *Node) *Node {
	const dropped = 23 - 10 // bits of the mantissa
	x = graph.StopGradient(graph.ClipScalar(x, leastFP16, mostFP16))
	bits := graph.Bitcast(x, dtypes.Int32)
	odd := graph.BitwiseAnd(graph.BitwiseShiftRightLogicalScalar(bits, dropped), graph.ScalarOne(x.Graph(), dtypes.Int32))
	bits = graph.Add(graph.AddScalar(bits, 1<<(dropped-1)-1), odd) // carries into the exponent where the mantissa overflows
	bits = graph.BitwiseShiftLeftScalar(graph.BitwiseShiftRightLogicalScalar(bits, dropped), dropped)
	return graph.StopGradient(graph.Bitcast(bits, dtypes.Float32))
}

// blockMeans is the mean of each run of BlockSize values in row-major order, [blocks, 1]. The last run may be shorter;
// padded counts the missing values as zeros.
func blockMeans(x *Node, n int, padded bool) *Node {
	whole := n / BlockSize
	flat := graph.Reshape(x, n)
	var parts []*Node
	if whole > 0 {
		runs := graph.Reshape(graph.Slice(flat, graph.AxisRangeFromStart(whole*BlockSize)), whole, BlockSize)
		parts = append(parts, graph.ReduceAndKeep(runs, graph.ReduceMean, -1))
	}
	if rest := n % BlockSize; rest > 0 {
		sum := graph.ReduceAllSum(graph.Slice(flat, graph.AxisRangeToEnd(whole*BlockSize)))
		count := rest
		if padded {
			count = BlockSize
		}
		parts = append(parts, graph.Reshape(graph.DivScalar(sum, count), 1, 1))
	}
	return graph.Concatenate(parts, 0)
}

// spreadBlocks repeats each of the scales [blocks, 1] over its run of values: [out, in].
func spreadBlocks(scale *Node, out, in int) *Node {
	blocks := scale.Shape().Dimensions[0]
	spread := graph.Reshape(graph.BroadcastToDims(scale, blocks, BlockSize), blocks*BlockSize)
	return graph.Reshape(graph.Slice(spread, graph.AxisRangeFromStart(out*in)), out, in)
}

// Activations is what a linear layer multiplies: full-precision values, or int8 codes with the scale of each token.
type Activations struct {
	Values *Node // [.., in] float32: the values, or codes, integers from -127 to 127
	Scale  *Node // [.., 1] float32, the value of code 1; nil for full-precision values
}

// Quantize gives the int8 codes of x [.., in], scaled per token so that the largest magnitude becomes 127 (BitNet
// Distillation, Eq. 3: codes = round(127*x/g), g = max|x| over the last axis, at least [ScaleFloor]). Gradients pass straight through.
// The clip at ±128 of the formula never acts, since |x| <= g.
func Quantize(x *Node) Activations {
	dims := x.Shape().Dimensions
	width := dims[len(dims)-1]
	rows := graph.Reshape(x, -1, width)
	g := graph.ReduceAndKeep(graph.Abs(graph.StopGradient(rows)), graph.ReduceMax, -1)
	g = graph.StopGradient(graph.MaxScalar(g, ScaleFloor))
	scaled := graph.Mul(rows, matmul.Repeat(graph.MulScalar(graph.Reciprocal(g), activationLevels), width))
	perToken := append(slices.Clone(dims[:len(dims)-1]), 1)
	return Activations{
		Values: graph.Reshape(straightThrough(scaled, graph.Round(scaled)), dims...),
		Scale:  graph.Reshape(graph.DivScalar(g, activationLevels), perToken...),
	}
}

// vector is the shape of a norm's weight.
func vector(n int) shapes.Shape { return shapes.Make(dtypes.Float32, n) }
