package decoder_test

import (
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/decoder"
	"github.com/bitdistill/bitdistill/internal/archtest"
	"github.com/bitdistill/bitdistill/internal/golden"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// TestGradientOfSome holds that the gradient of some weights is what it is among those of all: backpropagation then passes by parts of
// the attention only.
func TestGradientOfSome(t *testing.T) {
	ids := [][]int32{{3, 1, 4, 1, 5}, {2, 7, 1, 8, 2}}
	cfg := archtest.Variants()["llama/ternary/output"]
	if cfg.Layers == 0 {
		t.Fatal("there is no such variant")
	}
	store := randomWeights(cfg, 7).store(t, cfg)
	for _, remat := range []bool{false, true} {
		gradient := func(of []arch.Tensor) [][]float32 {
			return run(t, store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
				out := decoder.Forward(scope, cfg, decoder.Inputs{IDs: in[0]}, decoder.Options{Checkpoints: remat}).Logits
				loss := graph.ReduceAllSum(graph.Mul(out, graph.Sin(graph.IotaFull(out.Graph(), out.Shape()))))
				return graph.Gradient(loss, variables(scope, loss.Graph(), of)...)
			}, ids)
		}
		all := gradient(cfg.Tensors())
		for i, tensor := range cfg.Tensors() {
			if strings.Contains(tensor.Name, "layers.0.self_attn.") {
				golden.Close(t, tensor.Name, gradient([]arch.Tensor{tensor})[0], all[i], 1e-6)
			}
		}
	}
}
