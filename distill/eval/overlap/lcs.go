package overlap

import (
	"math"
	"math/bits"
	"slices"
)

// sequence is a list of words made ready for longest common subsequences with others.
//
// The table L(i, j), the length of the longest common subsequence of the first i words of the other list and the first j of
// this one, is kept by rows of bits: bit j is 0 where L(i, j+1) = L(i, j) + 1. A row follows from the one before by one
// addition (Hyyrö, Bit-Parallel LCS-length Computation Revisited, AWOCA 2004), 64 cells at a time.
type sequence struct {
	words []int32
	masks map[int32][]maskWord // where each word stands, in ascending order
}

// maskWord is 64 bits of a mask; those that are all 0 are left out, so that all masks together are as long as the list.
type maskWord struct {
	at   int
	bits uint64
}

func newSequence(words []int32) *sequence {
	s := &sequence{words: words, masks: map[int32][]maskWord{}}
	for i, w := range words {
		mask := s.masks[w]
		if len(mask) == 0 || mask[len(mask)-1].at != i/64 {
			mask = append(mask, maskWord{at: i / 64})
		}
		mask[len(mask)-1].bits |= 1 << (i % 64)
		s.masks[w] = mask
	}
	return s
}

// firstRow is the row of no words: all bits are 1.
func (s *sequence) firstRow() []uint64 {
	row := make([]uint64, (len(s.words)+63)/64)
	for i := range row {
		row[i] = math.MaxUint64
	}
	return row
}

// next computes the row behind a word. It may be written over the one before.
func (s *sequence) next(row, before []uint64, word int32) {
	mask := s.masks[word]
	var carry uint64
	for i, v := range before {
		var m uint64
		if len(mask) > 0 && mask[0].at == i {
			m, mask = mask[0].bits, mask[1:]
		}
		var sum uint64
		sum, carry = bits.Add64(v, v&m, carry)
		row[i] = sum | v&^m
	}
}

// prefix is L of a row at column j.
func prefix(row []uint64, j int) int {
	n := 0
	for _, v := range row[:j/64] {
		n += bits.OnesCount64(^v)
	}
	if j%64 > 0 {
		n += bits.OnesCount64(^row[j/64] << (64 - j%64))
	}
	return n
}

// common is the length of the longest common subsequence with another list.
func (s *sequence) common(other []int32) int {
	row := s.firstRow()
	for _, w := range other {
		s.next(row, row, w)
	}
	return prefix(row, len(s.words))
}

// mark marks the words of another list that are in the longest common subsequence. Of several it is the one that
// rouge-score reads from its table: from the end on, take a match, else drop a word of other if that costs nothing, else
// one of s. Rows are kept for every k-th word and computed again in between, so that memory grows with the square root of
// other's length.
func (s *sequence) mark(other []int32, marked []bool) {
	k := int(math.Sqrt(float64(len(other)))) + 1
	var kept [][]uint64
	row := s.firstRow()
	for i, w := range other {
		if i%k == 0 {
			kept = append(kept, slices.Clone(row))
		}
		s.next(row, row, w)
	}
	j := len(s.words)
	for b := len(kept) - 1; b >= 0 && j > 0; b-- {
		first := b * k
		rows := [][]uint64{kept[b]}
		for _, w := range other[first:min(first+k, len(other))] {
			next := make([]uint64, len(row))
			s.next(next, rows[len(rows)-1], w)
			rows = append(rows, next)
		}
		j = s.markRows(rows, other[first:first+len(rows)-1], marked[first:], j)
	}
}

// markRows walks back through some rows, of which the first is the one before words[0], from the last row at column j. It
// returns the column at which it leaves the first row.
func (s *sequence) markRows(rows [][]uint64, words []int32, marked []bool, j int) int {
	for i := len(words); i > 0 && j > 0; i-- {
		above := prefix(rows[i-1], j)
		here := prefix(rows[i], j)
		for j > 0 && words[i-1] != s.words[j-1] && above < here {
			// To the left. A mismatch that costs nothing upwards ends the walk in this row.
			j--
			above -= zero(rows[i-1], j)
			here -= zero(rows[i], j)
		}
		if j > 0 && words[i-1] == s.words[j-1] {
			marked[i-1] = true
			j--
		}
	}
	return j
}

// zero is 1 where bit j is 0.
func zero(row []uint64, j int) int { return int(^row[j/64] >> (j % 64) & 1) }
