package packed

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// inMemory is larger than the last cache of any processor that this is likely to run on.
const inMemory = 256 << 20

// rate runs work side by side on some threads and returns how many of its units a second all of them do: the best of several rounds, since what
// else runs on a machine only makes it slower.
func rate(b *testing.B, threads int, units float64, work func(thread int)) float64 {
	var best time.Duration
	for range 5 {
		var wait sync.WaitGroup
		start := time.Now()
		for i := range threads {
			wait.Go(func() { work(i) })
		}
		wait.Wait()
		if took := time.Since(start); best == 0 || took < best {
			best = took
		}
	}
	return float64(threads) * units / best.Seconds()
}

func benchKernels(b *testing.B, bench func(b *testing.B, threads int)) {
	for _, k := range supported() {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%v/threads=%d", k, threads), func(b *testing.B) {
				force(b, k)
				bench(b, threads)
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// BenchmarkGEMV multiplies matrices in memory with one token, beside reading as much.
func BenchmarkGEMV(b *testing.B) {
	const in = 2048
	out := inMemory / 2 * 4 / in
	panels := make([]byte, must(PanelBytes(out, in)))
	for i := range panels {
		panels[i] = zeroCodes
	}
	m := must(FromPanels(panels, out, in, AbsMean, []float32{1}))
	a, dst := someActivations(in, 1), make([]float32, out)
	benchKernels(b, func(b *testing.B, threads int) {
		share := m.Panels() / threads
		size := len(panels) / threads
		for b.Loop() {
			read := rate(b, threads, float64(size), func(i int) { ProbeRead(panels[i*size : (i+1)*size]) })
			gemv := rate(b, threads, float64(size), func(i int) {
				check(b, m.Mul(dst, a, Span{i * share, (i + 1) * share}, Span{0, 1}))
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
	benchKernels(b, func(b *testing.B, threads int) {
		share := m.Panels() / threads
		rounds, turns := 8, 1<<20
		if active == scalar {
			rounds = 1
		}
		for b.Loop() {
			peak := rate(b, threads, float64(turns*ProbePeak(1)), func(int) { ProbePeak(turns) })
			gemm := rate(b, threads, float64(rounds*tokens*out*in/threads), func(i int) {
				for range rounds {
					check(b, m.Mul(dst, a, Span{i * share, (i + 1) * share}, Span{0, tokens}))
				}
			})
			report(b, gemm, peak, "GMAC/s")
		}
	})
}

// BenchmarkTokens is the speed of a product with few tokens, as sequences side by side have them.
func BenchmarkTokens(b *testing.B) {
	const out, in = 1024, 1024
	r := rand.New(rand.NewPCG(1, 1))
	e := random(r, out, in, 1, AbsMean)
	m, _ := e.operands(b)
	for _, tokens := range []int{1, 2, 3, 4, 5, 6, 8, 12} {
		a, dst := someActivations(in, tokens), make([]float32, tokens*out)
		b.Run(fmt.Sprint(tokens), func(b *testing.B) {
			for b.Loop() {
				check(b, m.Mul(dst, a, Span{0, m.Panels()}, Span{0, tokens}))
			}
			b.ReportMetric(float64(b.N*tokens*out*in)/b.Elapsed().Seconds()/1e9, "GMAC/s")
		})
	}
}

func BenchmarkQuantizeActivations(b *testing.B) {
	const in = 1024
	x := make([]float32, in)
	for i := range x {
		x[i] = float32(i%17) - 8
	}
	a := must(NewActivations(in, 1))
	benchKernels(b, func(b *testing.B, threads int) {
		for b.Loop() {
			check(b, a.Quantize(x, 0))
		}
		b.ReportMetric(float64(b.N*in)/b.Elapsed().Seconds()/1e9, "Gvalues/s")
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
