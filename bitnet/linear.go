package bitnet

import (
	"fmt"

	"github.com/bitdistill/bitdistill/internal/matmul"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// Linear is a projection without SubLN: put [RMSNorm] in front for that. With Weights other than [FullPrecision] it is a
// BitLinear.
type Linear struct {
	Out        int     // output width
	Weights    Weights // quantizer of the weights
	FP16Scales bool    // round its scales, as [Quantization] says
	Bias       bool    // add a full-precision bias
	// RoundGradients allows products of the gradient to round their operands to bfloat16, where the backend is faster at that.
	RoundGradients bool
	Frozen         bool // the scope has what [Linear.Freeze] gives, "frozen" and "scale", instead of "weight"
}

// Apply computes x·Wᵀ (+ bias): x [.., in] gives [.., Out], float32.
//
// The variables are "weight" [Out, in] and "bias" [Out] of the scope, float32. Where the weights have one scale per matrix or per
// row, the product runs on the integers, which float32 adds exactly up to in = 131072 in any order, and the scales follow: the
// result equals the product of the quantized operands, and a packed int8 engine computes the same.
// The gradient is that of the straight-through estimator (see the package comment).
//
// It panics, as GoMLX graph functions do, when the scope's variables have other shapes, or when activations and weights
// do not agree on being quantized.
func (l Linear) Apply(scope *model.Scope, x Activations) *Node {
	ternary := l.Weights != FullPrecision
	if ternary != (x.Scale != nil) {
		panic(fmt.Errorf("bitnet: %s: weights are %q, but the activations' quantization says otherwise", scope.Scope(), l.Weights))
	}
	g := x.Values.Graph()
	dims := x.Values.Shape().Dimensions
	in := dims[len(dims)-1]
	rows := graph.Reshape(x.Values, -1, in)
	y := l.product(rows, x.Scale, scope)
	if l.Bias {
		b := scope.VariableWithShape("bias", vector(l.Out)).NodeValue(g)
		y = graph.Add(y, graph.Reshape(b, 1, l.Out))
	}
	out := append(append([]int{}, dims[:len(dims)-1]...), l.Out)
	return graph.Reshape(y, out...)
}

// product multiplies values or codes [n, in], the latter with their scale [.., 1], with the weights of the scope: [n, Out].
func (l Linear) product(rows, perToken *Node, scope *model.Scope) *Node {
	matrix, scale := l.operand(scope, rows)
	if perToken == nil {
		return matmul.Mul(rows, matrix)
	}
	var y *Node
	if scale == nil { // the matrix holds codes times their scales
		y = matmul.Mul(rows, matrix)
	} else {
		y = matmul.Codes(rows, matrix, l.RoundGradients)
	}
	perToken = graph.Reshape(perToken, -1, 1)
	switch {
	case scale == nil:
		return graph.Mul(y, matmul.Repeat(perToken, l.Out))
	case scale.Shape().Size() == 1: // both scales in one pass over the output
		return graph.Mul(y, matmul.Repeat(graph.Mul(perToken, scale), l.Out))
	default:
		return graph.Mul(y, matmul.Outer(perToken, scale))
	}
}

// operand is [Linear.Freeze] of the scope's weight, or what that left.
func (l Linear) operand(scope *model.Scope, rows *Node) (matrix, scale *Node) {
	g, in := rows.Graph(), rows.Shape().Dim(-1)
	if !l.Frozen {
		return l.Freeze(scope.VariableWithShape("weight", shapes.Make(dtypes.Float32, l.Out, in)).NodeValue(g))
	}
	matrix = scope.VariableWithShape("frozen", shapes.Make(dtypes.Float32, in, l.Out)).NodeValue(g)
	switch l.Weights {
	case AbsMean:
		scale = scope.VariableWithShape("scale", shapes.Make(dtypes.Float32, 1, 1)).NodeValue(g)
	case Channel:
		scale = scope.VariableWithShape("scale", shapes.Make(dtypes.Float32, 1, l.Out)).NodeValue(g)
	}
	return matrix, scale
}

// Freeze gives what a product needs of a weight [Out, in], which is worth keeping where many products follow before it changes: the
// right operand [in, Out], quantized, and the scale of its columns, [1, 1] or [1, Out]. Scales that change along a row have to go in
// before the sum and are part of the operand: then, and in full precision, scale is nil.
func (l Linear) Freeze(weight *Node) (operand, scale *Node) {
	if l.Weights == FullPrecision {
		return matmul.Transpose(weight), nil
	}
	codes, scale := QuantizeWeightsAs(weight, Quantization{Weights: l.Weights, FP16Scales: l.FP16Scales})
	switch l.Weights {
	case AbsMean:
		return matmul.Transpose(codes), scale
	case Channel: // [Out, 1]
		return matmul.Transpose(codes), graph.Reshape(scale, 1, scale.Shape().Dim(0))
	default:
		return matmul.Transpose(graph.Mul(codes, scale)), nil
	}
}

// RMSNorm divides x [.., width] by its root mean square over the last axis and multiplies by the scope's variable
// "weight" [width] (Zhang and Sennrich 2019): x / sqrt(mean(x²) + eps) * weight. It is the backbone's norm, and as SubLN the norm
// in front of a BitLinear (eps 1e-8 there). A new weight starts at 1.
func RMSNorm(scope *model.Scope, x *Node, eps float64) *Node {
	return rmsNorm(x, scope.WithInitializer(ones).VariableWithShape("weight", width(x)).NodeValue(x.Graph()), eps)
}

// OffsetRMSNorm is an RMSNorm whose weight is stored less offset: x / sqrt(mean(x²) + eps) * (offset + weight). Gemma's backbone
// has 1 as its offset. A new weight starts at 1 - offset.
func OffsetRMSNorm(scope *model.Scope, x *Node, eps, offset float64) *Node {
	start := func(g *graph.Graph, shape shapes.Shape) *Node {
		return graph.AddScalar(graph.Zeros(g, shape), 1-offset)
	}
	w := scope.WithInitializer(start).VariableWithShape("weight", width(x)).NodeValue(x.Graph())
	return rmsNorm(x, graph.AddScalar(w, offset), eps)
}

// width is the shape of a vector along the last axis of x.
func width(x *Node) shapes.Shape { return vector(x.Shape().Dim(-1)) }

func rmsNorm(x, weight *Node, eps float64) *Node {
	n := x.Shape().Dim(-1)
	rows := graph.Reshape(x, -1, n)
	meanSquare := graph.DivScalar(matmul.RowSums(graph.Mul(rows, rows)), n)
	rms := graph.Sqrt(graph.AddScalar(meanSquare, eps)) // graph.Rsqrt has no gradient
	normed := graph.Mul(rows, matmul.Outer(graph.Reciprocal(rms), graph.Reshape(weight, 1, n)))
	return graph.Reshape(normed, x.Shape().Dimensions...)
}

func ones(g *graph.Graph, shape shapes.Shape) *Node { return graph.Ones(g, shape) }
