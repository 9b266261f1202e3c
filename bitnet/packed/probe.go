package packed

import (
	"encoding/binary"
	"sync/atomic"
)

// ProbePeak does n turns of the multiply-adds of the kernel in use, on registers alone, and returns the number of products: what no
// product of matrices can be faster than, on one core.
func ProbePeak(n int) (products int) { return n * active.peak(n) }

// ProbeRead reads x from memory and does nothing with it: what no product with one token can be faster than, on one core, where the
// matrix is in memory.
func ProbeRead(x []byte) { active.read(x) }

// probed keeps the compiler from leaving out what a probe computes.
var probed atomic.Int64

func peakScalar(n int) (products int) {
	var a, b, c, d int32
	for i := range int32(n) {
		a, b, c, d = a+i*i, b+i*(i+1), c+i*(i+2), d+i*(i+3)
	}
	probed.Store(int64(a + b + c + d))
	return 4
}

func readScalar(x []byte) {
	var sum uint64
	for ; len(x) >= 8; x = x[8:] {
		sum += binary.LittleEndian.Uint64(x)
	}
	probed.Store(int64(sum))
}
