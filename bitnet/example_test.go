package bitnet_test

import (
	"fmt"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// A matrix becomes codes of -1, 0 and 1 times its mean magnitude.
func ExampleQuantizeWeights() {
	backend, err := gobackend.New("ops_sequential")
	if err != nil {
		fmt.Println(err)
		return
	}
	exec, err := graph.NewExec(backend, func(w *graph.Node) []*graph.Node {
		codes, scale := bitnet.QuantizeWeights(w, bitnet.AbsMean)
		return []*graph.Node{codes, scale}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := exec.Call([][]float32{{0.5, -1.5, 0.25}, {-0.75, 0, 3}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("codes", out[0].Value())
	fmt.Println("scale", out[1].Value())
	// Output:
	// codes [[0 -1 0] [-1 0 1]]
	// scale [[1]]
}

// A BitLinear with SubLN: norm, int8 activations, ternary weights.
func ExampleLinear() {
	backend, err := gobackend.New("ops_sequential")
	if err != nil {
		fmt.Println(err)
		return
	}
	store := model.NewStore()
	weight := tensors.FromValue([][]float32{{0.5, -1.5, 0.25}, {-0.75, 0, 3}}) // [out, in]
	if _, err := store.CreateVariable("/proj/weight", weight); err != nil {
		fmt.Println(err)
		return
	}
	exec, err := model.NewExec(backend, store, func(scope *model.Scope, x *graph.Node) *graph.Node {
		scope = scope.At("proj")
		normed := bitnet.RMSNorm(scope.At("norm"), x, 1e-8)
		return bitnet.Linear{Out: 2, Weights: bitnet.AbsMean}.Apply(scope, bitnet.Quantize(normed))
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := exec.Exec([][]float32{{1, 7, 5}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.3f\n", out[0].Value())
	// Output: [[-1.400 0.805]]
}
