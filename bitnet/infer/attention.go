package infer

// place puts a token's keys and values where attention finds them, and turns queries and keys by its position.
func (p *pass) place(_, i int) {
	c, t, in := &p.Config, p.tokens[i], &p.inputs[qkv]
	q, k, v := row(in.out[0], i, c.Heads*c.HeadDim), row(in.out[1], i, c.KVHeads*c.HeadDim), row(in.out[2], i, c.KVHeads*c.HeadDim)
	kind := p.layer.kind()
	cos, sin := row(p.cos[kind], i, c.HeadDim/2), row(p.sin[kind], i, c.HeadDim/2)
	p.normHeads(q, p.layer.qNorm)
	p.normHeads(k, p.layer.kNorm)
	rotate(q, cos, sin)
	rotate(k, cos, sin)
	scale(q, float32(c.ScoreScale()))
	for head := range c.KVHeads {
		copy(t.sequence.key(p.index, head, t.position, 1), row(k, head, c.HeadDim))
		copy(t.sequence.value(p.index, head, t.position, 1), row(v, head, c.HeadDim))
	}
}

// kind is which rotations a layer has.
func (l *layer) kind() int {
	if l.sliding {
		return 1
	}
	return 0
}

// normHeads RMS-normalises each head of x, where the family does.
func (p *pass) normHeads(x, weight []float32) {
	if weight == nil {
		return
	}
	for ; len(x) > 0; x = x[p.Config.HeadDim:] {
		rmsNorm(x[:p.Config.HeadDim], x[:p.Config.HeadDim], weight, p.Config.NormEps)
	}
}

// first is the first position that one sees.
func (p *pass) first(position int) int {
	if p.layer.sliding {
		return max(0, position-p.Config.SlidingWindow+1)
	}
	return 0
}

// attention is about how long that of all tokens takes; see pool.run.
func (p *pass) attention() float64 {
	keys := 0
	for _, t := range p.tokens {
		keys += t.position + 1 - p.first(t.position)
	}
	return floatTime * float64(2*keys*p.Config.Heads*p.Config.HeadDim)
}

// attend computes the query heads that share a key head, of one token, into the input of the output projection: each a mean of the values
// that it sees, with weights softmax(query·key) (Vaswani et al. 2017).
func (p *pass) attend(worker, part int) {
	c := &p.Config
	i, head := part/c.KVHeads, part%c.KVHeads
	t := p.tokens[i]
	from := p.first(t.position)
	n := t.position + 1 - from
	keys, values := t.sequence.key(p.index, head, from, n), t.sequence.value(p.index, head, from, n)
	scores, group := p.scores[worker][:n], c.Heads/c.KVHeads
	q, y := row(p.inputs[qkv].out[0], i, c.Heads*c.HeadDim), row(p.inputs[output].values[0], i, c.Heads*c.HeadDim)
	for h := head * group; h < (head+1)*group; h++ {
		dots(scores, keys, row(q, h, c.HeadDim))
		softmax(scores)
		to := row(y, h, c.HeadDim)
		clear(to)
		for j, w := range scores {
			addScaled(to, row(values, j, c.HeadDim), w)
		}
	}
}
