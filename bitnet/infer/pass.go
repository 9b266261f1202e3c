package infer

import (
	"math"
	"slices"
	"sync"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/infer/rows"
	"github.com/bitdistill/bitdistill/bitnet/infer/vector"
	"github.com/bitdistill/bitdistill/bitnet/packed"
)

// tile is the number of tokens that pass through the model at once. It is a multiple of what packed.Matrix.Mul unpacks weights for.
const tile = 144

// token is one that is to be computed: where it stands in which text.
type token struct {
	id       int32
	sequence *Sequence
	position int
}

// pass is the room in which tokens are computed, made once. Rows of its matrices are tokens.
type pass struct {
	*Model
	tokens []token // of this pass, up to a tile

	x           []float32 // [tile, hidden], the residual stream
	inputs      [len(groups)]input
	wanted      []float32                    // [tile, hidden], what the head multiplies
	wantedCodes *rows.Codes                  // of wanted, nil if the head has no blocks
	frequencies [2][]float32                 // [headDim/2], of layers without and with a window
	cos, sin    [2][]float32                 // [tile, headDim/2]
	runs        []run                        // of this pass
	attending   []attending                  // by worker
	trace       func(block int, x []float32) // takes the output of each block, for tests; may be nil

	// What tasks compute.
	index  int // of the layer
	layer  *layer
	group  int
	panels int // of a part of a product
	stripe int // tokens of a part of what is done token by token
	split  int // of the heads that share a key head
	logits []float32

	failing sync.Mutex
	err     error

	// The tasks as functions, made once: a new one would be allocated for each call.
	embedTask, enterTask, placeTask, attendTask, projectTask, mixTask, gateTask, multiplyTask, leaveTask, headTask task
}

// input is that of a group of linears, and their outputs.
type input struct {
	width  int
	values [4][]float32           // [tile, width]: as it comes, then behind the SubLN of each linear that has one
	codes  [4]*packed.Activations // of values, nil in full precision
	blocks [4]*rows.Codes         // of values, nil where no layer has a matrix of blocks
	out    [3][]float32           // [tile, out] of each linear
}

// source is which of an input's values a linear multiplies.
func (l *linear) source(i int) int {
	if l.subln != nil {
		return i + 1
	}
	return 0
}

func newPass(m *Model) (*pass, error) {
	c := m.Config
	p := &pass{Model: m, x: make([]float32, tile*c.HiddenSize), wanted: make([]float32, tile*c.HiddenSize)}
	for i := range p.frequencies {
		p.cos[i], p.sin[i] = make([]float32, tile*c.HeadDim/2), make([]float32, tile*c.HeadDim/2)
	}
	p.frequencies[0] = c.Frequencies(false)
	if c.SlidingWindow > 0 {
		p.frequencies[1] = c.Frequencies(true)
	}
	p.runs = make([]run, 0, tile)
	for range m.pool.workers() {
		p.attending = append(p.attending, newAttending(queriesAtOnce(c), c.HeadDim))
	}
	for g := range groups {
		if err := p.inputs[g].make(m.layers, g); err != nil {
			return nil, err
		}
	}
	if m.head.Blocks() {
		var err error
		if p.wantedCodes, err = rows.NewCodes(c.HiddenSize, tile); err != nil {
			return nil, err
		}
	}
	p.embedTask, p.enterTask, p.placeTask, p.attendTask, p.projectTask = p.embed, p.enter, p.place, p.attend, p.project
	p.mixTask, p.gateTask, p.multiplyTask, p.leaveTask, p.headTask = p.mix, p.gate, p.multiply, p.leave, p.multiplyHead
	return p, nil
}

// make has room for the linears of a group, which all layers have alike but for the types of matrices.
func (in *input) make(layers []layer, group int) (err error) {
	linears := layers[0].linears[group]
	in.width = linears[0].in
	in.values[0] = make([]float32, tile*in.width)
	for i := range linears {
		l, s := &linears[i], linears[i].source(i)
		in.out[i] = make([]float32, tile*l.out)
		if in.values[s] == nil {
			in.values[s] = make([]float32, tile*in.width)
		}
		if l.ternary != nil && in.codes[s] == nil {
			if in.codes[s], err = packed.NewActivations(in.width, tile); err != nil {
				return err
			}
		}
		blocks := func(other layer) bool { return other.linears[group][i].blocks() }
		if in.blocks[s] == nil && slices.ContainsFunc(layers, blocks) {
			if in.blocks[s], err = rows.NewCodes(in.width, tile); err != nil {
				return err
			}
		}
	}
	return nil
}

// row is that of a token in a matrix.
func row(x []float32, token, width int) []float32 { return x[token*width:][:width] }

// Rough times of a value, in nanoseconds, for [pool.run].
const (
	packedTime = 1.0 / 32
	floatTime  = 0.5
	attendTime = 1.0 / 16
	normTime   = 1 // of a value in all that is done token by token between two products
)

// run computes tokens, at most a tile of them, and their sequences' keys and values. Logits [n, vocab] are those behind the last n of them.
func (p *pass) run(tokens []token, logits []float32) error {
	p.tokens, p.logits, p.err = tokens, logits, nil
	c := p.Config
	for w := range p.attending {
		for _, t := range tokens {
			p.attending[w].fit(t.sequence.capacity)
		}
	}
	p.findRuns()
	p.each(p.embedTask, c.HiddenSize)
	for i := range p.layers {
		p.index, p.layer = i, &p.layers[i]
		p.stripes(p.enterTask, c.HiddenSize)
		p.product(qkv)
		p.each(p.placeTask, (c.Heads+2*c.KVHeads)*c.HeadDim)
		if i == len(p.layers)-1 && p.trace == nil {
			if len(logits) == 0 {
				return p.err
			}
			p.keepLast(len(logits) / c.VocabSize)
		}
		p.attendAll()
		p.stripes(p.projectTask, c.Heads*c.HeadDim)
		p.product(output)
		p.stripes(p.mixTask, 2*c.HiddenSize)
		p.product(gateUp)
		p.stripes(p.gateTask, 4*c.IntermediateSize)
		p.product(down)
		p.stripes(p.leaveTask, c.HiddenSize)
		if p.trace != nil {
			p.trace(i, p.x[:len(p.tokens)*c.HiddenSize])
		}
	}
	if len(logits) > 0 {
		p.computeHead()
	}
	return p.err
}

// keepLast drops all tokens but the last n, whose rows come first then. Of the others the last layer computes keys and values alone:
// nobody reads what it would make of them. (A pass without logits ends there.)
func (p *pass) keepLast(n int) {
	first := len(p.tokens) - n
	if first == 0 {
		return
	}
	hidden, queries := p.Config.HiddenSize, p.Config.Heads*p.Config.HeadDim
	q := p.inputs[qkv].out[0]
	copy(p.x, p.x[first*hidden:len(p.tokens)*hidden])
	copy(q, q[first*queries:len(p.tokens)*queries])
	p.tokens = p.tokens[first:]
	p.findRuns()
}

// each runs a task for each token, which passes over width values.
func (p *pass) each(t task, width int) {
	p.pool.run(t, len(p.tokens), float64(len(p.tokens)*width*normTime))
}

// stripes runs a task for some tokens at a time, whose norms are side by side.
func (p *pass) stripes(t task, width int) {
	n := len(p.tokens)
	p.stripe = min(vector.Lanes, (n+p.pool.workers()-1)/p.pool.workers())
	p.pool.run(t, (n+p.stripe-1)/p.stripe, float64(n*width*normTime))
}

// tokensOf are those of a part of stripes.
func (p *pass) tokensOf(part int) run {
	return run{part * p.stripe, min((part+1)*p.stripe, len(p.tokens))}
}

// rows are those of some tokens.
func rowsOf(x []float32, r run, width int) []float32 { return x[r.from*width : r.to*width] }

func (p *pass) fail(err error) {
	if err != nil {
		p.failing.Lock()
		p.err = err
		p.failing.Unlock()
	}
}

// embed looks a token up, and computes its rotations.
func (p *pass) embed(_, i int) {
	t := p.tokens[i]
	x := row(p.x, i, p.Config.HiddenSize)
	p.fail(p.embedding.Read(x, int(t.id)))
	if s := p.Config.EmbeddingScale(); s != 1 {
		vector.Scale(x, float32(s))
	}
	for kind, frequencies := range p.frequencies {
		half := p.Config.HeadDim / 2
		cos, sin := row(p.cos[kind], i, half), row(p.sin[kind], i, half)
		for j, f := range frequencies {
			angle := float64(float32(t.position) * f)
			cos[j], sin[j] = float32(math.Cos(angle)), float32(math.Sin(angle))
		}
	}
}

// enter makes the input of the attention.
func (p *pass) enter(_, part int) { p.normInto(qkv, p.tokensOf(part), p.layer.inputNorm) }

// normInto normalises tokens of the residual stream into the input of a group.
func (p *pass) normInto(group int, r run, weight []float32) {
	in := &p.inputs[group]
	vector.RMSNorm(rowsOf(in.values[0], r, in.width), rowsOf(p.x, r, in.width), weight, p.Config.NormEps)
	p.prepare(group, r)
}

// prepare makes what linears multiply of the tokens of their input: SubLN, then codes.
func (p *pass) prepare(group int, r run) {
	in, linears := &p.inputs[group], p.layer.linears[group]
	for j := range linears {
		l := &linears[j]
		s := l.source(j)
		if l.subln != nil {
			vector.RMSNorm(rowsOf(in.values[s], r, in.width), rowsOf(in.values[0], r, in.width), l.subln, p.Config.Quantization.SubLNEps)
		}
		if l.ternary != nil && (s > 0 || j == 0) {
			for i := r.from; i < r.to; i++ {
				p.fail(in.codes[s].Quantize(row(in.values[s], i, in.width), i))
			}
		}
		if l.blocks() {
			for i := r.from; i < r.to; i++ {
				p.fail(in.blocks[s].Set(i, row(in.values[s], i, in.width)))
			}
		}
	}
}

// product multiplies the linears of a group, panels of all of them side by side.
func (p *pass) product(group int) {
	p.group = group
	panels, work := 0, 0.0
	for i := range p.layer.linears[group] {
		l := &p.layer.linears[group][i]
		panels += l.panels()
		if l.ternary != nil {
			work += packedTime * float64(len(p.tokens)*l.out*l.in)
		} else {
			work += l.full.Nanoseconds(l.out, len(p.tokens))
		}
	}
	p.panels = max(1, panels/(4*p.pool.workers()))
	p.pool.run(p.multiplyTask, (panels+p.panels-1)/p.panels, work)
}

// multiply computes some panels of a product.
func (p *pass) multiply(_, part int) {
	linears := p.layer.linears[p.group]
	from, to := part*p.panels, (part+1)*p.panels
	for i := range linears {
		l := &linears[i]
		n := l.panels()
		if span := (packed.Span{From: max(from, 0), To: min(to, n)}); span.From < span.To {
			p.fail(p.multiplyPanels(l, i, span))
		}
		from, to = from-n, to-n
	}
}

func (p *pass) multiplyPanels(l *linear, i int, panels packed.Span) error {
	in, n := &p.inputs[p.group], len(p.tokens)
	s, y := l.source(i), in.out[i]
	from, to := panels.From*panelRows, min(panels.To*panelRows, l.out)
	var err error
	if l.ternary != nil {
		err = l.ternary.Mul(y, in.codes[s], panels, packed.Span{To: n})
	} else {
		err = l.full.Mul(y, in.values[s][:n*l.in], in.blocks[s], from, to)
	}
	if l.bias != nil {
		for t := range n {
			vector.Add(row(y, t, l.out)[from:to], l.bias[from:to])
		}
	}
	return err
}

// project makes the input of the attention's output projection.
func (p *pass) project(_, part int) { p.prepare(output, p.tokensOf(part)) }

// mix adds what attention has found to the residual stream, and makes the input of the feed-forward.
func (p *pass) mix(_, part int) {
	r := p.tokensOf(part)
	p.absorb(output, r, p.layer.postAttention)
	p.normInto(gateUp, r, p.layer.feedForward)
}

// absorb adds the output of a group of one linear, behind a norm if there is one.
func (p *pass) absorb(group int, r run, norm []float32) {
	hidden := p.Config.HiddenSize
	y := rowsOf(p.inputs[group].out[0], r, hidden)
	if norm != nil {
		vector.RMSNorm(y, y, norm, p.Config.NormEps)
	}
	vector.Add(rowsOf(p.x, r, hidden), y)
}

// gate makes the input of the feed-forward's last linear, with a gated linear unit (Shazeer 2020).
func (p *pass) gate(_, part int) {
	in, out, r := &p.inputs[gateUp], &p.inputs[down], p.tokensOf(part)
	gate, up, y := rowsOf(in.out[0], r, out.width), rowsOf(in.out[1], r, out.width), rowsOf(out.values[0], r, out.width)
	if p.Config.Activation() == arch.GELUTanh {
		vector.GELUTanh(y, gate, up)
	} else {
		vector.SiLU(y, gate, up)
	}
	p.prepare(down, r)
}

// leave adds what the feed-forward has made to the residual stream.
func (p *pass) leave(_, part int) { p.absorb(down, p.tokensOf(part), p.layer.postFeedForward) }

// computeHead computes logits.
func (p *pass) computeHead() {
	hidden, vocab := p.Config.HiddenSize, p.Config.VocabSize
	n := len(p.logits) / vocab
	first := len(p.tokens) - n
	vector.RMSNorm(p.wanted[:n*hidden], p.x[first*hidden:len(p.tokens)*hidden], p.norm, p.Config.NormEps)
	if p.wantedCodes != nil {
		for i := range n {
			p.fail(p.wantedCodes.Set(i, row(p.wanted, i, hidden)))
		}
	}
	panels := (vocab + panelRows - 1) / panelRows
	p.panels = max(1, panels/(4*p.pool.workers()))
	p.pool.run(p.headTask, (panels+p.panels-1)/p.panels, p.head.Nanoseconds(vocab, n))
}

func (p *pass) multiplyHead(_, part int) {
	vocab := p.Config.VocabSize
	from, to := part*p.panels*panelRows, min((part+1)*p.panels*panelRows, vocab)
	n := len(p.logits) / vocab
	p.fail(p.head.Mul(p.logits, p.wanted[:n*p.Config.HiddenSize], p.wantedCodes, from, to))
}
