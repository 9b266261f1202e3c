package data

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sort"
)

var (
	_ tokenReader = (*memoryTokens)(nil)
	_ tokenReader = (*Tokenized)(nil)
	_ tokenReader = joined(nil)
)

// memoryTokens are tokens in memory.
type memoryTokens struct {
	ids       []int32
	documents []int64 // where each ends
}

func (m *memoryTokens) size() int64 { return int64(len(m.ids)) }

func (m *memoryTokens) read(ids []int32, at int64) error {
	if at < 0 || at+int64(len(ids)) > m.size() {
		return fmt.Errorf("corpus: no tokens %d to %d, there are %d", at, at+int64(len(ids)), m.size())
	}
	copy(ids, m.ids[at:])
	return nil
}

func (m *memoryTokens) ends(yield func(end int64) error) error {
	for _, end := range m.documents {
		if err := yield(end); err != nil {
			return err
		}
	}
	return nil
}

func (m *memoryTokens) sum(to io.Writer, first, end int64) error {
	for part := range slices.Chunk(m.ids[first:end], 1<<16) { // in parts, to copy little at a time
		if err := binary.Write(to, binary.LittleEndian, part); err != nil {
			return err
		}
	}
	return nil
}

// cut drops the tokens behind the first n.
func (m *memoryTokens) cut(n int64) {
	m.ids = m.ids[:n]
	i := sort.Search(len(m.documents), func(i int) bool { return m.documents[i] >= n })
	m.documents = append(m.documents[:i], n)
}

// joined are runs of tokens laid end to end.
type joined []tokenReader

func (j joined) size() (n int64) {
	for _, part := range j {
		n += part.size()
	}
	return n
}

func (j joined) read(ids []int32, at int64) error {
	for _, part := range j {
		if n := min(int64(len(ids)), part.size()-at); n > 0 {
			if err := part.read(ids[:n], at); err != nil {
				return err
			}
			ids, at = ids[n:], at+n
		}
		at -= part.size()
	}
	if len(ids) > 0 {
		return fmt.Errorf("corpus: %d tokens are wanted behind its end", len(ids))
	}
	return nil
}

func (j joined) ends(yield func(end int64) error) error {
	begin := int64(0)
	for _, part := range j {
		if err := part.ends(func(end int64) error { return yield(begin + end) }); err != nil {
			return err
		}
		begin += part.size()
	}
	return nil
}

func (j joined) sum(to io.Writer, first, end int64) error {
	begin := int64(0)
	for _, part := range j {
		from, until := max(first-begin, 0), min(end-begin, part.size())
		if from < until {
			if err := part.sum(to, from, until); err != nil {
				return err
			}
		}
		begin += part.size()
	}
	return nil
}
