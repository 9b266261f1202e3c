package data

import (
	"fmt"
	"math"
	"sort"
	"strings"
)

// mixtureBlock is the number of windows in which every corpus of a mixture has exactly its share.
const mixtureBlock = 1000

// Mixture serves windows of several corpora, each with a share of the windows, all shuffled. Of every 1000 windows that
// follow one another from a multiple of 1000 on, a corpus has the same number, in an order of their own; a corpus that is
// through begins again, in another order. Which window comes at which place is computed from the place.
type Mixture struct {
	parts  []*Packed
	shares []int // of mixtureBlock
	begins []int // of each part's slots in a block
	rows   int
	seed   uint64
	stream stream // orders of the slots, by block
	total  int    // windows of all parts
}

// NewMixture makes a source of batches of rows windows from corpora of one length. Shares are those of [Shares].
func NewMixture(corpora []*Corpus, shares []int, rows int, seed uint64) (*Mixture, error) {
	if rows < 1 {
		return nil, fmt.Errorf("batch size: %d, want at least 1", rows)
	}
	if len(corpora) == 0 || len(shares) != len(corpora) {
		return nil, fmt.Errorf("mixture: %d corpora and %d shares", len(corpora), len(shares))
	}
	m := &Mixture{shares: shares, rows: rows, seed: seed}
	slots := 0
	for i, c := range corpora {
		if shares[i] < 1 || c.Length != corpora[0].Length {
			return nil, fmt.Errorf("mixture: corpus %d: a share of %d and windows of %d tokens; want at least 1, and %d as the first has", i+1, shares[i], c.Length, corpora[0].Length)
		}
		p, err := NewPacked(c, rows, mix(seed+uint64(i+1)))
		if err != nil {
			return nil, err
		}
		m.parts = append(m.parts, p)
		m.begins = append(m.begins, slots)
		slots += shares[i]
		m.total += c.Len()
	}
	if slots != mixtureBlock {
		return nil, fmt.Errorf("mixture: the shares come to %d, want %d", slots, mixtureBlock)
	}
	m.stream = stream{n: mixtureBlock, order: func(block int) []int32 {
		order, _ := shuffled(mixtureBlock, seed, block)
		return order
	}}
	return m, nil
}

// Shares turns weights into whole thousandths that come to 1000, none of them 0, by the largest remainders. A weight
// below half a thousandth of all is refused.
func Shares(weights []float64) ([]int, error) {
	if len(weights) == 0 || len(weights) > mixtureBlock {
		return nil, fmt.Errorf("weights: %d of them, want 1 to %d", len(weights), mixtureBlock)
	}
	sum := 0.0
	for i, w := range weights {
		if !(w > 0) || math.IsInf(w, 0) {
			return nil, fmt.Errorf("weight %d: %g, want a positive number", i+1, w)
		}
		sum += w
	}
	shares, given := make([]int, len(weights)), 0
	rests := make([]float64, len(weights))
	for i, w := range weights {
		exact := w / sum * mixtureBlock
		if !(exact >= 0.5) {
			return nil, fmt.Errorf("weight %d: %g of %g in all is less than half a thousandth; raise it, or leave that corpus out", i+1, w, sum)
		}
		shares[i] = max(1, int(exact))
		rests[i] = exact - float64(shares[i])
		given += shares[i]
	}
	order := make([]int, len(weights))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return rests[order[a]] > rests[order[b]] })
	for i := 0; given < mixtureBlock; i++ {
		shares[order[i%len(order)]]++
		given++
	}
	for i := len(order) - 1; given > mixtureBlock; i = (i + len(order) - 1) % len(order) { // shares that were raised to 1
		if shares[order[i]] > 1 {
			shares[order[i]]--
			given--
		}
	}
	return shares, nil
}

// Needed is the number of windows of a part with a share that the first n windows of a mixture take at most.
func Needed(share int, n int64) int64 {
	return (n + mixtureBlock - 1) / mixtureBlock * int64(share)
}

// window is number at of the mixture's endless stream.
func (m *Mixture) window(at int64) ([]int32, error) {
	block := at / mixtureBlock
	slot := int(m.stream.epoch(int(block))[at%mixtureBlock])
	part := sort.SearchInts(m.begins, slot+1) - 1
	return m.parts[part].window(block*int64(m.shares[part]) + int64(slot-m.begins[part]))
}

// Batch is [rows, Corpus.Length].
func (m *Mixture) Batch(step int) *Batch {
	return packedBatch(m.parts[0].corpus, m.rows, int64(step)*int64(m.rows), m.window)
}

// Lengths is the one length of all batches.
func (m *Mixture) Lengths() []int { return m.parts[0].Lengths() }

// Epoch is the number of windows before a step in terms of those that all corpora have together.
func (m *Mixture) Epoch(step int) float64 {
	return float64(step) * float64(m.rows) / float64(m.total)
}

// Fill is the share of a batch's positions that hold tokens, on average.
func (m *Mixture) Fill() float64 {
	fill := 0.0
	for i, p := range m.parts {
		fill += p.Fill() * float64(m.shares[i]) / mixtureBlock
	}
	return fill
}

// Fingerprint is a hash of each corpus, with what decides the order of the windows.
func (m *Mixture) Fingerprint() string {
	var b strings.Builder
	fmt.Fprintf(&b, "mixture seed=%d", m.seed)
	for i, p := range m.parts {
		fmt.Fprintf(&b, " %d of %s", m.shares[i], p.Fingerprint())
	}
	return b.String()
}
