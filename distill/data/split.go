package data

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// SplitCounts tells what a split did to the rows.
type SplitCounts struct {
	Train   int `json:"train"`    // rows left for training
	HeldOut int `json:"held_out"` // rows put aside
	Removed int `json:"removed"`  // rows in neither: their text overlaps with that of a row put aside
}

func (c SplitCounts) String() string {
	return fmt.Sprintf("%d rows held out, %d left for training, %d removed because they share a text with those held out", c.HeldOut, c.Train, c.Removed)
}

// Split puts n rows aside, drawn by seed, and removes from the rest what would give them away: afterwards no text of
// train is contained in a held-out text nor contains one. "Contained" means as a run of whole words, whatever their
// case; a row's text is its columns, one after the other.
//
// In some task files (SST-2) the training rows are phrases of one another, so a random row is also in the rest.
// Only rows that no other row contains are drawn, one of equal ones: whole sentences, if the file has them. That
// loses few training rows and holds out by sentence. Both results keep the order of the file. It is an error to ask
// for more rows than there are such, or for so many that none is left to train on.
func Split(d *Dataset, n int, seed uint64) (train, heldOut *Dataset, counts SplitCounts, err error) {
	texts := newTexts(d)
	whole := texts.uncontained()
	switch {
	case n < 1:
		return nil, nil, counts, fmt.Errorf("%s: %d rows to hold out, want at least 1", d.File, n)
	case n > len(whole):
		return nil, nil, counts, fmt.Errorf("%s: %d rows to hold out (task.selection_rows), but only %d of its %d rows are not part of another row; lower the number", d.File, n, len(whole), len(d.Rows))
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	rng.Shuffle(len(whole), func(i, j int) { whole[i], whole[j] = whole[j], whole[i] })
	drawn := whole[:n]
	slices.Sort(drawn)
	heldOut = &Dataset{File: d.File, Columns: d.Columns}
	for _, i := range drawn {
		heldOut.Rows = append(heldOut.Rows, d.Rows[i])
	}
	train, removed := Disjoint(d, heldOut)
	// The drawn rows themselves are among those taken out.
	counts = SplitCounts{Train: len(train.Rows), HeldOut: n, Removed: removed - n}
	if counts.Train == 0 {
		return nil, nil, counts, fmt.Errorf("%s: with %d rows held out (task.selection_rows) none is left to train on; lower the number", d.File, n)
	}
	return train, heldOut, counts, nil
}

// Disjoint returns the rows of train whose text is not contained in a held-out text and contains none, and the number
// of those it left out. See [Split] for what contained means. It takes nearly linear time.
func Disjoint(train, heldOut *Dataset) (left *Dataset, removed int) {
	words := map[string]int32{}
	ours, theirs := readTexts(train, words), readTexts(heldOut, words)
	within := newMatcher(ours).contained(theirs)
	around := newMatcher(theirs)
	left = &Dataset{File: train.File, Columns: train.Columns, Blank: train.Blank, FirstBlank: train.FirstBlank}
	for i, row := range train.Rows {
		if within[i] || around.occursIn(ours[i]) {
			removed++
			continue
		}
		left.Rows = append(left.Rows, row)
	}
	return left, removed
}

// Repeated counts the rows of heldOut whose text is also that of a row of train: the same words, whatever their case. What a model
// says of those it may know by heart.
func Repeated(train, heldOut *Dataset) int {
	words := map[string]int32{}
	key := func(text []int32) string { return fmt.Sprint(text) }
	known := map[string]bool{}
	for _, text := range readTexts(train, words) {
		known[key(text)] = true
	}
	n := 0
	for _, text := range readTexts(heldOut, words) {
		if len(text) > 0 && known[key(text)] {
			n++
		}
	}
	return n
}

// texts is the words of each row, as numbers. Rows without words are contained in nothing and contain nothing.
type texts [][]int32

func newTexts(d *Dataset) texts { return readTexts(d, map[string]int32{}) }

// readTexts numbers the words of a dataset, adding new ones to the numbering.
func readTexts(d *Dataset, words map[string]int32) texts {
	all := make(texts, len(d.Rows))
	for i, row := range d.Rows {
		if strings.TrimSpace(strings.Join(row.Values, "")) == "" {
			continue
		}
		for column, value := range row.Values {
			if column > 0 {
				all[i] = append(all[i], -1) // no run of words reaches from one column into the next by chance
			}
			for _, word := range strings.Fields(strings.ToLower(value)) {
				number, ok := words[word]
				if !ok {
					number = int32(len(words))
					words[word] = number
				}
				all[i] = append(all[i], number)
			}
		}
	}
	return all
}

// uncontained is the rows that are not part of another row, the first of equal ones, in order.
func (t texts) uncontained() []int {
	m := newMatcher(t)
	inner := make([]bool, len(m.nodes)) // what ends here goes on in some row, or is the end of a longer part of one
	for _, node := range m.nodes[1:] {
		inner[node.parent], inner[node.fail] = true, true
	}
	var rows []int
	taken := map[int32]bool{}
	for i, end := range m.ends {
		if end != 0 && !inner[end] && !taken[end] {
			taken[end] = true
			rows = append(rows, i)
		}
	}
	return rows
}

// matcher finds many texts in other texts at once: the automaton of Aho and Corasick ("Efficient string matching",
// 1975) over words. Node 0 is the empty text; a node stands for the words on the way to it.
type matcher struct {
	nodes []matchNode
	next  map[edge]int32
	ends  []int32 // node where each text ends; 0 for one without words
}

type matchNode struct {
	parent, fail int32 // fail: the longest proper ending of the node's words that is also a node
	word         int32 // last word
	depth        int32 // number of words
	hit          bool  // a text ends here or at a node along fail
}

type edge struct{ from, word int32 }

func newMatcher(all texts) *matcher {
	m := &matcher{nodes: make([]matchNode, 1), next: map[edge]int32{}, ends: make([]int32, len(all))}
	for i, text := range all {
		node := int32(0)
		for _, word := range text {
			child, ok := m.next[edge{node, word}]
			if !ok {
				child = int32(len(m.nodes))
				m.nodes = append(m.nodes, matchNode{parent: node, word: word, depth: m.nodes[node].depth + 1})
				m.next[edge{node, word}] = child
			}
			node = child
		}
		m.ends[i] = node
		m.nodes[node].hit = node != 0
	}
	for _, i := range m.byDepth() {
		node := &m.nodes[i]
		if node.depth > 1 {
			node.fail = m.step(m.nodes[node.parent].fail, node.word)
		}
		node.hit = node.hit || m.nodes[node.fail].hit
	}
	return m
}

// byDepth is all nodes but the root, shallow ones first.
func (m *matcher) byDepth() []int32 {
	order := make([]int32, len(m.nodes)-1)
	for i := range order {
		order[i] = int32(i + 1)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(m.nodes[a].depth, m.nodes[b].depth) })
	return order
}

// step reads one word: the node of the longest ending read so far.
func (m *matcher) step(node, word int32) int32 {
	for {
		if child, ok := m.next[edge{node, word}]; ok {
			return child
		}
		if node == 0 {
			return 0
		}
		node = m.nodes[node].fail
	}
}

// occursIn reports whether any of the matcher's texts is part of text.
func (m *matcher) occursIn(text []int32) bool {
	node := int32(0)
	for _, word := range text {
		if node = m.step(node, word); m.nodes[node].hit {
			return true
		}
	}
	return false
}

// contained reports, for each of the matcher's texts, whether it is part of any of the others.
func (m *matcher) contained(others texts) []bool {
	reached := make([]bool, len(m.nodes))
	for _, text := range others {
		node := int32(0)
		for _, word := range text {
			node = m.step(node, word)
			reached[node] = true
		}
	}
	order := m.byDepth()
	for _, i := range slices.Backward(order) { // deep ones first: fail leads to a shallower node
		if reached[i] {
			reached[m.nodes[i].fail] = true
		}
	}
	within := make([]bool, len(m.ends))
	for i, end := range m.ends {
		within[i] = end != 0 && reached[end]
	}
	return within
}
