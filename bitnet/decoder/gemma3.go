package decoder

import (
	"math"

	"github.com/gomlx/gomlx/core/graph"
)

// gemma3 (Gemma team 2025) scales its embeddings, has four norms a block whose weights are stored less 1, a norm on every query
// and key head, and layers that look at a window with rotary embeddings of another base.
var gemma3 = architecture{
	qkNorm: true, postNorms: true, normOffset: 1, embedScale: true, sliding: true, activation: geluTanh,
}

// geluTanh is the GELU in its tanh form (Hendrycks and Gimpel 2016): x/2·(1 + tanh(u)) with u = sqrt(2/pi)·(x + 0.044715·x³),
// here as x·sigmoid(2u), which is equal.
func geluTanh(x *Node) *Node {
	cube := graph.Mul(graph.Mul(x, x), x)
	u := graph.Add(x, graph.MulScalar(cube, 0.044715))
	return graph.Mul(x, graph.Logistic(graph.MulScalar(u, 2*math.Sqrt(2/math.Pi))))
}
