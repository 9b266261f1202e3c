package decoder

import (
	"fmt"
	"math"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/gomlx/gomlx/core/graph"
)

// activate applies the function of the feed-forward's gate.
func activate(name arch.Activation, x *Node) *Node {
	switch name {
	case arch.SiLU:
		return graph.Mul(x, graph.Logistic(x))
	case arch.GELUTanh:
		return geluTanh(x)
	}
	panic(fmt.Errorf("decoder: activation %q is not built", name))
}

// geluTanh is the GELU in its tanh form (Hendrycks and Gimpel 2016): x/2·(1 + tanh(u)) with u = sqrt(2/pi)·(x + 0.044715·x³),
// here as x·sigmoid(2u), which is equal.
func geluTanh(x *Node) *Node {
	cube := graph.Mul(graph.Mul(x, x), x)
	u := graph.Add(x, graph.MulScalar(cube, 0.044715))
	return graph.Mul(x, graph.Logistic(graph.MulScalar(u, 2*math.Sqrt(2/math.Pi))))
}
