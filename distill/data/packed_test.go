package data

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

// counter is a corpus of any size that takes no memory: token i is i mod 251, with a document every 1000 tokens.
type counter struct{ n int64 }

func (c counter) size() int64 { return c.n }

func (c counter) read(ids []int32, at int64) error {
	if at < 0 || at+int64(len(ids)) > c.n {
		return errors.New("beyond the corpus")
	}
	for i := range ids {
		ids[i] = int32((at + int64(i)) % 251)
	}
	return nil
}

func (c counter) ends(yield func(end int64) error) error {
	for end := int64(1000); end < c.n; end += 1000 {
		if err := yield(end); err != nil {
			return err
		}
	}
	return yield(c.n)
}

func (c counter) sum(to io.Writer, first, end int64) error {
	_, err := fmt.Fprintln(to, first, end)
	return err
}

// counted is a corpus of n tokens.
func counted(t *testing.T, n int64, length int) *Corpus {
	t.Helper()
	c := &Corpus{Length: length, Counts: CorpusCounts{Tokens: n}, tokens: counter{n}}
	check(t, c.pack(CorpusOptions{}))
	return c
}

// Twelve thousand million tokens: more than 32 bits count, in tokens, in windows and in the position of a run.
func TestPackedBeyondTwelveBillionTokens(t *testing.T) {
	for _, length := range []int{2, 1024} {
		c := counted(t, 12_500_000_001, length)
		if want := int(12_500_000_001 / int64(length)); c.Len() != want || int64(want)*int64(length)+int64(c.Counts.Leftover) != 12_500_000_001 {
			t.Fatalf("%d windows, want %d, and %d tokens left over", c.Len(), want, c.Counts.Leftover)
		}
		rest, last, err := c.Split(1000)
		check(t, err)
		if rest.Len() != c.Len()-1000 || last.Counts.Tokens != int64(1000*length+c.Counts.Leftover) || rest.Fingerprint() == last.Fingerprint() {
			t.Errorf("split into %v and %v", rest.Counts, last.Counts)
		}
		if got, want := window(t, last, 999)[0], int32(int64(c.Len()-1)*int64(length)%251); got != want {
			t.Errorf("the last window begins with %d, want %d", got, want)
		}
		p, err := NewPacked(c, 512, 7)
		check(t, err)
		m, err := NewMixture([]*Corpus{c, counted(t, 5_000_000_000, length)}, []int{900, 100}, 512, 7)
		check(t, err)
		step := 12_000_000_000 / (512 * length) // the next batch holds token 12e9 of the run
		for _, s := range []Source{p, m} {
			b := s.Batch(step)
			if b.Err != nil || b.Tokens != 512*length {
				t.Fatalf("%d tokens, %v", b.Tokens, b.Err)
			}
			if e := s.Epoch(step); e < 0.6 || e > 1 {
				t.Errorf("%T: epoch %g", s, e)
			}
			high := 0
			for row := range b.Rows {
				ids := b.IDs[row*length:][:length]
				for i := range ids[1:] {
					if ids[i+1] != (ids[i]+1)%251 {
						t.Fatalf("%T: row %d is no stretch of the corpus", s, row)
					}
				}
			}
			for at := int64(step); at < int64(step)+1000; at++ {
				if i := permuted(uint64(c.Len()), 7, 0, uint64(at)); int64(i)*int64(length) > math.MaxInt32 {
					high++
				}
			}
			if high < 700 { // of 12.5e9 tokens 83 % lie beyond 2^31
				t.Errorf("%d of 1000 windows lie beyond 2^31 tokens", high)
			}
			if slices.Equal(s.Batch(step+1).IDs, b.IDs) {
				t.Errorf("%T: two steps have one batch", s)
			}
		}
	}
}

func TestPermuted(t *testing.T) {
	for _, n := range []uint64{1, 2, 3, 5, 16, 17, 1000, 4097} {
		orders := map[string]bool{}
		for epoch := range uint64(4) {
			seen := make([]bool, n)
			var order []uint64
			for i := range n {
				x := permuted(n, 9, epoch, i)
				if x >= n || seen[x] {
					t.Fatalf("n %d, epoch %d: %d at %d is there already or too large", n, epoch, x, i)
				}
				seen[x] = true
				order = append(order, x)
			}
			orders[fmt.Sprint(order)] = true
		}
		if n >= 16 && len(orders) != 4 {
			t.Errorf("n %d: %d orders in 4 epochs", n, len(orders))
		}
	}
	// Neighbours must not stay neighbours, and places must be spread evenly: chi-squared over 16 by 16 cells has 225
	// degrees of freedom, a standard deviation of 21.
	const n = 1 << 16
	near, cells := 0, [16][16]float64{}
	last := uint64(0)
	for i := range uint64(n) {
		x := permuted(n, 1, 0, i)
		if d := int64(x) - int64(last); d > -64 && d < 64 {
			near++
		}
		last = x
		cells[i*16/n][x*16/n]++
	}
	if near > 3*128 { // 128 are expected
		t.Errorf("%d of %d neighbours stay within 64", near, n)
	}
	chi := 0.0
	for _, row := range cells {
		for _, c := range row {
			chi += (c - n/256) * (c - n/256) / (n / 256)
		}
	}
	if chi > 330 {
		t.Errorf("chi-squared %.0f", chi)
	}
}

// The order that is computed serves every window once per epoch, as the one that is held does.
func TestPackedWithoutOrderInMemory(t *testing.T) {
	old := maxShuffled
	maxShuffled = 10
	t.Cleanup(func() { maxShuffled = old })
	c := counted(t, 37*8, 8)
	p, err := NewPacked(c, 3, 5)
	check(t, err)
	var starts []int32
	for step := range 37 {
		b := p.Batch(step)
		for row := range b.Rows {
			starts = append(starts, b.IDs[row*b.Length])
		}
	}
	for epoch := range 3 {
		got := slices.Sorted(slices.Values(starts[epoch*37 : (epoch+1)*37]))
		want := make([]int32, 37)
		for i := range want {
			want[i] = int32(i * 8 % 251)
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("epoch %d: %v", epoch, got)
		}
	}
}

// What cannot be read is an error of the batch, not a batch.
func TestBatchFault(t *testing.T) {
	c := counted(t, 80, 8)
	c.tokens = counter{40}
	p, err := NewPacked(c, 10, 1)
	check(t, err)
	w, err := NewWindows(c, 10)
	check(t, err)
	for _, b := range []*Batch{p.Batch(0), w.Batch(0)} {
		wantError(t, b.Err, "beyond the corpus")
	}
}

func TestDocumentPacking(t *testing.T) {
	texts := []string{"aaa", "bbbb", "cc", "ddddddddddddddddddddddd", "e", "ffffffff", "g"}
	in := InMemory("a.txt", []byte(strings.Join(texts, endOfText)))
	c := readCorpus(t, CorpusOptions{Length: 10, Packing: Documents}, byteTokenizer{}, in)
	want := []string{"^aaa$", "^bbbb$^cc$", "^ddddddddd", "dddddddddd", "dddd$^e$", "^ffffffff$", "^g$"}
	var got []string
	for i := range c.Len() {
		got = append(got, decodeBytes(window(t, c, i)))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if want := 56.0 / 70; math.Abs(c.Fill()-want) > 1e-12 || c.Counts.Leftover != 0 {
		t.Errorf("fill %g, want %g; %v", c.Fill(), want, c.Counts)
	}
	if end := readCorpus(t, CorpusOptions{Length: 10}, byteTokenizer{}, in); end.Fingerprint() == c.Fingerprint() || end.Fill() != 1 {
		t.Error("the packing does not show")
	}
	rest, last, err := c.Split(2)
	check(t, err)
	if rest.Len() != 5 || decodeBytes(window(t, last, 1)) != "^g$" || rest.Counts.Tokens+last.Counts.Tokens != c.Counts.Tokens {
		t.Errorf("%v and %v", rest.Counts, last.Counts)
	}
	p, err := NewPacked(rest, 2, 1)
	check(t, err)
	var served []string
	for step := range 5 {
		b := p.Batch(step)
		if _, _, width := b.Answers(); width != 9 {
			t.Errorf("%d answers", width)
		}
		served = append(served, rowsOf(t, b)...)
	}
	for _, epoch := range [][]string{served[:5], served[5:]} {
		if got := slices.Sorted(slices.Values(epoch)); !slices.Equal(got, slices.Sorted(slices.Values(want[:5]))) {
			t.Errorf("served %q", got)
		}
	}
	_, err = ReadCorpus(t.Context(), []File{in}, byteTokenizer{}, CorpusOptions{Length: 10, Packing: "best"})
	wantError(t, err, "packing", "best")
}

// One text, read from files, stored, and half of each: the same windows.
func TestOpenCorpusFromEverySide(t *testing.T) {
	smallParts(t, 900, 5000)
	files := mixedFiles(t, 6)
	all, err := OpenTokenized(tokenizeAll(t, files, 2), bytesA)
	check(t, err)
	defer all.Close()
	half, err := OpenTokenized(tokenizeAll(t, files[:2], 1), bytesA)
	check(t, err)
	defer half.Close()
	for _, packing := range []Packing{Concat, Documents} {
		o := CorpusOptions{Length: 48, Packing: packing}
		want := readCorpus(t, o, byteTokenizer{}, files...)
		for name, inputs := range map[string][]CorpusInput{
			"stored":            {{Tokenized: all}},
			"stored, then read": {{Tokenized: half}, {Files: files[2:]}},
			"read, then read":   {{Files: files[:3]}, {Files: files[3:]}},
		} {
			got, err := OpenCorpus(t.Context(), inputs, byteTokenizer{}, o)
			check(t, err)
			if got.Counts != want.Counts {
				t.Errorf("%s, %s: %v, want %v", packing, name, got.Counts, want.Counts)
				continue
			}
			for i := range want.Len() {
				if !slices.Equal(window(t, got, i), window(t, want, i)) {
					t.Fatalf("%s, %s: window %d differs", packing, name, i)
				}
			}
		}
	}
}
