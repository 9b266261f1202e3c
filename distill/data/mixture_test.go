package data

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestShares(t *testing.T) {
	for _, c := range []struct {
		weights []float64
		want    []int
	}{
		{[]float64{1}, []int{1000}},
		{[]float64{1, 1, 1}, []int{334, 333, 333}},
		{[]float64{70, 20, 10}, []int{700, 200, 100}},
		{[]float64{0.5, 0.25, 0.25}, []int{500, 250, 250}},
		{[]float64{2, 1}, []int{667, 333}},
		{[]float64{999.4, 0.6}, []int{999, 1}},
		{slices.Repeat([]float64{1}, 1000), slices.Repeat([]int{1}, 1000)},
	} {
		got, err := Shares(c.weights)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, %v; want %v", c.weights, got, err, c.want)
		}
	}
	for _, weights := range [][]float64{nil, {0}, {1, -1}, {1, 0.0001}, slices.Repeat([]float64{1}, 1001)} {
		if got, err := Shares(weights); err == nil || !strings.Contains(err.Error(), "weight") {
			t.Errorf("%v: %v, %v", weights, got, err)
		}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		weights := make([]float64, 1+rng.IntN(400))
		for i := range weights {
			weights[i] = 1 + rng.Float64()
		}
		shares, err := Shares(weights)
		check(t, err)
		sum := 0
		for _, s := range shares {
			sum += s
		}
		if sum != 1000 || slices.Min(shares) < 1 {
			t.Fatalf("%v", shares)
		}
	}
}

// numbered is a corpus whose windows begin with the corpus' number and that of the window.
func numbered(t *testing.T, number, windows int) *Corpus {
	t.Helper()
	m := &memoryTokens{}
	for i := range windows {
		m.ids = append(m.ids, int32(number), int32(i), 0)
	}
	c := &Corpus{Length: 3, Counts: CorpusCounts{Tokens: m.size()}, tokens: m}
	check(t, c.pack(CorpusOptions{}))
	return c
}

// In every block of 1000 windows each corpus has its share, and each corpus serves all its windows once before it begins
// again.
func TestMixtureShares(t *testing.T) {
	sizes, shares := []int{700, 4000, 90}, []int{500, 300, 200}
	var corpora []*Corpus
	for i, n := range sizes {
		corpora = append(corpora, numbered(t, i, n))
	}
	m, err := NewMixture(corpora, shares, 8, 3)
	check(t, err)
	var stream [][2]int32
	for step := range 2000 { // 16 blocks
		b := m.Batch(step)
		check(t, b.Err)
		for row := range b.Rows {
			stream = append(stream, [2]int32{b.IDs[row*3], b.IDs[row*3+1]})
		}
	}
	seen := make([]map[int32]int, len(sizes))
	for i := range seen {
		seen[i] = map[int32]int{}
	}
	for block := range slices.Chunk(stream, 1000) {
		counts := make([]int, len(sizes))
		for _, w := range block {
			counts[w[0]]++
			seen[w[0]][w[1]]++
		}
		if !slices.Equal(counts, shares) {
			t.Fatalf("a block has %v, want %v", counts, shares)
		}
	}
	for i, n := range sizes {
		served := 16 * shares[i]
		for w := range n {
			if got := seen[i][int32(w)]; got != served/n && got != served/n+1 {
				t.Errorf("corpus %d: window %d was served %d times; %d windows of %d were", i, w, got, served, n)
			}
		}
	}
	if slices.Equal(stream[:1000], stream[1000:2000]) {
		t.Error("two blocks have one order")
	}
	if got, want := m.Epoch(479), 479*8/4790.0; got != want {
		t.Errorf("epoch %g, want %g", got, want)
	}
	for n, want := range map[int64]int64{0: 0, 1: 300, 1000: 300, 1001: 600} {
		if got := Needed(300, n); got != want {
			t.Errorf("%d windows need %d, want %d", n, got, want)
		}
	}
}

// A run that stops at any step inside a mixture of three corpora - two stored, one read - and is begun anew from the same
// files gets the same token bytes in the same order as one that was not stopped.
func TestMixtureResumes(t *testing.T) {
	smallParts(t, 20_000, 50_000)
	one, two, three := mixedFiles(t, 11), mixedFiles(t, 12), mixedFiles(t, 13)
	dirs := []string{tokenizeAll(t, one, 1), tokenizeAll(t, two, 2)}
	open := func(rows int, seed uint64, packing Packing) *Mixture {
		o := CorpusOptions{Length: 40, Packing: packing}
		var corpora []*Corpus
		for _, dir := range dirs {
			stored, err := OpenTokenized(dir, bytesA)
			check(t, err)
			t.Cleanup(func() { stored.Close() })
			c, err := OpenCorpus(t.Context(), []CorpusInput{{Tokenized: stored}}, byteTokenizer{}, o)
			check(t, err)
			corpora = append(corpora, c)
		}
		corpora = append(corpora, readCorpus(t, o, byteTokenizer{}, three...))
		shares, err := Shares([]float64{5, 3, 1.5})
		check(t, err)
		m, err := NewMixture(corpora, shares, rows, seed)
		check(t, err)
		return m
	}
	tokens := func(m *Mixture, from, to int) []byte {
		var all bytes.Buffer
		for step := from; step < to; step++ {
			b := m.Batch(step)
			check(t, b.Err)
			check(t, binary.Write(&all, binary.LittleEndian, b.IDs))
			check(t, binary.Write(&all, binary.LittleEndian, b.Mask))
		}
		return all.Bytes()
	}
	rng := rand.New(rand.NewPCG(99, 1))
	for _, packing := range []Packing{Concat, Documents} {
		const steps = 900 // some thousand windows, several epochs of each corpus
		whole := open(6, 4, packing)
		want := tokens(whole, 0, steps)
		if bytes.Equal(want, tokens(open(6, 5, packing), 0, steps)) {
			t.Error("another seed gives the same order")
		}
		for range 4 {
			stop := 1 + rng.IntN(steps-1)
			first, second := open(6, 4, packing), open(6, 4, packing)
			if first.Fingerprint() != whole.Fingerprint() {
				t.Error("the fingerprint has changed")
			}
			if got := append(tokens(first, 0, stop), tokens(second, stop, steps)...); !bytes.Equal(got, want) {
				t.Errorf("%s: stopped at %d, the tokens differ", packing, stop)
			}
		}
		// How windows are cut into micro-batches does not change their order.
		halves, thirds := tokens(open(3, 4, packing), 0, 2*steps), tokens(open(2, 4, packing), 0, 3*steps)
		if len(halves) != len(want) || len(thirds) != len(want) {
			t.Error("micro-batches have other sizes")
		}
		if ids := func(b *Batch) string { return fmt.Sprint(b.IDs) }; ids(open(6, 4, packing).Batch(7)) !=
			strings.Replace(ids(open(3, 4, packing).Batch(14))+ids(open(3, 4, packing).Batch(15)), "][", " ", 1) {
			t.Error("two batches of three windows are not one of six")
		}
	}
}

func TestMixtureRefuses(t *testing.T) {
	c := numbered(t, 0, 5)
	for _, x := range []struct {
		corpora []*Corpus
		shares  []int
		rows    int
		part    string
	}{
		{nil, nil, 1, "0 corpora"},
		{[]*Corpus{c}, []int{1000}, 0, "batch size: 0"},
		{[]*Corpus{c}, []int{999}, 1, "come to 999"},
		{[]*Corpus{c, c}, []int{1000}, 1, "1 shares"},
		{[]*Corpus{c, c}, []int{1000, 0}, 1, "share of 0"},
		{[]*Corpus{c, counted(t, 80, 8)}, []int{500, 500}, 1, "windows of 8"},
	} {
		_, err := NewMixture(x.corpora, x.shares, x.rows, 1)
		wantError(t, err, x.part)
	}
}
