package infer

import (
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/infer/vector"
)

// place puts a token's keys and values where attention finds them, and turns queries and keys by its position.
func (p *pass) place(worker, i int) {
	c, t, in := &p.Config, p.tokens[i], &p.inputs[qkv]
	q, k, v := row(in.out[0], i, c.Heads*c.HeadDim), row(in.out[1], i, c.KVHeads*c.HeadDim), row(in.out[2], i, c.KVHeads*c.HeadDim)
	kind := p.layer.kind()
	cos, sin := row(p.cos[kind], i, c.HeadDim/2), row(p.sin[kind], i, c.HeadDim/2)
	if p.layer.qNorm != nil {
		vector.RMSNorm(q, q, p.layer.qNorm, c.NormEps)
		vector.RMSNorm(k, k, p.layer.kNorm, c.NormEps)
	}
	vector.Rotate(q, cos, sin)
	vector.Rotate(k, cos, sin)
	vector.Scale(q, float32(c.ScoreScale()))
	for head := range c.KVHeads {
		t.sequence.caches[p.index].put(head, t.position, row(k, head, c.HeadDim), row(v, head, c.HeadDim), &p.attending[worker].cache)
	}
}

// kind is which rotations a layer has.
func (l *layer) kind() int {
	if l.sliding {
		return 1
	}
	return 0
}

// first is the first position that one sees.
func (p *pass) first(position int) int {
	if p.layer.sliding {
		return max(0, position-p.Config.SlidingWindow+1)
	}
	return 0
}

// queryTile is about how many queries share what is read of keys and values.
const queryTile = 16

// queriesAtOnce is how many those are at most.
func queriesAtOnce(c arch.Config) int { return max(queryTile, c.Heads/c.KVHeads) }

// run is some tokens of a text, one behind the other.
type run struct{ from, to int }

// findRuns cuts the tokens into runs that attention takes at once.
func (p *pass) findRuns() {
	p.runs = p.runs[:0]
	most := max(1, queryTile/(p.Config.Heads/p.Config.KVHeads))
	for i, t := range p.tokens {
		if last := len(p.runs) - 1; last >= 0 {
			r := &p.runs[last]
			if before := p.tokens[i-1]; r.to-r.from < most && before.sequence == t.sequence && before.position+1 == t.position {
				r.to++
				continue
			}
		}
		p.runs = append(p.runs, run{i, i + 1})
	}
}

// attendAll computes attention for all tokens. Heads that share a key head are a part together, unless that would leave workers idle.
func (p *pass) attendAll() {
	c, keys := &p.Config, 0
	for _, t := range p.tokens {
		keys += t.position + 1 - p.first(t.position)
	}
	parts := len(p.runs) * c.KVHeads
	group := c.Heads / c.KVHeads
	p.split = 1
	for p.split < group && (parts*p.split < p.pool.workers() || group%p.split != 0) {
		p.split++
	}
	p.pool.run(p.attendTask, parts*p.split, attendTime*float64(2*keys*c.Heads*c.HeadDim))
}

// attending is a worker's room.
type attending struct {
	queries []float32 // [queries, headDim]
	scores  []float32 // [queries, stride]
	means   []float32 // [queries, headDim rounded up]
	tile    []float32 // keys or values as float32
	cache   cacheRoom
	stride  int

	// What is being computed.
	head      int     // of keys and values
	base, end int     // positions that any query sees; base is a multiple of eight
	sees      []sight // by query
	part      *cache
}

// sight are the positions that a query sees.
type sight struct{ from, to int }

func newAttending(queries, dim int) attending {
	return attending{
		queries: make([]float32, queries*dim), means: make([]float32, queries*roundUp(dim)), tile: make([]float32, keyTile*roundUp(dim)), cache: cacheRoom{make([]uint16, dim), make([]int8, dim)},
		sees: make([]sight, 0, queries),
	}
}

// fit has room for scores of a sequence.
func (a *attending) fit(capacity int) {
	if n := roundUp(capacity) + keyTile; n > a.stride {
		a.stride = n
		a.scores = make([]float32, cap(a.sees)*n)
	}
}

// attend computes query heads that share a key head, of a run of tokens, into the input of the output projection: each a mean of the
// values that it sees, with weights softmax(query·key) (Vaswani et al. 2017).
func (p *pass) attend(worker, part int) {
	c, a := &p.Config, &p.attending[worker]
	r := p.runs[part/(c.KVHeads*p.split)]
	a.head = part / p.split % c.KVHeads
	heads := c.Heads / c.KVHeads / p.split
	first := a.head*p.split*heads + part%p.split*heads
	a.part, a.sees = &p.tokens[r.from].sequence.caches[p.index], a.sees[:0]
	for i := r.from; i < r.to; i++ {
		position := p.tokens[i].position
		q := row(p.inputs[qkv].out[0], i, c.Heads*c.HeadDim)
		for h := range heads {
			copy(row(a.queries, len(a.sees), c.HeadDim), row(q, first+h, c.HeadDim))
			a.sees = append(a.sees, sight{p.first(position), position + 1})
		}
	}
	a.score()
	a.weigh()
	a.mean()
	for q := range a.sees {
		y := row(p.inputs[output].values[0], r.from+q/heads, c.Heads*c.HeadDim)
		copy(row(y, first+q%heads, c.HeadDim), row(a.means, q, roundUp(c.HeadDim)))
	}
}

// score computes the products of all queries with all keys that one of them sees.
func (a *attending) score() {
	a.base, a.end = a.sees[0].from/vector.Lanes*vector.Lanes, a.sees[len(a.sees)-1].to
	for q := range a.sees {
		clear(row(a.scores, q, a.stride)[:roundUp(a.end-a.base)])
	}
	x := vector.Rows{Values: a.queries, Stride: a.part.dim, Count: len(a.sees)}
	for at := a.base; at < a.end; {
		n := a.tileAt(at)
		dst := vector.Rows{Values: a.scores[at-a.base:], Stride: a.stride, Count: len(a.sees)}
		vector.AddProduct(dst, x, a.part.keyBlocks(a.head, at, n, a.tile))
		at += n
	}
}

// tileAt is how many positions are taken at once from one on.
func (a *attending) tileAt(position int) int {
	n := a.part.atOnce()
	return min(n-position%n, a.end-position)
}

// weights are those of what a query sees, or scores before.
func (a *attending) weights(q int) []float32 {
	s := a.sees[q]
	return row(a.scores, q, a.stride)[s.from-a.base : s.to-a.base]
}

// weigh makes weights of scores.
func (a *attending) weigh() {
	for at := 0; at < len(a.sees); at += vector.SumGroup {
		var rows [vector.SumGroup][]float32
		for i := range rows {
			q := min(at+i, len(a.sees)-1)
			if rows[i] = a.weights(q); q == at+i {
				a.part.unscaled(&a.part.keys, rows[i], a.head, a.sees[q].from)
				vector.Weigh(rows[i])
			}
		}
		sums := vector.Sum(&rows)
		for i, w := range rows[:min(len(rows), len(a.sees)-at)] {
			vector.Scale(w, 1/sums[i])
			a.part.unscaled(&a.part.values, w, a.head, a.sees[at+i].from)
		}
	}
}

// mean adds up weighted values from first to last, of several queries at a time what all of them see.
func (a *attending) mean() {
	const together = 4
	clear(a.means[:len(a.sees)*roundUp(a.part.dim)])
	for at := a.sees[0].from; at < a.end; {
		n := a.tileAt(at)
		t := tileOfValues{a, at, a.part.valueBlocks(a.head, at, n, a.tile)}
		at += n
		for q := 0; q < len(a.sees); q += together {
			n := min(together, len(a.sees)-q)
			t.add(q, n)
		}
	}
}

// tileOfValues are those of some positions from one on.
type tileOfValues struct {
	*attending
	at     int
	blocks vector.Blocks
}

// add adds the values that n queries see, which are in the order of their tokens.
func (t tileOfValues) add(q, n int) {
	all := sight{t.sees[q+n-1].from, t.sees[q].to} // what all of them see
	if all.from >= all.to {
		for i := q; i < q+n; i++ {
			t.addSeen(i, 1, t.sees[i])
		}
		return
	}
	for i := q; i < q+n; i++ {
		t.addSeen(i, 1, sight{t.sees[i].from, all.from})
	}
	t.addSeen(q, n, all)
	for i := q; i < q+n; i++ {
		t.addSeen(i, 1, sight{all.to, t.sees[i].to})
	}
}

// addSeen adds the tile's values at some positions.
func (t tileOfValues) addSeen(q, n int, s sight) {
	s.from, s.to = max(s.from, t.at), min(s.to, t.at+t.blocks.Rows)
	if s.from >= s.to {
		return
	}
	width, m := roundUp(t.part.dim), t.blocks
	m.Values, m.Rows = m.Values[(s.from-t.at)*vector.Lanes:], s.to-s.from
	x := vector.Rows{Values: t.scores[q*t.stride+s.from-t.base:], Stride: t.stride, Count: n}
	vector.AddProduct(vector.Rows{Values: t.means[q*width:], Stride: width, Count: n}, x, m)
}
