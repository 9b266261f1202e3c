package infer

import (
	"context"
	"fmt"

	"github.com/bitdistill/bitdistill/internal/system"
)

// Sequence is a text that a model has read: the keys and values of its tokens, so that what follows need not compute them again. One
// goroutine uses it at a time.
type Sequence struct {
	model    *Model
	capacity int
	ids      []int32
	caches   []cache // by layer: keys, behind norm and rotation, and values
	tokens   []token // room for a tile
	logits   []float32
}

// NewSequence has room for capacity tokens, no more than the model was made for (max_position_embeddings). It takes
// 8·Layers·KVHeads·HeadDim bytes a token with [CacheF32], 4·Layers·KVHeads·HeadDim with [CacheF16] and 2·Layers·KVHeads·(HeadDim+4)
// with [CacheInt8]; see [Options].
func (m *Model) NewSequence(capacity int) (*Sequence, error) {
	c := m.Config
	if capacity < 1 || capacity > c.MaxPositions {
		return nil, fmt.Errorf("infer: %d tokens, want 1 to %d, what the model was made for (max_position_embeddings)", capacity, c.MaxPositions)
	}
	each := m.cache.TokenBytes(c) + int64(4*queriesAtOnce(c)*m.pool.workers()) // and its scores in attention
	if limit, known := system.MemoryLimit(); known && uint64(capacity) > limit/uint64(each) {
		return nil, fmt.Errorf("infer: a text of %d tokens takes %d bytes for each with keys and values as %s, more than the %.1f GB of memory there are; take a shorter one or a smaller cache",
			capacity, each, m.cache, float64(limit)/1e9)
	}
	s := &Sequence{model: m, capacity: capacity, ids: make([]int32, 0, capacity), tokens: make([]token, 0, tile)}
	for range c.Layers {
		s.caches = append(s.caches, newCache(m.cache, c.KVHeads, capacity, c.HeadDim))
	}
	s.logits = make([]float32, c.VocabSize)
	return s, nil
}

// SequenceBytes is what [Model.NewSequence] makes room for.
func (m *Model) SequenceBytes(capacity int) int64 {
	return m.cache.TokenBytes(m.Config) * int64(capacity)
}

// Len is the number of tokens that were read.
func (s *Sequence) Len() int { return len(s.ids) }

// Truncate forgets all tokens but the first n.
func (s *Sequence) Truncate(n int) { s.ids = s.ids[:min(max(n, 0), len(s.ids))] }

// Append reads tokens. Logits [n, vocab] become those behind the last n of them; none are computed for an empty slice. It stops between
// tiles of tokens with the context's error when that ends; the sequence then has what was read. Nothing is allocated, but for the first
// time with a longer sequence than before.
func (s *Sequence) Append(ctx context.Context, ids []int32, logits []float32) error {
	vocab := s.model.Config.VocabSize
	if err := s.check(ids); err != nil {
		return err
	}
	if n := len(logits) / vocab; n*vocab != len(logits) || n > len(ids) {
		return fmt.Errorf("infer: room for %d logits behind %d tokens, want up to as many times %d", len(logits), len(ids), vocab)
	}
	silent := len(ids) - len(logits)/vocab // tokens without logits
	for len(ids) > 0 {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n := min(tile, len(ids))
		s.tokens = s.tokens[:0]
		for i, id := range ids[:n] {
			s.tokens = append(s.tokens, token{id, s, len(s.ids) + i})
		}
		wanted := max(0, n-silent) * vocab
		if err := s.model.compute(s.tokens, logits[:wanted]); err != nil {
			return err
		}
		s.ids = append(s.ids, ids[:n]...)
		ids, logits, silent = ids[n:], logits[wanted:], max(0, silent-n)
	}
	return nil
}

// check refuses tokens that cannot be read.
func (s *Sequence) check(ids []int32) error {
	if err := s.fits(len(s.ids) + len(ids)); err != nil {
		return err
	}
	if err := s.model.known(ids); err != nil {
		return fmt.Errorf("infer: %w", err)
	}
	return nil
}

// fits refuses a text that the sequence has no room for.
func (s *Sequence) fits(n int) error {
	if n > s.capacity {
		return fmt.Errorf("infer: %d tokens in a sequence with room for %d; the model was made for %d (max_position_embeddings)",
			n, s.capacity, s.model.Config.MaxPositions)
	}
	return nil
}

// known refuses tokens that the model has no embedding for.
func (m *Model) known(ids []int32) error {
	for i, id := range ids {
		if id < 0 || int(id) >= m.Config.VocabSize {
			return fmt.Errorf("token %d of %d is %d, the vocabulary has 0 to %d", i, len(ids), id, m.Config.VocabSize-1)
		}
	}
	return nil
}

// compute takes a turn with a pass.
func (m *Model) compute(tokens []token, logits []float32) error {
	m.passing.Lock()
	defer m.passing.Unlock()
	if m.closed {
		return errClosed
	}
	return m.pass.run(tokens, logits)
}

// Step appends one token to each of several sequences of the model, which costs little more than one of them does. Logits [n, vocab]
// become those behind each.
func (m *Model) Step(ctx context.Context, sequences []*Sequence, ids []int32, logits []float32) error {
	if n := len(sequences); len(ids) != n || len(logits) != n*m.Config.VocabSize {
		return fmt.Errorf("infer: %d tokens and room for %d logits, %d sequences want as many times %d", len(ids), len(logits), n, m.Config.VocabSize)
	}
	for i, s := range sequences {
		if s.model != m {
			return fmt.Errorf("infer: sequence %d is another model's", i)
		}
		for _, other := range sequences[:i] {
			if other == s {
				return fmt.Errorf("infer: sequence %d is there twice", i)
			}
		}
		if err := s.check(ids[i : i+1]); err != nil {
			return err
		}
	}
	for len(sequences) > 0 {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n := min(tile, len(sequences))
		tokens := sequences[0].tokens[:0]
		for i, s := range sequences[:n] {
			tokens = append(tokens, token{ids[i], s, len(s.ids)})
		}
		wanted := n * m.Config.VocabSize
		if err := m.compute(tokens, logits[:wanted]); err != nil {
			return err
		}
		for i, s := range sequences[:n] {
			s.ids = append(s.ids, ids[i])
		}
		sequences, ids, logits = sequences[n:], ids[n:], logits[wanted:]
	}
	return nil
}

// Read makes the sequence one of the given tokens, at least one. What it begins with already is not computed again: prompts that begin
// alike cost what they differ in. The logits [vocab] behind the last token are the sequence's own until it reads on.
func (s *Sequence) Read(ctx context.Context, ids []int32) (logits []float32, err error) {
	if len(ids) == 0 {
		return nil, fmt.Errorf("infer: no tokens; there is nothing to read")
	}
	same := 0
	for same < min(len(ids)-1, len(s.ids)) && ids[same] == s.ids[same] {
		same++
	}
	s.Truncate(same)
	return s.logits, s.Append(ctx, ids[same:], s.logits)
}

// Logits are those behind each token of a text, [len(ids)][vocab].
func (m *Model) Logits(ctx context.Context, ids []int32) ([][]float32, error) {
	s, err := m.NewSequence(max(1, len(ids)))
	if err != nil {
		return nil, err
	}
	all := make([]float32, len(ids)*m.Config.VocabSize)
	if err := s.Append(ctx, ids, all); err != nil {
		return nil, err
	}
	each := make([][]float32, len(ids))
	for i := range each {
		each[i] = row(all, i, m.Config.VocabSize)
	}
	return each, nil
}
