package decoder_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
)

// naive is the decoder in float64 and plain loops, one token at a time: what the graph is compared with. It shares no code
// with it.
type naive struct {
	cfg     arch.Config
	weights weights

	// What the last forward pass has seen, by position.
	q, k, v [][][]float64          // by layer; after norm and rotary embedding
	inputs  map[string][][]float64 // of linears, after SubLN
	hidden  [][][]float64          // embedding output, then each block's, the last after the final norm

	// The smallest distances of what was rounded from a rounding boundary, over all passes. Where they are large, float32
	// and float64 give the same codes.
	activationMargin, weightMargin float64

	// A frozen pass adds the differences that quantization made in the pass before instead of quantizing. As a function
	// of the weights it is smooth, and its derivative is what the straight-through estimator defines.
	frozen  bool
	offsets [][]float64
	next    int
}

func newNaive(cfg arch.Config, w weights) *naive {
	return &naive{cfg: cfg, weights: w, activationMargin: math.Inf(1), weightMargin: math.Inf(1)}
}

// clear margins are far above what float32 is off by.
func (n *naive) clear() bool { return n.activationMargin > 1e-4 && n.weightMargin > 1e-5 }

// forward gives the logits of a sequence. isReal and positions may be nil.
func (n *naive) forward(ids []int32, isReal []bool, positions []int32) [][]float64 {
	c := n.cfg
	n.next = 0
	if !n.frozen {
		n.offsets = nil
	}
	n.q, n.k, n.v, n.hidden, n.inputs = nil, nil, nil, nil, map[string][][]float64{}
	x := make([][]float64, len(ids))
	for t, id := range ids {
		x[t] = slices.Clone(row(n.weights["model.embed_tokens.weight"], int(id), c.HiddenSize))
		if c.Family == arch.Gemma3 {
			for i := range x[t] {
				x[t][i] *= math.Sqrt(float64(c.HiddenSize))
			}
		}
	}
	for i := range c.Layers {
		n.hidden = append(n.hidden, x)
		x = n.block(i, x, isReal, positions)
	}
	x = n.norm("model.norm", x, c.NormEps)
	n.hidden = append(n.hidden, x)
	head := n.weights["lm_head.weight"]
	if c.TieEmbeddings {
		head = n.weights["model.embed_tokens.weight"]
	}
	return times(x, head, c.VocabSize)
}

func (n *naive) block(layer int, x [][]float64, isReal []bool, positions []int32) [][]float64 {
	c, name := n.cfg, fmt.Sprintf("model.layers.%d.", layer)
	gemma := c.Family == arch.Gemma3
	window, theta, scaling := len(x), c.RopeTheta, c.RopeScaling
	if gemma && c.SlidingLayers[layer] {
		window, theta, scaling = c.SlidingWindow, c.LocalRopeTheta, arch.RopeScaling{}
	}
	h := n.norm(name+"input_layernorm", x, c.NormEps)
	q := n.linear(name+"self_attn.q_proj", h, c.Heads*c.HeadDim)
	k := n.linear(name+"self_attn.k_proj", h, c.KVHeads*c.HeadDim)
	v := n.linear(name+"self_attn.v_proj", h, c.KVHeads*c.HeadDim)
	for t := range x {
		position := t
		if positions != nil {
			position = int(positions[t])
		}
		for _, side := range []struct {
			name  string
			heads []float64
		}{{"q_norm", q[t]}, {"k_norm", k[t]}} {
			for start := 0; start < len(side.heads); start += c.HeadDim {
				head := side.heads[start : start+c.HeadDim]
				if c.Family == arch.Qwen3 || gemma {
					copy(head, n.norm(name+"self_attn."+side.name, [][]float64{head}, c.NormEps)[0])
				}
				rotate(head, position, theta, scaling)
			}
		}
	}
	n.q, n.k, n.v = append(n.q, q), append(n.k, k), append(n.v, v)
	y := n.linear(name+"self_attn.o_proj", attend(c, q, k, v, isReal, window), c.HiddenSize)
	before := "post_attention_layernorm"
	if gemma {
		y, before = n.norm(name+"post_attention_layernorm", y, c.NormEps), "pre_feedforward_layernorm"
	}
	x = sum(x, y)

	h = n.norm(name+before, x, c.NormEps)
	gate := n.linear(name+"mlp.gate_proj", h, c.IntermediateSize)
	up := n.linear(name+"mlp.up_proj", h, c.IntermediateSize)
	for t := range gate {
		for i, g := range gate[t] {
			activated := g / (1 + math.Exp(-g))
			if gemma {
				activated = g / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(g+0.044715*g*g*g)))
			}
			gate[t][i] = activated * up[t][i]
		}
	}
	y = n.linear(name+"mlp.down_proj", gate, c.HiddenSize)
	if gemma {
		y = n.norm(name+"post_feedforward_layernorm", y, c.NormEps)
	}
	return sum(x, y)
}

// attend is softmax attention of grouped queries: query head h looks at key head h / (heads/kvHeads). A token
// looks back at window tokens, itself included.
func attend(c arch.Config, q, k, v [][]float64, isReal []bool, window int) [][]float64 {
	divisor := float64(c.HeadDim)
	if c.Family == arch.Gemma3 {
		divisor = c.QueryScalar
	}
	out := make([][]float64, len(q))
	for t := range q {
		out[t] = make([]float64, c.Heads*c.HeadDim)
		for h := range c.Heads {
			kv := h / (c.Heads / c.KVHeads)
			query := row(q[t], h, c.HeadDim)
			seen, total := make([]float64, t+1), 0.0
			for s := range seen {
				if s == t || t-s < window && (isReal == nil || isReal[s]) {
					seen[s] = math.Exp(dot(query, row(k[s], kv, c.HeadDim)) / math.Sqrt(divisor))
					total += seen[s]
				}
			}
			for s, weight := range seen {
				for i, value := range row(v[s], kv, c.HeadDim) {
					out[t][h*c.HeadDim+i] += weight / total * value
				}
			}
		}
	}
	return out
}

// rotate turns the pairs (i, i+half) of a head by position / theta^(2i/dim), scaled.
func rotate(head []float64, position int, theta float64, scaling arch.RopeScaling) {
	half := len(head) / 2
	for i := range half {
		frequency := math.Pow(theta, -float64(i)/float64(half))
		switch wavelength := 2 * math.Pi / frequency; {
		case scaling.Type == arch.RopeLinear:
			frequency /= scaling.Factor
		case scaling.Type == arch.RopeLlama3 && wavelength > float64(scaling.OriginalPositions)/scaling.LowFreqFactor:
			frequency /= scaling.Factor
		case scaling.Type == arch.RopeLlama3 && wavelength >= float64(scaling.OriginalPositions)/scaling.HighFreqFactor:
			smooth := (float64(scaling.OriginalPositions)/wavelength - scaling.LowFreqFactor) / (scaling.HighFreqFactor - scaling.LowFreqFactor)
			frequency *= (1-smooth)/scaling.Factor + smooth
		}
		sin, cos := math.Sincos(float64(position) * frequency)
		a, b := head[i], head[i+half]
		head[i], head[i+half] = a*cos-b*sin, b*cos+a*sin
	}
}

// linear is a projection of a block with all that stands in front of it.
func (n *naive) linear(name string, x [][]float64, out int) [][]float64 {
	q := n.cfg.Quantization
	if gamma, ok := n.weights[name+".norm.weight"]; ok {
		normed := make([][]float64, len(x))
		for t := range x {
			normed[t] = rmsNorm(x[t], gamma, q.SubLNEps)
		}
		x = normed
	}
	n.inputs[name] = x
	w := n.weights[name+".weight"]
	if q.Weights == bitnet.FullPrecision {
		return n.biased(name, times(x, w, out))
	}
	quantized := make([][]float64, len(x))
	for t := range x {
		quantized[t] = n.quantize(x[t], n.int8)
	}
	return n.biased(name, times(quantized, n.quantize(w, func(w []float64) []float64 { return n.ternary(w, out) }), out))
}

// biased adds the bias of Qwen2's queries, keys and values.
func (n *naive) biased(name string, x [][]float64) [][]float64 {
	bias := n.weights[name+".bias"]
	for t := range x {
		for i := range bias {
			x[t][i] += bias[i]
		}
	}
	return x
}

// quantize applies a quantizer, or in a frozen pass what it added before.
func (n *naive) quantize(x []float64, quantizer func([]float64) []float64) []float64 {
	if n.frozen {
		n.next++
		return sum([][]float64{x}, [][]float64{n.offsets[n.next-1]})[0]
	}
	quantized, offset := quantizer(x), make([]float64, len(x))
	for i := range x {
		offset[i] = quantized[i] - x[i]
	}
	n.offsets = append(n.offsets, offset)
	return quantized
}

// int8 quantizes the activations of one token.
func (n *naive) int8(x []float64) []float64 {
	largest := 1e-5
	for _, v := range x {
		largest = math.Max(largest, math.Abs(v))
	}
	out := make([]float64, len(x))
	for i, v := range x {
		scaled := v * 127 / largest
		out[i] = math.RoundToEven(scaled) * largest / 127
		n.activationMargin = math.Min(n.activationMargin, math.Abs(scaled-math.Floor(scaled)-0.5))
	}
	return out
}

// ternary quantizes a matrix of the given number of rows.
func (n *naive) ternary(w []float64, rows int) []float64 {
	group := map[bitnet.Weights]int{bitnet.AbsMean: len(w), bitnet.Channel: len(w) / rows, bitnet.Block: 256, bitnet.BlockPadded: 256}[n.cfg.Quantization.Weights]
	out := make([]float64, 0, len(w))
	for values := range slices.Chunk(w, group) {
		scale, count := 0.0, float64(len(values))
		for _, v := range values {
			scale += math.Abs(v)
		}
		if n.cfg.Quantization.Weights == bitnet.BlockPadded {
			count = 256
		}
		scale = math.Max(scale/count, 1e-5)
		for _, v := range values {
			out = append(out, scale*math.Max(-1, math.Min(1, math.RoundToEven(v/scale))))
			n.weightMargin = math.Min(n.weightMargin, math.Abs(math.Abs(v/scale)-0.5))
		}
	}
	return out
}

func (n *naive) norm(name string, x [][]float64, eps float64) [][]float64 {
	gamma := slices.Clone(n.weights[name+".weight"])
	if n.cfg.Family == arch.Gemma3 {
		for i := range gamma {
			gamma[i]++
		}
	}
	out := make([][]float64, len(x))
	for t := range x {
		out[t] = rmsNorm(x[t], gamma, eps)
	}
	return out
}

func rmsNorm(x, gamma []float64, eps float64) []float64 {
	rms := math.Sqrt(dot(x, x)/float64(len(x)) + eps)
	out := make([]float64, len(x))
	for i := range x {
		out[i] = x[i] / rms * gamma[i]
	}
	return out
}

// times multiplies each row of x with each of the out rows of w.
func times(x [][]float64, w []float64, out int) [][]float64 {
	y := make([][]float64, len(x))
	for t := range x {
		y[t] = make([]float64, out)
		for o := range out {
			y[t][o] = dot(x[t], row(w, o, len(x[t])))
		}
	}
	return y
}

func sum(a, b [][]float64) [][]float64 {
	out := make([][]float64, len(a))
	for t := range a {
		out[t] = make([]float64, len(a[t]))
		for i := range a[t] {
			out[t][i] = a[t][i] + b[t][i]
		}
	}
	return out
}

func row(x []float64, i, width int) []float64 { return x[i*width : (i+1)*width] }

func dot(a, b []float64) float64 {
	total := 0.0
	for i := range a {
		total += a[i] * b[i]
	}
	return total
}

// clearCase searches weights and ids for which no rounding is close to a boundary, so that float32 and float64 must agree.
func clearCase(t testing.TB, cfg arch.Config, length int, isReal []bool, positions []int32) (*naive, []int32, [][]float64) {
	t.Helper()
	for seed := range uint64(100) {
		ids := randomIDs(cfg, 1, length, seed)[0]
		n := newNaive(cfg, randomWeights(cfg, seed))
		if logits := n.forward(ids, isReal, positions); n.clear() {
			return n, ids, logits
		}
	}
	t.Fatal("every seed has a value close to a rounding boundary")
	return nil, nil, nil
}
