package rows

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/bitnet/packed"
)

// rates compares work with a probe of the machine, both side by side on some threads. Rounds of both take turns, and the best of each counts:
// what else runs on a machine only makes them slower.
func rates(threads int, units, probeUnits float64, work, probe func(round, thread int)) (rate, probed float64) {
	start := time.Now()
	best, bestProbe := math.Inf(1), math.Inf(1)
	for round := 0; round < 8 || round < 400 && time.Since(start) < time.Second; round++ {
		w, p := once(threads, round, work), once(threads, round, probe)
		if round > 0 { // caches are cold
			best, bestProbe = min(best, w), min(bestProbe, p)
		}
	}
	return float64(threads) * units / best, float64(threads) * probeUnits / bestProbe
}

// once is how many seconds work takes.
func once(threads, round int, work func(round, thread int)) float64 {
	var wait sync.WaitGroup
	start := time.Now()
	for i := range threads - 1 {
		wait.Go(func() { work(round, i+1) })
	}
	work(round, 0)
	wait.Wait()
	return time.Since(start).Seconds()
}

// BenchmarkHead multiplies the head of a model of 0.6 thousand million parameters with a few tokens, beside reading as much from memory.
func BenchmarkHead(b *testing.B) {
	const vocab, hidden, pieces = 151936, 1024, 32 // each has left the caches when its turn comes again
	for _, kind := range Types() {
		m := random(b, kind, vocab, hidden, 1)
		for _, tokens := range []int{1, 4, 8} {
			x, codes := tokensOf(b, m, tokens, 2)
			dst := make([]float32, tokens*vocab)
			for threads := 1; threads <= 2; threads++ {
				b.Run(fmt.Sprintf("%v/tokens=%d/threads=%d", kind, tokens, threads), func(b *testing.B) {
					const piece = vocab / pieces / 2
					from := func(round, thread int) int { return (2*(round%pieces) + thread) * piece }
					for b.Loop() {
						rate, probe := rates(threads, float64(piece*m.pitch), float64(piece*m.pitch), func(round, thread int) {
							at := from(round, thread)
							check(b, m.Mul(dst, x, codes, at, at+piece))
						}, func(round, thread int) {
							packed.ProbeRead(m.data[from(round+pieces/2, thread)*m.pitch:][:piece*m.pitch])
						})
						report(b, rate, probe, "GB/s")
					}
				})
			}
		}
	}
}

// BenchmarkPrompt multiplies a linear with a prompt, beside multiply-adds on registers.
func BenchmarkPrompt(b *testing.B) {
	const out, in, tokens, turns = 1024, 1024, 128, 1 << 18
	for _, kind := range Types() {
		m := random(b, kind, out, in, 1)
		x, codes := tokensOf(b, m, tokens, 2)
		dst := make([]float32, tokens*out)
		for threads := 1; threads <= 2; threads++ {
			b.Run(fmt.Sprintf("%v/threads=%d", kind, threads), func(b *testing.B) {
				share := out / threads
				for b.Loop() {
					rate, probe := rates(threads, float64(tokens*share*in), float64(ProbePeak(1)*turns), func(_, thread int) {
						check(b, m.Mul(dst, x, codes, thread*share, (thread+1)*share))
					}, func(_, _ int) { ProbePeak(turns) })
					report(b, rate, probe, "GMAC/s")
				}
			})
		}
	}
}

// BenchmarkCodes is how long the codes of a token take.
func BenchmarkCodes(b *testing.B) {
	m := random(b, gguf.Q8_0, 1, 1024, 1)
	x, codes := tokensOf(b, m, 1, 2)
	for b.Loop() {
		check(b, codes.Set(0, x))
	}
}

// report notes a rate beside that of its probe, and what share it is.
func report(b *testing.B, got, probe float64, unit string) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(got/1e9, unit)
	b.ReportMetric(probe/1e9, "probe-"+unit)
	b.ReportMetric(100*got/probe, "%probe")
}
