package eval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/decoder"
	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// Generator continues prompts with the most likely token, one after the other, until the model says its end token (greedy
// decoding). Keys and values of what was computed are kept, so that a token costs one position. It has the weights as they are when
// it is made, in the form that products need: close it when they change, or when no more text is wanted.
type Generator struct {
	backend  compute.Backend
	Progress func(done, total int) // positions of batches, total being as many as there are if no text ends early; may be nil
	Kept     Keeper                // of what Complete writes; may be nil

	config        arch.Config
	end           int32
	rows          int
	prefill, step *model.Exec
	release       func()
	building      sync.Mutex // building a graph writes to the variables, and two lengths may come up at once
}

// cacheBytes bounds the keys and values of a batch.
const cacheBytes = 256 << 20

// NewGenerator makes the generator of a model whose texts end with the token end. It computes rows prompts at a time, or fewer
// where the keys and values of so many would take over 256 MiB. Besides, it takes the bytes of the linears and the head again.
func NewGenerator(backend compute.Backend, cfg arch.Config, store *model.Store, end int32, rows int) (*Generator, error) {
	frozen, release, err := decoder.Freeze(backend, cfg, store)
	if err != nil {
		return nil, err
	}
	g := &Generator{backend: backend, config: cfg, end: end, rows: rows, release: release}
	for _, e := range []struct {
		to    **model.Exec
		graph func(*model.Scope, []*graph.Node) []*graph.Node
	}{{&g.prefill, g.prefillGraph}, {&g.step, g.stepGraph}} {
		if *e.to, err = newExec(backend, frozen, e.graph); err != nil {
			g.Close()
			return nil, err
		}
	}
	return g, nil
}

// Close frees the weights. The generator is of no use then.
func (g *Generator) Close() { g.release() }

// prefillGraph takes prompts [rows, length], padded in front, and the mask [rows, capacity] of prompts and what follows, int32.
func (g *Generator) prefillGraph(scope *model.Scope, in []*graph.Node) []*graph.Node {
	g.building.Lock()
	defer g.building.Unlock()
	ids, mask := in[0], in[1]
	dims := ids.Shape().Dimensions
	last := graph.Const(ids.Graph(), slices.Repeat([][]int32{{int32(dims[1] - 1)}}, dims[0]))
	real := graph.Slice(mask, graph.AxisRange(), graph.AxisRange(0, dims[1]))
	return likeliest(decoder.Forward(scope, g.config, decoder.Inputs{IDs: ids, Mask: real},
		decoder.Options{At: last, Keep: mask.Shape().Dimensions[1], Frozen: true}))
}

// stepGraph takes the latest tokens [rows, 1], the mask, the column of the tokens, scalar, all int32, and the cache.
func (g *Generator) stepGraph(scope *model.Scope, in []*graph.Node) []*graph.Node {
	g.building.Lock()
	defer g.building.Unlock()
	v := 3 + g.config.Layers
	return likeliest(decoder.Forward(scope, g.config,
		decoder.Inputs{IDs: in[0], Mask: in[1], Cache: &decoder.Cache{At: in[2], K: in[3:v], V: in[v:]}}, decoder.Options{Frozen: true}))
}

// likeliest are the next tokens [rows, 1], int32, and the cache.
func likeliest(out decoder.Outputs) []*graph.Node {
	return slices.Concat([]*graph.Node{graph.ArgMax(out.Logits, -1, dtypes.Int32)}, out.Cache.K, out.Cache.V)
}

// Generate continues each prompt with up to most tokens, the end token counted: the tokens in front of the end token, in the order
// of the prompts. It stops between two tokens with the context's error when that ends. A prompt is refused that is empty, or too
// long for the model with as many tokens behind it.
func (g *Generator) Generate(ctx context.Context, prompts [][]int32, most int) ([][]int32, error) {
	return g.generate(ctx, prompts, most, nil)
}

// generate is Generate with a Keeper, which may be nil. Batches are the same whatever it has, since the last bits of a text depend on
// them: one is left out if all of its texts are there.
func (g *Generator) generate(ctx context.Context, prompts [][]int32, most int, kept Keeper) ([][]int32, error) {
	order := make([]int, len(prompts)) // by length, so that little is padded
	longest := 0
	for i, p := range prompts {
		if len(p) == 0 {
			return nil, fmt.Errorf("prompt %d is empty; there is nothing to continue", i+1)
		}
		order[i], longest = i, max(longest, len(p))
	}
	if most < 1 {
		return nil, fmt.Errorf("%d tokens to generate, want at least 1", most)
	}
	if err := checkLength(g.config, longest+most); err != nil {
		return nil, err
	}
	slices.SortStableFunc(order, func(a, b int) int { return len(prompts[a]) - len(prompts[b]) })
	k, v := decoder.CacheShapes(g.config, 1, longest+most)
	rows := max(1, min(g.rows, len(prompts), cacheBytes/(4*g.config.Layers*(k.Size()+v.Size()))))
	batches := slices.Collect(slices.Chunk(order, rows))
	steps := &counter{total: most * len(batches), report: g.Progress}
	texts, have := make([][]int32, len(prompts)), make([]bool, len(prompts))
	if kept != nil {
		for i := range prompts {
			texts[i], have[i] = kept.Text(i)
		}
	}
	var finishing sync.Mutex
	err := each(ctx, g.backend, len(batches), nil, func(i int) (apply func(), err error) {
		if !slices.ContainsFunc(batches[i], func(at int) bool { return !have[at] }) {
			steps.add(most)
			return func() {}, nil
		}
		batch := make([][]int32, rows)
		for row := range batch { // the last batch repeats its last prompt
			batch[row] = prompts[batches[i][min(row, len(batches[i])-1)]]
		}
		finish := func(row int, ids []int32) error {
			if row >= len(batches[i]) {
				return nil
			}
			finishing.Lock()
			defer finishing.Unlock()
			at := batches[i][row]
			if texts[at] = ids; kept == nil || have[at] {
				return nil
			}
			return kept.Keep(at, ids)
		}
		err = g.batch(ctx, batch, padded(len(batch[rows-1]), longest, backend.PaddedLengths(g.backend)), most, steps, finish)
		return func() {}, err
	})
	return texts, err
}

// padded is the smallest of n lengths up to the longest that holds length tokens.
func padded(length, longest, n int) int {
	step := (longest + n - 1) / n
	return min(longest, (length+step-1)/step*step)
}

// batch continues as many prompts as the graphs have rows, padded in front to length tokens; finish takes each text.
func (g *Generator) batch(ctx context.Context, prompts [][]int32, length, most int, steps *counter, finish func(row int, ids []int32) error) error {
	rows, capacity := len(prompts), length+most
	ids, bits := make([]int32, rows*length), slices.Repeat([]int32{1}, rows*capacity)
	for row, p := range prompts {
		copy(ids[(row+1)*length-len(p):], p)
		clear(bits[row*capacity:][:length-len(p)])
	}
	mask := tensors.FromFlatDataAndDimensions(bits, rows, capacity)
	texts, ended, open, taken := make([][]int32, rows), make([]bool, rows), rows, 0
	state, err := g.prefill.Exec(tensors.FromFlatDataAndDimensions(ids, rows, length), mask)
	defer func() {
		release(state)
		steps.add(most - taken)
	}()
	for err == nil {
		var next []int32
		if next, err = tensors.CopyFlatData[int32](state[0]); err != nil {
			break
		}
		taken++
		for row, id := range next {
			if ended[row] {
				continue
			}
			if ended[row] = id == g.end; !ended[row] {
				texts[row] = append(texts[row], id)
				ended[row] = taken == most
			}
			if ended[row] {
				open--
				err = errors.Join(err, finish(row, texts[row]))
			}
		}
		steps.add(1)
		if open == 0 || err != nil {
			break
		}
		if err = context.Cause(ctx); err == nil {
			state, err = g.next(state, mask, length+taken-1)
		}
	}
	return err
}

// next takes the latest tokens and the cache, which it gives away to be written to in place, and returns the next ones.
func (g *Generator) next(state []*tensors.Tensor, mask *tensors.Tensor, at int) ([]*tensors.Tensor, error) {
	args := []any{state[0], mask, int32(at)}
	for _, x := range state[1:] {
		given, err := graph.DonateTensorBuffer(x, g.backend, 0)
		if err != nil {
			return nil, err
		}
		args = append(args, given)
	}
	return g.step.Exec(args...)
}

// release frees what the garbage collector would find late: on a device it sees no bytes.
func release(state []*tensors.Tensor) {
	for _, x := range state {
		x.FinalizeAll() // nothing is left to do where it fails
	}
}

// counter adds up what batches side by side have done.
type counter struct {
	mu          sync.Mutex
	done, total int
	report      func(done, total int) // may be nil
}

func (c *counter) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done += n; c.report != nil && n > 0 {
		c.report(c.done, c.total)
	}
}
