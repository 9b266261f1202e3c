package data

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
)

// Source serves training batches by number. Batch is a pure function of the data, the options it was made with and
// the step: no order of calls changes it, and it may be called from several goroutines. Steps begin at 0 and never end.
// What fails while data are read from disk is the batch's Err.
// With accumulation, a step here is a micro-batch.
type Source interface {
	Batch(step int) *Batch
	Lengths() []int         // the lengths that batches come in, ascending
	Epoch(step int) float64 // passes over the data before that step
	Fingerprint() string    // hash of the data and of what decides their order
}

var (
	_ Source = (*Training)(nil)
	_ Source = (*Packed)(nil)
	_ Source = (*Mixture)(nil)
)

// stream is the endless concatenation of epochs, each a permutation of n items. The orders of the last epochs asked
// for are kept, which saves time and changes nothing.
type stream struct {
	n     int
	order func(epoch int) []int32

	mu    sync.Mutex
	known []epochOrder // most recent first
}

type epochOrder struct {
	epoch int
	order []int32
}

// slice is the items [start, start+count) of the stream.
func (s *stream) slice(start, count int) []int32 {
	items := make([]int32, 0, count)
	for len(items) < count {
		epoch, offset := start/s.n, start%s.n
		order := s.epoch(epoch)
		part := order[offset:min(s.n, offset+count-len(items))]
		items = append(items, part...)
		start += len(part)
	}
	return items
}

func (s *stream) epoch(epoch int) []int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.known {
		if k.epoch == epoch {
			return k.order
		}
	}
	k := epochOrder{epoch, s.order(epoch)}
	s.known = append([]epochOrder{k}, s.known[:min(len(s.known), 1)]...) // two: a batch may lie across an epoch's end
	return k.order
}

// shuffled is a permutation of n items, decided by seed and epoch, and the generator to draw further from.
func shuffled(n int, seed uint64, epoch int) ([]int32, *rand.Rand) {
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	rng := rand.New(rand.NewPCG(seed, uint64(epoch)))
	rng.Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order, rng
}

// TrainingOptions decide the batches of a task.
type TrainingOptions struct {
	Rows    int    // sequences in a batch
	Run     int    // batches that belong together, and are of like lengths: they may be computed side by side; 0 is 1
	Buckets int    // number of lengths that batches are padded to; 0 is 4
	Group   int    // runs among which rows are sorted by length; 0 is 8, 1 does not sort
	Seed    uint64 // decides the order, with Rows*Run
}

func (o *TrainingOptions) resolve() error {
	var faults []error
	if o.Rows < 1 {
		faults = append(faults, fmt.Errorf("batch size: %d, want at least 1", o.Rows))
	}
	if o.Buckets < 0 {
		faults = append(faults, fmt.Errorf("buckets: %d is negative", o.Buckets))
	}
	if o.Group < 0 {
		faults = append(faults, fmt.Errorf("group: %d is negative", o.Group))
	}
	if o.Run < 0 {
		faults = append(faults, fmt.Errorf("run: %d is negative", o.Run))
	}
	o.Buckets, o.Group, o.Run = cmp.Or(o.Buckets, 4), cmp.Or(o.Group, 8), cmp.Or(o.Run, 1)
	return errors.Join(faults...)
}

// Training serves examples with their right answers, shuffled anew each epoch.
type Training struct {
	examples *Examples
	options  TrainingOptions
	lengths  []int
	stream   stream
}

// NewTraining makes the training source of a task. Each epoch, every example occurs exactly once, whatever the batch
// size: an epoch's last run of batches is filled up with the first rows of the next. Within groups of runs the rows are
// sorted by length and the runs shuffled, so that little is padding; each batch has one of a few lengths.
func NewTraining(e *Examples, o TrainingOptions) (*Training, error) {
	if err := o.resolve(); err != nil {
		return nil, err
	}
	t := &Training{examples: e, options: o, lengths: lengths(e.Longest(), e.limit, o.Buckets)}
	t.stream = stream{n: e.Len(), order: t.order}
	return t, nil
}

// order is the rows of an epoch in the order in which they are seen.
func (t *Training) order(epoch int) []int32 {
	n, rows := t.stream.n, t.options.Rows*t.options.Run
	order, rng := shuffled(n, t.options.Seed, epoch)
	// The first rows fill the previous epoch's last run; the runs that begin in this epoch come after them.
	head := min(n, (rows-(epoch%rows)*(n%rows)%rows)%rows)
	whole := order[head : head+(n-head)/rows*rows]
	for group := range slices.Chunk(whole, max(rows*t.options.Group, 1)) {
		if t.options.Group > 1 {
			t.byLength(group, rng)
		}
	}
	return order
}

// byLength sorts rows by their length, cuts them into runs of batches and shuffles the runs.
func (t *Training) byLength(group []int32, rng *rand.Rand) {
	slices.SortStableFunc(group, func(a, b int32) int {
		return cmp.Compare(t.length(a), t.length(b))
	})
	rows := t.options.Rows * t.options.Run
	sorted := slices.Clone(group)
	for to, from := range rng.Perm(len(group) / rows) {
		copy(group[to*rows:], sorted[from*rows:(from+1)*rows])
	}
}

// length is the tokens of an example with its right answer.
func (t *Training) length(i int32) int {
	return len(t.examples.Prompt(int(i))) + len(t.examples.Answer(int(i)))
}

// Batch is [Rows, one of Lengths()], with the right answers as labels.
func (t *Training) Batch(step int) *Batch {
	items := t.stream.slice(step*t.options.Rows, t.options.Rows)
	longest := 0
	for _, i := range items {
		longest = max(longest, t.length(i))
	}
	b := newBatch(len(items), padTo(t.lengths, longest), t.examples.pad)
	b.answerWidth = t.examples.width
	for row, i := range items {
		b.set(row, t.examples.Prompt(int(i)), t.examples.Answer(int(i)))
	}
	return b
}

// Lengths are the lengths that batches come in, ascending.
func (t *Training) Lengths() []int { return slices.Clone(t.lengths) }

// Epoch is the number of passes over the data before a step.
func (t *Training) Epoch(step int) float64 {
	return float64(step) * float64(t.options.Rows) / float64(t.stream.n)
}

// Fingerprint is a hash of the examples, with the options that decide their order. The lengths that they are padded to are
// not among them, nor is how runs are cut into batches.
func (t *Training) Fingerprint() string {
	return fmt.Sprintf("%s rows=%d group=%d seed=%d",
		t.examples.Fingerprint(), t.options.Rows*t.options.Run, t.options.Group, t.options.Seed)
}
