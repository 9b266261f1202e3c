package infer_test

import (
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/distill/eval"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
)

// BenchmarkStories is the embedded model made ternary, here and in the graph engine: 64 tokens written behind a prompt of 16, greedily, one
// prompt at a time and 8 side by side, and a prompt of 128 tokens read.
func BenchmarkStories(b *testing.B) {
	folder := ternaryStories(b, arch.SubLNOutput)
	m := opened(b, nativeFile(b, folder, gguf.F32, gguf.F32), infer.Options{})
	loaded, err := hf.Load(folder)
	if err != nil {
		b.Fatal(err)
	}
	prompts := make([][]int32, 8)
	for i := range prompts {
		prompts[i] = randomIDs(m.Config, 16, uint64(i))
	}
	const most = 64
	perSecond := func(b *testing.B, tokens int) {
		b.ReportMetric(float64(b.N*tokens)/b.Elapsed().Seconds(), "tokens/s")
	}
	b.Run("infer/1", func(b *testing.B) {
		s := sequence(b, m, 80)
		for b.Loop() {
			s.Truncate(0)
			if _, err := s.Generate(b.Context(), prompts[0], infer.GenerateOptions{MaxTokens: most}, nil); err != nil {
				b.Fatal(err)
			}
		}
		perSecond(b, most)
	})
	b.Run("infer/8", func(b *testing.B) {
		all := make([]*infer.Sequence, 8)
		for i := range all {
			all[i] = sequence(b, m, 80)
		}
		vocab := m.Config.VocabSize
		ids, logits := make([]int32, 8), make([]float32, 8*vocab)
		for b.Loop() {
			for i, s := range all {
				s.Truncate(0)
				if err := s.Append(b.Context(), prompts[i], logits[i*vocab:][:vocab]); err != nil {
					b.Fatal(err)
				}
			}
			for range most - 1 {
				for i := range ids {
					ids[i] = int32(argmax(logits[i*vocab:][:vocab]))
				}
				if err := m.Step(b.Context(), all, ids, logits); err != nil {
					b.Fatal(err)
				}
			}
		}
		perSecond(b, 8*most)
	})
	b.Run("infer/prompt", func(b *testing.B) {
		s, ids, logits := sequence(b, m, 128), randomIDs(m.Config, 128, 1), make([]float32, m.Config.VocabSize)
		for b.Loop() {
			s.Truncate(0)
			if err := s.Append(b.Context(), ids, logits); err != nil {
				b.Fatal(err)
			}
		}
		perSecond(b, 128)
	})
	for _, n := range []int{1, 8} {
		b.Run("graph/"+string(rune('0'+n)), func(b *testing.B) {
			g, err := eval.NewGenerator(backendtest.Open(b), loaded.Config, loaded.Store, -1, n)
			if err != nil {
				b.Fatal(err)
			}
			defer g.Close()
			for b.Loop() {
				if _, err := g.Generate(b.Context(), prompts[:n], most); err != nil {
					b.Fatal(err)
				}
			}
			perSecond(b, n*most)
		})
	}
}
