package decoder

import (
	"fmt"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/internal/matmul"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// Node is a value of the graph under construction.
type Node = graph.Node

// Inputs are the token sequences of a batch.
type Inputs struct {
	IDs       *Node  // [batch, length] int32, any valid id at padding
	Mask      *Node  // [batch, length] int32, 1 at real tokens and 0 at padding; nil when nothing is padded
	Positions *Node  // [batch, length] int32, for the rotary embedding; nil means 0 to length-1, which gives the same logits wherever padding stands
	Cache     *Cache // what the tokens before left; IDs then is [batch, 1], and Mask [batch, capacity]
}

// Options say what [Forward] computes besides the logits of all positions.
type Options struct {
	At           *Node    // [batch, n] int32: only the logits at these positions, so that a classifier never builds [batch, length, vocab]
	States       []int    // layers, 0-based, whose queries, keys and values are wanted
	LinearInputs []string // linears whose input is wanted, such as "model.layers.0.mlp.down_proj"
	Hidden       bool     // the residual stream between the blocks is wanted
	NoLogits     bool     // Outputs.Final is wanted instead of logits
	Checkpoints  bool     // a gradient keeps the input of every block and computes the block anew, to save memory
	// RoundGradients allows BitLinears to round the operands of their gradients' products to bfloat16, where that is faster.
	RoundGradients bool
	Frozen         bool // the scope's store is one of [Freeze]
	Keep           int  // capacity of the cache that is wanted for the tokens to come, in tokens with those of Inputs; 0 for none
}

// State is what attention relations are made of: queries and keys after their norm (if any) and the rotary embedding,
// values as projected. Keys and values are not repeated for grouped queries. Heads lie side by side.
type State struct {
	Q *Node // [batch, length, heads*headDim]
	K *Node // [batch, length, kvHeads*headDim]
	V *Node // [batch, length, kvHeads*headDim]
}

// Outputs of [Forward].
type Outputs struct {
	Logits       *Node            // [batch, length, vocab], or [batch, n, vocab] with Options.At; float32
	Final        *Node            // with Options.NoLogits: what the head multiplies, behind the last norm: [batch, length or n, hidden]
	States       map[int]State    // by layer
	LinearInputs map[string]*Node // by name; after SubLN, before quantization: [batch, length, in]
	Hidden       []*Node          // embedding output, then the output of each block, the last after the final norm: [batch, length, hidden]
	Cache        *Cache           // with Options.Keep or Inputs.Cache: keys and values with those of this pass; its At is not set
}

// Forward builds the decoder's forward pass on the variables of the scope's store, whose paths [arch.Config.Tensors] gives. A
// model quantizes, and has SubLN, as cfg.Quantization says. Tokens attend to themselves and to earlier real tokens.
//
// Like every GoMLX graph function it panics on wrong shapes; the executor that runs it returns that as an error. The
// config must be valid.
func Forward(scope *model.Scope, cfg arch.Config, in Inputs, opts Options) Outputs {
	f := newForward(scope, cfg, in, opts)
	x := f.embed()
	for i := range cfg.Layers {
		if opts.Hidden {
			f.out.Hidden = append(f.out.Hidden, x)
		}
		if opts.Checkpoints {
			x = x.Checkpoint()
		}
		x = f.block(i, x)
	}
	if opts.Checkpoints {
		x = x.StopCheckpoint()
	}
	if opts.At != nil && !f.pickEarly {
		if opts.Hidden {
			f.out.Hidden = append(f.out.Hidden, f.norm("model.norm", x))
		}
		x = f.pick(x)
	}
	x = f.norm("model.norm", x)
	if opts.Hidden && opts.At == nil {
		f.out.Hidden = append(f.out.Hidden, x)
	}
	if opts.NoLogits {
		f.out.Final = x
	} else {
		f.out.Logits = f.head(x)
	}
	for name := range f.wantInputs {
		if f.out.LinearInputs[name] == nil {
			panic(fmt.Errorf("decoder: the input of %s is wanted, the model has no such linear", name))
		}
	}
	return f.out
}

// forward is the state of one Forward call.
type forward struct {
	arch.Config
	root          *model.Scope
	in            Inputs
	opts          Options
	g             *graph.Graph
	batch, length int
	keys          int            // columns of the scores: length, or with a cache its capacity
	views         map[bool]*view // of layers with and without a window
	pickEarly     bool           // the last block computes only what the chosen positions need
	wantStates    map[int]bool
	wantInputs    map[string]bool
	out           Outputs
}

func newForward(scope *model.Scope, cfg arch.Config, in Inputs, opts Options) *forward {
	f := &forward{
		Config: cfg, root: scope, in: in, opts: opts, g: in.IDs.Graph(),
		batch: in.IDs.Shape().Dimensions[0], length: in.IDs.Shape().Dimensions[1],
		views: map[bool]*view{}, wantStates: map[int]bool{}, wantInputs: map[string]bool{},
		out: Outputs{States: map[int]State{}, LinearInputs: map[string]*Node{}},
	}
	if f.length > cfg.MaxPositions {
		panic(fmt.Errorf("decoder: sequences of %d tokens, the model was made for %d (max_position_embeddings)", f.length, cfg.MaxPositions))
	}
	f.keys = f.length
	f.checkCache()
	for _, i := range opts.States {
		if i < 0 || i >= cfg.Layers {
			panic(fmt.Errorf("decoder: states of layer %d wanted, the model has layers 0 to %d", i, cfg.Layers-1))
		}
		f.wantStates[i] = true
	}
	for _, name := range opts.LinearInputs {
		f.wantInputs[name] = true
	}
	f.pickEarly = opts.At != nil && !opts.Hidden && len(opts.LinearInputs) == 0
	return f
}

// embed looks the token embeddings up: [batch, length, hidden].
func (f *forward) embed() *Node {
	x := graph.Gather(f.embedding(), graph.InsertAxes(f.in.IDs, -1))
	if scale := f.EmbeddingScale(); scale != 1 {
		x = graph.MulScalar(x, float32(scale))
	}
	return x
}

func (f *forward) embedding() *Node {
	return scopeOf(f.root, "model.embed_tokens").VariableWithShape("weight", shapes.Make(dtypes.Float32, f.VocabSize, f.HiddenSize)).NodeValue(f.g)
}

// head projects x [batch, n, hidden] to the vocabulary in full precision.
func (f *forward) head(x *Node) *Node {
	if !f.TieEmbeddings || f.opts.Frozen {
		return bitnet.Linear{Out: f.VocabSize, Weights: bitnet.FullPrecision, Frozen: f.opts.Frozen}.Apply(scopeOf(f.root, "lm_head"), bitnet.Activations{Values: x})
	}
	dims := x.Shape().Dimensions
	logits := matmul.Mul(graph.Reshape(x, -1, f.HiddenSize), matmul.Transpose(f.embedding()))
	return graph.Reshape(logits, dims[0], dims[1], f.VocabSize)
}

// OutputMatrix is what Outputs.Final is multiplied with for logits, transposed: [vocab, hidden], the embedding where that is tied.
func OutputMatrix(scope *model.Scope, cfg arch.Config, g *graph.Graph) *Node {
	name := "lm_head"
	if cfg.TieEmbeddings {
		name = "model.embed_tokens"
	}
	return scopeOf(scope, name).VariableWithShape("weight", shapes.Make(dtypes.Float32, cfg.VocabSize, cfg.HiddenSize)).NodeValue(g)
}

// picksIn reports whether the block goes on with the chosen positions alone: the last one, unless all of it is wanted.
func (f *forward) picksIn(layer int) bool { return f.pickEarly && layer == f.Layers-1 }

// pick keeps the chosen positions of x [batch, length, ...]: [batch, n, width].
func (f *forward) pick(x *Node) *Node {
	n := f.opts.At.Shape().Dimensions[1]
	rows := graph.Iota(f.g, shapes.Make(dtypes.Int32, f.batch, n), 0)
	flat := graph.Add(graph.MulScalar(rows, f.length), f.opts.At) // into the [batch*length] rows
	return graph.Gather(graph.Reshape(x, f.batch*f.length, -1), graph.InsertAxes(flat, -1))
}

func (f *forward) norm(name string, x *Node) *Node {
	if f.NormOffset() != 0 {
		return bitnet.OffsetRMSNorm(scopeOf(f.root, name), x, f.NormEps, f.NormOffset())
	}
	return bitnet.RMSNorm(scopeOf(f.root, name), x, f.NormEps)
}

// block is one transformer block on x [batch, length, hidden].
func (f *forward) block(i int, x *Node) *Node {
	name := fmt.Sprintf("model.layers.%d.", i)
	attended := f.attention(i, f.norm(name+arch.InputNorm, x))
	if f.picksIn(i) {
		x = f.pick(x)
	}
	y := f.linears(attended, name+"self_attn.o_proj")[0]
	if f.PostNorms() {
		y = f.norm(name+arch.PostAttentionNorm, y)
	}
	x = graph.Add(x, y)
	gateUp := f.linears(f.norm(name+f.FeedForwardNorm(), x), name+"mlp.gate_proj", name+"mlp.up_proj")
	gated := graph.Mul(activate(f.Activation(), gateUp[0]), gateUp[1]) // a gated linear unit (Shazeer 2020)
	y = f.linears(gated, name+"mlp.down_proj")[0]
	if f.PostNorms() {
		y = f.norm(name+arch.PostFeedForwardNorm, y)
	}
	return graph.Add(x, y)
}

// linears applies linears of a block to the same input. Without a SubLN in front of them they share its int8 codes.
func (f *forward) linears(x *Node, names ...string) []*Node {
	var shared *bitnet.Activations
	ys := make([]*Node, len(names))
	for i, name := range names {
		scope, kind := scopeOf(f.root, name), linearKind(name)
		subln := f.HasSubLN(kind)
		h := x
		if subln {
			h = bitnet.RMSNorm(scope.At("norm"), x, f.Quantization.SubLNEps)
		}
		if f.wantInputs[name] {
			f.out.LinearInputs[name] = h
		}
		if shared == nil || subln {
			a := bitnet.Activations{Values: h}
			if f.Quantization.IsTernary() {
				a = bitnet.Quantize(h)
			}
			shared = &a
		}
		ys[i] = bitnet.Linear{Out: f.LinearDims(kind)[0], Weights: f.Quantization.Weights, Bias: f.HasBias(kind),
			FP16Scales: f.Quantization.FP16Scales, Frozen: f.opts.Frozen, RoundGradients: f.opts.RoundGradients}.Apply(scope, *shared)
	}
	return ys
}
