package eval

import (
	"context"
	"sync"

	"github.com/bitdistill/bitdistill/bitnet/infer"
)

// besideBytes bounds the keys and values of texts that are computed side by side. Where they are long, fewer have more threads each.
const besideBytes = 1 << 30

// rows calls row for each of n texts, in a sequence with room for the longest: on as many goroutines as the model has threads, each with
// passes of its own. Texts are begun in their order, and none behind one that has failed, so that the error is that of the first at fault.
func (p Packed) rows(ctx context.Context, n, longest int, row func(s *infer.Sequence, i int) error) error {
	if err := checkLength(p.Model.Config, longest); err != nil {
		return err
	}
	sequences, done, err := p.sequences(n, longest)
	defer done()
	if err != nil {
		return err
	}
	texts := &queue{n: n, progress: p.Progress}
	var workers sync.WaitGroup
	for _, s := range sequences {
		workers.Go(func() {
			for i, ok := texts.next(); ok; i, ok = texts.next() {
				err := context.Cause(ctx)
				if err == nil {
					err = row(s, i)
				}
				texts.end(i, err)
			}
		})
	}
	workers.Wait()
	return texts.err
}

// sequences are those for up to n texts side by side, each of a model that shares the threads. done closes these models.
func (p Packed) sequences(n, longest int) (all []*infer.Sequence, done func(), err error) {
	threads := p.Model.Threads()
	count := max(1, min(n, threads, int(besideBytes/max(1, p.Model.SequenceBytes(longest)))))
	var models []*infer.Model
	done = func() {
		for _, m := range models {
			m.Close()
		}
	}
	for i := range count {
		m := p.Model
		if count > 1 {
			if m, err = m.Beside((threads + i) / count); err != nil {
				return nil, done, err
			}
			models = append(models, m)
		}
		s, err := m.NewSequence(longest)
		if err != nil {
			return nil, done, err
		}
		all = append(all, s)
	}
	return all, done, nil
}

// queue gives out texts and takes their errors.
type queue struct {
	sync.Mutex
	n, begun, ended int
	failed          int   // the text with the error
	err             error // of the first that has failed
	progress        func(done, total int)
}

func (q *queue) next() (i int, ok bool) {
	q.Lock()
	defer q.Unlock()
	if q.err != nil || q.begun == q.n {
		return 0, false
	}
	q.begun++
	return q.begun - 1, true
}

func (q *queue) end(i int, err error) {
	q.Lock()
	defer q.Unlock()
	if err != nil {
		if q.err == nil || i < q.failed {
			q.failed, q.err = i, err
		}
		return
	}
	if q.ended++; q.progress != nil {
		q.progress(q.ended, q.n)
	}
}
