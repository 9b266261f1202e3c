package infer

import (
	"context"

	"github.com/bitdistill/bitdistill/bitnet/infer/vector"
	"github.com/bitdistill/bitdistill/bitnet/packed"
)

// Hidden computes a text at once: what enters the blocks and what each of them gives, [layers+1][len(ids)*hidden], the last behind the final norm.
func (m *Model) Hidden(ctx context.Context, ids []int32) ([][]float32, error) {
	s, err := m.NewSequence(len(ids))
	if err != nil {
		return nil, err
	}
	width := m.Config.HiddenSize
	var hidden [][]float32
	for i, id := range ids {
		x := make([]float32, width)
		if err := m.embedding.Read(x, int(id)); err != nil {
			return nil, err
		}
		if i == 0 {
			hidden = [][]float32{nil}
		}
		hidden[0] = append(hidden[0], x...)
	}
	vector.Scale(hidden[0], float32(m.Config.EmbeddingScale()))
	m.pass.trace = func(_ int, x []float32) { hidden = append(hidden, append([]float32{}, x...)) }
	defer func() { m.pass.trace = nil }()
	if err := s.Append(ctx, ids, nil); err != nil {
		return nil, err
	}
	last := hidden[len(hidden)-1]
	for i := range ids {
		vector.RMSNorm(row(last, i, width), row(last, i, width), m.norm, m.Config.NormEps)
	}
	return hidden, nil
}

// Linear is the packed matrix of a linear by name, such as "mlp.up_proj".
func (m *Model) Linear(layer int, name string) (*packed.Matrix, error) {
	group, i, err := place(name)
	if err != nil {
		return nil, err
	}
	return m.layers[layer].linears[group][i].ternary, nil
}

// Block computes a block alone on x [n, hidden], the tokens of a text.
func (m *Model) Block(layer int, x []float32) ([]float32, error) {
	width := m.Config.HiddenSize
	n := len(x) / width
	s, err := m.NewSequence(n)
	if err != nil {
		return nil, err
	}
	var tokens []token
	for i := range n {
		tokens = append(tokens, token{0, s, i})
	}
	layers, embed := m.pass.layers, m.pass.embedTask
	defer func() { m.layers, m.pass.embedTask = layers, embed }()
	m.layers = layers[layer : layer+1]
	m.pass.embedTask = func(worker, i int) {
		embed(worker, i)
		copy(row(m.pass.x, i, width), row(x, i, width))
	}
	var y []float32
	m.pass.trace = func(_ int, x []float32) { y = append(y, x...) }
	defer func() { m.pass.trace = nil }()
	return y, m.compute(tokens, nil)
}
