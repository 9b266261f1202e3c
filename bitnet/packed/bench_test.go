package packed

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// inMemory is larger than the last cache of any processor that this is likely to run on.
const inMemory = 256 << 20

// rates compares work with a probe of the machine, both side by side on some threads. Rounds of both take turns, and the best of each counts:
// what else runs on a machine only makes them slower. Work and probe do some units each, in a millisecond or so, and are told the round.
func rates(threads int, units, probeUnits float64, work, probe func(round, thread int)) (rate, probed float64) {
	start := time.Now()
	best, bestProbe := math.Inf(1), math.Inf(1)
	for round := 0; round < 8 || round < 400 && time.Since(start) < time.Second; round++ {
		best = min(best, once(threads, round, work))
		bestProbe = min(bestProbe, once(threads, round, probe))
		if round == 0 { // caches are cold
			best, bestProbe = math.Inf(1), math.Inf(1)
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

func benchKernels(b *testing.B, mostThreads int, bench func(b *testing.B, threads int)) {
	for _, k := range supported() {
		for threads := 1; threads <= mostThreads; threads++ {
			b.Run(fmt.Sprintf("%v/threads=%d", k, threads), func(b *testing.B) {
				force(b, k)
				bench(b, threads)
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// BenchmarkGEMV multiplies a matrix in memory with one token, beside reading as much.
func BenchmarkGEMV(b *testing.B) {
	const in = 2048
	const out = inMemory * 4 / in
	panels := make([]byte, must(PanelBytes(out, in)))
	for i := range panels {
		panels[i] = zeroCodes
	}
	m := must(FromPanels(panels, out, in, AbsMean, []float32{1}))
	a, dst := someActivations(in, 1), make([]float32, out)
	benchKernels(b, 2, func(b *testing.B, threads int) {
		const pieces = 16 // so that each has left the caches when its turn comes again
		piece := m.Panels() / pieces / 2
		size := len(panels) / m.Panels()
		for b.Loop() {
			part := func(round, thread int) Span {
				from := (2*(round%pieces) + thread) * piece
				return Span{from, from + piece}
			}
			gemv, read := rates(threads, float64(piece*size), float64(piece*size), func(round, thread int) {
				check(b, m.Mul(dst, a, part(round, thread), Span{0, 1}))
			}, func(round, thread int) {
				p := part(round+pieces/2, thread)
				ProbeRead(panels[p.From*size : p.To*size])
			})
			report(b, gemv, read, "GB/s")
		}
	})
}

// BenchmarkGEMM multiplies a matrix with a prompt, beside multiply-adds on registers.
func BenchmarkGEMM(b *testing.B) {
	const out, in, tokens = 1024, 1024, 120
	r := rand.New(rand.NewPCG(1, 1))
	e := random(r, out, in, 1, AbsMean)
	m, _ := e.operands(b)
	a, dst := someActivations(in, tokens), make([]float32, tokens*out)
	benchKernels(b, 2, func(b *testing.B, threads int) {
		share := m.Panels() / threads
		const turns = 1 << 18
		for b.Loop() {
			gemm, peak := rates(threads, float64(tokens*out*in/threads), float64(turns*ProbePeak(1)), func(_, thread int) {
				check(b, m.Mul(dst, a, Span{thread * share, (thread + 1) * share}, Span{0, tokens}))
			}, func(_, _ int) { ProbePeak(turns) })
			report(b, gemm, peak, "GMAC/s")
		}
	})
}

// BenchmarkTokens is the speed of a product with few tokens, as sequences side by side have them, with the matrix in a cache.
func BenchmarkTokens(b *testing.B) {
	const out, in = 512, 1024
	r := rand.New(rand.NewPCG(1, 1))
	e := random(r, out, in, 1, AbsMean)
	m, _ := e.operands(b)
	for _, tokens := range []int{1, 2, 3, 4, 5, 6, 8, 12} {
		a, dst := someActivations(in, tokens), make([]float32, tokens*out)
		b.Run(fmt.Sprint(tokens), func(b *testing.B) {
			const turns = 1 << 16
			for b.Loop() {
				gemm, peak := rates(1, float64(tokens*out*in), float64(turns*ProbePeak(1)), func(_, _ int) {
					check(b, m.Mul(dst, a, Span{0, m.Panels()}, Span{0, tokens}))
				}, func(_, _ int) { ProbePeak(turns) })
				report(b, gemm, peak, "GMAC/s")
			}
		})
	}
}

// BenchmarkQuantize quantizes a token of values that are in a cache, beside reading them.
func BenchmarkQuantize(b *testing.B) {
	const in, times = 4096, 16
	x := make([]float32, in)
	for i := range x {
		x[i] = float32(i%17) - 8
	}
	a, bytes := must(NewActivations(in, 1)), make([]byte, 4*in)
	benchKernels(b, 1, func(b *testing.B, _ int) {
		for b.Loop() {
			quantize, read := rates(1, times*4*in, times*4*in, func(_, _ int) {
				for range times {
					check(b, a.Quantize(x, 0))
				}
			}, func(_, _ int) {
				for range times {
					ProbeRead(bytes)
				}
			})
			report(b, quantize, read, "GB/s")
		}
	})
}

func someActivations(in, tokens int) *Activations {
	a := must(NewActivations(in, tokens))
	codes := make([]int8, in)
	for t := range tokens {
		for i := range codes {
			codes[i] = int8(i*31 + t*17)
		}
		if err := a.Set(t, codes, 1); err != nil {
			panic(err)
		}
	}
	return a
}

// report notes a rate beside that of its probe, and what share it is.
func report(b *testing.B, got, probe float64, unit string) {
	b.ReportMetric(got/1e9, unit)
	b.ReportMetric(probe/1e9, "probe-"+unit)
	b.ReportMetric(100*got/probe, "%probe")
}
