package decoder_test

import (
	"fmt"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/decoder"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

func stories260K(q bitnet.Quantization) arch.Config {
	return arch.Config{Family: arch.Llama, VocabSize: 512, HiddenSize: 64, IntermediateSize: 172, Layers: 5, Heads: 8, KVHeads: 4,
		HeadDim: 8, MaxPositions: 512, NormEps: 1e-5, RopeTheta: 10000, TieEmbeddings: true, Quantization: q}
}

// BenchmarkGradient times forward and backward of the mean log-likelihood of all positions, the inner part of a step of
// stage 2, of a full-precision and of a ternary model.
func BenchmarkGradient(b *testing.B) {
	for _, q := range []bitnet.Quantization{bitnet.Full(), bitnet.Ternary(bitnet.SubLNOutput)} {
		for _, shape := range [][2]int{{16, 32}, {16, 128}, {32, 64}} {
			b.Run(fmt.Sprintf("%s/%dx%d", q.Weights, shape[0], shape[1]), func(b *testing.B) {
				cfg := stories260K(q)
				store := model.NewStore()
				exec, err := model.NewExec(backendtest.Open(b), store, func(scope *model.Scope, ids *graph.Node) []*graph.Node {
					out := decoder.Forward(scope, cfg, decoder.Inputs{IDs: ids}, decoder.Options{})
					loss := graph.Neg(graph.ReduceAllMean(graph.LogSoftmax(out.Logits)))
					return scope.BuildTrainableVariablesGradientsGraph(loss)
				})
				if err != nil {
					b.Fatal(err)
				}
				ids := make([]int32, shape[0]*shape[1])
				for i := range ids {
					ids[i] = int32(i * 7 % 512)
				}
				x := tensors.FromFlatDataAndDimensions(ids, shape[0], shape[1])
				if _, err := exec.Exec(x); err != nil {
					b.Fatal(err)
				}
				b.ResetTimer()
				for range b.N {
					if _, err := exec.Exec(x); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(len(ids)*b.N)/b.Elapsed().Seconds(), "tokens/s")
			})
		}
	}
}
