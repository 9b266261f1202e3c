package bpe

import (
	"container/heap"
	"fmt"
	"math"
	"strings"
	"sync"
	"unicode/utf8"
)

const (
	cachedWords  = 1 << 16 // words remembered
	cachedLength = 64      // longest of them, bytes
)

// merger turns a word into ids: first one symbol per character or byte, then the known pair of lowest rank is merged,
// the leftmost first, until none is left.
type merger struct {
	first  firstSymbols
	pairs  map[uint64]merge
	whole  map[string]int32 // words taken whole whatever the merges say; nil unless ignore_merges
	joined map[rune]bool    // words may be cut in front of "▁" behind other characters than these, see joins; nil: nowhere

	mu    sync.RWMutex
	cache map[string][]int32
}

// merge is what a pair of symbols becomes.
type merge struct {
	rank int
	id   int32
}

func key(a, b int32) uint64 { return uint64(uint32(a))<<32 | uint64(uint32(b)) }

func newMerger(m *model, byteLevel bool) (*merger, error) {
	g := &merger{pairs: make(map[uint64]merge, len(m.Merges)), cache: map[string][]int32{}}
	var faults []string
	joined := map[rune]bool{markerRune: true}
	for rank, p := range m.Merges {
		a, okA := m.Vocab[p[0]]
		b, okB := m.Vocab[p[1]]
		ab, okAB := m.Vocab[p[0]+p[1]]
		if !okA || !okB || !okAB {
			faults = append(faults, fmt.Sprintf("number %d, %q and %q: the vocabulary lacks a part or the whole", rank, p[0], p[1]))
			continue
		}
		g.pairs[key(a, b)] = merge{rank, ab}
		joins(joined, p[0]+p[1])
	}
	if err := summary("model.merges", faults); err != nil {
		return nil, err
	}
	if m.IgnoreMerges {
		g.whole = m.Vocab
	}
	if _, marked := m.Vocab[marker]; marked && !byteLevel && !m.IgnoreMerges {
		g.joined = joined
	}
	var err error
	if byteLevel {
		g.first, g.whole = byteSymbols(m, g.whole)
	} else {
		g.first, err = charSymbols(m)
	}
	return g, err
}

// marker stands for a space in SentencePiece vocabularies.
const (
	marker     = "▁"
	markerRune = '▁'
)

// joins notes which characters stand in front of a marker in a merged token. If no merge makes a token with a character in front
// of a marker, no merge ever joins the two sides of such a place, and as merges apart from one another do not interact, the pieces
// cut there have the ids of the whole. Texts without a pre-tokenizer are one word otherwise, which takes long.
func joins(joined map[rune]bool, token string) {
	before := rune(0)
	for _, r := range token {
		if r == markerRune && before != 0 {
			joined[before] = true
		}
		before = r
	}
}

// encode appends the ids of a word.
func (g *merger) encode(ids []int32, word string) []int32 {
	if g.joined == nil {
		return g.piece(ids, word)
	}
	start := 0
	for i := 0; ; {
		n := strings.Index(word[i:], marker)
		if n < 0 {
			return g.piece(ids, word[start:])
		}
		at := i + n
		if before, _ := utf8.DecodeLastRuneInString(word[start:at]); at > start && !g.joined[before] {
			ids = g.piece(ids, word[start:at])
			start = at
		}
		i = at + len(marker)
	}
}

func (g *merger) piece(ids []int32, word string) []int32 {
	if len(word) > cachedLength {
		return append(ids, g.mergeAll(word)...)
	}
	g.mu.RLock()
	known, ok := g.cache[word]
	g.mu.RUnlock()
	if !ok {
		known = g.mergeAll(word)
		g.mu.Lock()
		if len(g.cache) < cachedWords {
			g.cache[strings.Clone(word)] = known
		}
		g.mu.Unlock()
	}
	return append(ids, known...)
}

// mergeAll takes O(n log n) for n symbols: a heap of candidate pairs over a linked list of symbols.
func (g *merger) mergeAll(word string) []int32 {
	if id, ok := g.whole[word]; ok {
		return []int32{id}
	}
	ids := g.first(word)
	n := len(ids)
	left, right := make([]int, n), make([]int, n)
	var todo candidates
	consider := func(i int) {
		if j := right[i]; j < n {
			if m, ok := g.pairs[key(ids[i], ids[j])]; ok {
				todo = append(todo, candidate{m, i, ids[i], ids[j]})
			}
		}
	}
	for i := range ids {
		left[i], right[i] = i-1, i+1
		consider(i)
	}
	heap.Init(&todo)
	const gone = -1
	for todo.Len() > 0 {
		c := heap.Pop(&todo).(candidate)
		i := c.at
		j := right[i]
		if j >= n || ids[i] != c.a || ids[j] != c.b {
			continue // one of the two has been merged since
		}
		ids[i], ids[j] = c.id, gone
		right[i] = right[j]
		if right[i] < n {
			left[right[i]] = i
		}
		for _, k := range [...]int{left[i], i} {
			if k >= 0 {
				before := len(todo)
				if consider(k); len(todo) > before {
					heap.Fix(&todo, before)
				}
			}
		}
	}
	out := ids[:0]
	for i := 0; i < n; i = right[i] {
		out = append(out, ids[i])
	}
	return out
}

type candidate struct {
	merge
	at   int // index of the left symbol
	a, b int32
}

// candidates is a heap: lowest rank first, then leftmost.
type candidates []candidate

func (c candidates) Len() int { return len(c) }
func (c candidates) Less(i, j int) bool {
	return c[i].rank < c[j].rank || c[i].rank == c[j].rank && c[i].at < c[j].at
}
func (c candidates) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *candidates) Push(x any)   { *c = append(*c, x.(candidate)) }
func (c *candidates) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}

// firstSymbols gives the ids a word starts from.
type firstSymbols func(word string) []int32

const none = math.MinInt32 // no id

// byteSymbols starts from one symbol a byte; a byte that the vocabulary lacks is left out. It also returns the words
// taken whole with their contents turned back into bytes.
func byteSymbols(m *model, whole map[string]int32) (firstSymbols, map[string]int32) {
	var table [256]int32
	for b := range table {
		table[b] = none
		if id, ok := m.Vocab[string(byteRunes[b])]; ok {
			table[b] = id
		}
	}
	var wholeBytes map[string]int32
	if whole != nil {
		wholeBytes = make(map[string]int32, len(whole))
		for token, id := range whole {
			if raw, ok := tokenBytes(token); ok {
				wholeBytes[raw] = id
			}
		}
	}
	return func(word string) []int32 {
		ids := make([]int32, 0, len(word))
		for i := range len(word) {
			if id := table[word[i]]; id != none {
				ids = append(ids, id)
			}
		}
		return ids
	}, wholeBytes
}

// charSymbols starts from one symbol a character. A character that the vocabulary lacks becomes its bytes "<0xF0>" with
// byte_fallback, else unk_token (once for a run with fuse_unk), else nothing.
func charSymbols(m *model) (firstSymbols, error) {
	unk := int32(none)
	if m.UnkToken != nil {
		id, ok := m.Vocab[*m.UnkToken]
		if !ok {
			return nil, fmt.Errorf("model.unk_token: %q is not in the vocabulary", *m.UnkToken)
		}
		unk = id
	}
	var fallback [256]int32
	for b := range fallback {
		fallback[b] = none
		if id, ok := m.Vocab[fmt.Sprintf("<0x%02X>", b)]; ok && m.ByteFallback {
			fallback[b] = id
		}
	}
	return func(word string) []int32 {
		ids := make([]int32, 0, len(word))
		fused := false // the last symbol is an unk that the next one may join
	chars:
		for i, r := range word {
			char := word[i : i+utf8.RuneLen(r)]
			if id, ok := m.Vocab[char]; ok {
				ids, fused = append(ids, id), false
				continue
			}
			start := len(ids)
			for _, b := range []byte(char) {
				ids = append(ids, fallback[b])
			}
			for _, id := range ids[start:] {
				if id == none { // all bytes or none
					ids = ids[:start]
					if unk != none && !fused {
						ids = append(ids, unk)
						fused = m.FuseUnk
					}
					continue chars
				}
			}
			fused = false
		}
		return ids
	}, nil
}
