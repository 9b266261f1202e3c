package infer_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/bitnet/native"
	"github.com/bitdistill/bitdistill/bitnet/packed"
)

// qwen3Shape is that of Qwen3-0.6B with fewer layers and a small vocabulary, so that blocks are what is measured.
func qwen3Shape() arch.Config {
	return arch.Config{Family: arch.Qwen3, VocabSize: 512, HiddenSize: 1024, IntermediateSize: 3072, Layers: 4, Heads: 16, KVHeads: 8,
		HeadDim: 128, MaxPositions: 4096, NormEps: 1e-6, RopeTheta: 1e6, TieEmbeddings: true, Quantization: arch.Ternary(arch.SubLNOutput)}
}

// randomNative is a file of the project's own with random ternary weights.
func randomNative(t testing.TB, c arch.Config) string {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 1))
	o := native.Options{Name: "random", Embeddings: gguf.Q8_0}
	o.Pack = func(tensor arch.Tensor, w []float32) (native.Matrix, error) {
		return packed.QuantizeAs(w, tensor.Dims[0], tensor.Dims[1], c.Quantization)
	}
	path := filepath.Join(t.TempDir(), "model.gguf")
	err := native.Create(t.Context(), path, &files.Model{Config: c}, func(tensor arch.Tensor, _ int, x []float32) error {
		for i := range x {
			x[i] = (r.Float32() - 0.5) / 8
			if tensor.Kind == arch.Norm || tensor.Kind == arch.SubLNorm {
				x[i] += 1
			}
		}
		return nil
	}, o)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// BenchmarkShape reads prompts, and writes tokens behind them, alone and side by side.
func BenchmarkShape(b *testing.B) {
	c := qwen3Shape()
	path := randomNative(b, c)
	for _, kind := range []infer.CacheType{infer.CacheF32, infer.CacheF16, infer.CacheInt8} {
		m := opened(b, path, infer.Options{Cache: kind})
		logits := make([]float32, 8*c.VocabSize)
		report := func(b *testing.B, tokens int) {
			b.ReportMetric(float64(b.N*tokens)/b.Elapsed().Seconds(), "tokens/s")
		}
		for _, n := range []int{128, 512} {
			b.Run(fmt.Sprintf("%s/prompt/%d", kind, n), func(b *testing.B) {
				s, ids := sequence(b, m, n), randomIDs(c, n, 1)
				for b.Loop() {
					s.Truncate(0)
					if err := s.Append(b.Context(), ids, logits[:c.VocabSize]); err != nil {
						b.Fatal(err)
					}
				}
				report(b, n)
			})
		}
		for _, many := range []int{1, 8} {
			for _, n := range []int{128, 1024} {
				b.Run(fmt.Sprintf("%s/step/%d/behind/%d", kind, many, n), func(b *testing.B) {
					var all []*infer.Sequence
					for i := range many {
						s := sequence(b, m, n+1)
						if err := s.Append(b.Context(), randomIDs(c, n, uint64(i)), nil); err != nil {
							b.Fatal(err)
						}
						all = append(all, s)
					}
					ids := randomIDs(c, many, 9)
					for b.Loop() {
						for _, s := range all {
							s.Truncate(n)
						}
						if err := m.Step(b.Context(), all, ids, logits[:many*c.VocabSize]); err != nil {
							b.Fatal(err)
						}
					}
					report(b, many)
				})
			}
		}
		m.Close()
	}
}
