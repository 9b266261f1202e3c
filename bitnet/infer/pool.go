package infer

import (
	"runtime"
	"sync/atomic"
)

// task is a piece of work in parts, which workers compute in any order: worker counts from 0.
type task func(worker, part int)

// pool are goroutines that stay, since starting one for each product would cost more than small products do. A helper that has nothing
// to do looks for a task for about a tenth of a millisecond, for the next product is near, and then sleeps.
type pool struct {
	helpers  []helper
	epoch    atomic.Uint32 // of the task that is there; counted up for each
	next     atomic.Int64  // part
	busy     atomic.Int32  // helpers
	stopping atomic.Bool

	task  task
	parts int
}

type helper struct {
	asleep atomic.Bool
	wake   chan struct{}
}

const (
	looks      = 40000 // for a task, before a helper sleeps
	breath     = 128   // looks between two at which another goroutine may run
	enoughWork = 1e4   // nanoseconds for which a second worker pays
)

func newPool(workers int) *pool {
	p := &pool{helpers: make([]helper, workers-1)}
	for i := range p.helpers {
		p.helpers[i].wake = make(chan struct{}, 1)
		go p.help(i)
	}
	return p
}

func (p *pool) workers() int { return len(p.helpers) + 1 }

// run computes all parts of a task, the caller's goroutine with the others; work is about how many nanoseconds they take in all. One task
// at a time.
func (p *pool) run(t task, parts int, work float64) {
	if len(p.helpers) == 0 || parts == 1 || work < enoughWork {
		for part := range parts {
			t(0, part)
		}
		return
	}
	p.task, p.parts = t, parts
	p.next.Store(0)
	p.start()
	p.compute(0)
	for i := 0; p.busy.Load() > 0; i++ {
		if i%breath == breath-1 {
			runtime.Gosched()
		}
	}
}

// start has all helpers look at what there is.
func (p *pool) start() {
	p.busy.Store(int32(len(p.helpers)))
	p.epoch.Add(1)
	for i := range p.helpers {
		if h := &p.helpers[i]; h.asleep.CompareAndSwap(true, false) {
			h.wake <- struct{}{}
		}
	}
}

func (p *pool) compute(worker int) {
	for {
		part := int(p.next.Add(1)) - 1
		if part >= p.parts {
			return
		}
		p.task(worker, part)
	}
}

func (p *pool) help(i int) {
	for seen := uint32(0); ; {
		p.await(&p.helpers[i], seen)
		seen = p.epoch.Load() // the next one comes only when this one has done with it
		if p.stopping.Load() {
			p.busy.Add(-1)
			return
		}
		p.compute(i + 1)
		p.busy.Add(-1)
	}
}

// await returns when there is another epoch than the one that was seen.
func (p *pool) await(h *helper, seen uint32) {
	for i := range looks {
		if p.epoch.Load() != seen {
			return
		}
		if i%breath == breath-1 {
			runtime.Gosched()
		}
	}
	h.asleep.Store(true)
	if p.epoch.Load() != seen && h.asleep.CompareAndSwap(true, false) {
		return // nobody saw that this helper was about to sleep
	}
	<-h.wake
}

// stop ends the helpers.
func (p *pool) stop() {
	p.stopping.Store(true)
	p.start()
}
