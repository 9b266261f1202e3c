package bitnet_test

import (
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// TestMisuseIsAnError wants errors out of the executor, where a panic of any other value than an error would go through it.
func TestMisuseIsAnError(t *testing.T) {
	for want, fn := range map[string]func(scope *model.Scope, x *graph.Node) *graph.Node{
		`/proj: weights are "absmean"`: func(scope *model.Scope, x *graph.Node) *graph.Node {
			return bitnet.Linear{Out: 2, Weights: bitnet.AbsMean}.Apply(scope.At("proj"), bitnet.Activations{Values: x})
		},
		`/proj: weights are "none"`: func(scope *model.Scope, x *graph.Node) *graph.Node {
			return bitnet.Linear{Out: 2, Weights: bitnet.FullPrecision}.Apply(scope.At("proj"), bitnet.Quantize(x))
		},
		`no quantizer named "none"`: func(_ *model.Scope, x *graph.Node) *graph.Node {
			codes, _ := bitnet.QuantizeWeights(x, bitnet.FullPrecision)
			return codes
		},
	} {
		exec, err := model.NewExec(backendtest.Open(t), model.NewStore(), fn)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := exec.Exec([][]float32{{1, 2, 3}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
