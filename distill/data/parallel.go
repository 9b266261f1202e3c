package data

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// parallel calls work(0) … work(n-1) on all processors and returns when all are done. Work i writes only what
// belongs to i, so the result does not depend on the order.
func parallel(n int, work func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				work(i)
			}
		})
	}
	wg.Wait()
}
