package data

import (
	"fmt"
	"math/rand/v2"
)

// maxShuffled is the number of windows up to which an epoch's order is held in memory, 4 bytes each. Beyond it the place of
// a window is computed. Tests lower it.
var maxShuffled = 1 << 22

// Packed serves the windows of a corpus, shuffled anew each epoch.
type Packed struct {
	corpus *Corpus
	rows   int
	seed   uint64
	stream stream
}

// NewPacked makes the stage-2 source: batches of rows windows in which every token but each window's first is
// predicted. Each epoch, every window occurs exactly once; a batch may lie across an epoch's end.
func NewPacked(c *Corpus, rows int, seed uint64) (*Packed, error) {
	if rows < 1 {
		return nil, fmt.Errorf("batch size: %d, want at least 1", rows)
	}
	p := &Packed{corpus: c, rows: rows, seed: seed}
	p.stream = stream{n: c.Len(), order: func(epoch int) []int32 {
		order, _ := shuffled(c.Len(), seed, epoch)
		return order
	}}
	return p, nil
}

// window is number at of the endless stream of windows.
func (p *Packed) window(at int64) ([]int32, error) {
	n := int64(p.corpus.Len())
	epoch, i := at/n, at%n
	if n > int64(maxShuffled) {
		return p.corpus.Window(int(permuted(uint64(n), p.seed, uint64(epoch), uint64(i))))
	}
	return p.corpus.Window(int(p.stream.epoch(int(epoch))[i]))
}

// Batch is [rows, Corpus.Length].
func (p *Packed) Batch(step int) *Batch {
	return packedBatch(p.corpus, p.rows, int64(step)*int64(p.rows), p.window)
}

// packedBatch is the windows first, …, first+rows-1 of a stream.
func packedBatch(c *Corpus, rows int, first int64, window func(at int64) ([]int32, error)) *Batch {
	b := newBatch(rows, c.Length, c.pad)
	b.answerWidth = c.Length - 1 // also where padding leaves fewer
	for row := range rows {
		ids, err := window(first + int64(row))
		if err != nil {
			b.Err = err
			return b
		}
		b.set(row, nil, ids)
		b.Labels[row*b.Length] = NoLabel // nothing predicts the first token
	}
	return b
}

// Lengths is the one length of all batches.
func (p *Packed) Lengths() []int { return []int{p.corpus.Length} }

// Epoch is the number of passes over the corpus before a step.
func (p *Packed) Epoch(step int) float64 {
	return float64(step) * float64(p.rows) / float64(p.corpus.Len())
}

// Fill is the share of a batch's positions that hold tokens, on average.
func (p *Packed) Fill() float64 { return p.corpus.Fill() }

// Fingerprint is a hash of the corpus, with what decides the order of its windows.
func (p *Packed) Fingerprint() string {
	return fmt.Sprintf("%s seed=%d", p.corpus.Fingerprint(), p.seed)
}

// permuted is item i of a permutation of n items that seed and epoch decide, without the others: a Feistel network over
// the smallest even number of bits that holds n, followed until it falls below n ("cycle walking": Black and Rogaway,
// Ciphers with Arbitrary Finite Domains, 2002). On average that takes less than four rounds of walking.
func permuted(n, seed, epoch, i uint64) uint64 {
	half := uint(1)
	for half < 32 && uint64(1)<<(2*half) < n {
		half++
	}
	mask := uint64(1)<<half - 1
	keys := rand.NewPCG(seed, epoch)
	var round [6]uint64
	for r := range round {
		round[r] = keys.Uint64()
	}
	for {
		left, right := i>>half, i&mask
		for _, key := range round {
			left, right = right, left^(mix(right^key)&mask)
		}
		if i = left<<half | right; i < n {
			return i
		}
	}
}

// mix spreads every bit of x over all others (the finalizer of SplitMix64: Steele, Lea and Flood, 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
