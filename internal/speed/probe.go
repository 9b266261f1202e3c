package speed

import (
	"math"
	"sync"
	"time"

	"github.com/bitdistill/bitdistill/bitnet/packed"
)

// Rates are what a machine can do at most with some threads.
type Rates struct {
	Threads  int     `json:"threads"`
	Read     float64 `json:"read"`     // bytes from memory a second
	Products float64 `json:"products"` // of int8, with the kernel of the ternary products, a second
}

const (
	probedBytes = 256 << 20 // larger than the last cache of the processors this is likely to run on
	probedTurns = 1 << 18   // take about a millisecond
	probeTime   = 80 * time.Millisecond
)

// Probe measures both, for each number of threads: the best of many rounds, since whatever else runs only makes them slower. It takes a
// buffer of 256 MiB, and about a fifth of a second for each.
func Probe(threads ...int) ([]Rates, error) {
	if _, err := packed.Kernel(); err != nil {
		return nil, err
	}
	buffer := make([]byte, probedBytes)
	for i := 0; i < len(buffer); i += 1 << 10 { // pages that are all zero may be a single one
		buffer[i] = byte(i >> 10)
	}
	var all []Rates
	for _, n := range threads {
		r := Rates{Threads: n}
		part := len(buffer) / n
		r.Read = fastest(n, float64(n*part), func(thread int) { packed.ProbeRead(buffer[thread*part:][:part]) })
		r.Products = fastest(n, float64(n)*float64(probedTurns*packed.ProbePeak(1)), func(int) { packed.ProbePeak(probedTurns) })
		all = append(all, r)
	}
	return all, nil
}

// fastest is the best rate of rounds of work on threads, all of which do units together.
func fastest(threads int, units float64, work func(thread int)) float64 {
	best := math.Inf(1)
	for start, round := time.Now(), 0; round < 3 || time.Since(start) < probeTime; round++ {
		var wait sync.WaitGroup
		began := time.Now()
		for i := 1; i < threads; i++ {
			wait.Go(func() { work(i) })
		}
		work(0)
		wait.Wait()
		best = min(best, time.Since(began).Seconds())
	}
	return units / best
}
