package decoder_test

import (
	"math"
	"slices"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/decoder"
	"github.com/bitdistill/bitdistill/internal/archtest"
	"github.com/bitdistill/bitdistill/internal/golden"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// padded is a sequence with padding on either side.
type padded struct {
	ids, mask, positions []int32 // positions of the sequence without its padding
	start                int     // of the real tokens
}

func pad(ids []int32, left, right int, filler int32) padded {
	p := padded{start: left}
	for i := range left + len(ids) + right {
		id, bit, position := filler, int32(0), int32(0)
		if i >= left && i < left+len(ids) {
			id, bit, position = ids[i-left], 1, int32(i-left)
		}
		p.ids, p.mask, p.positions = append(p.ids, id), append(p.mask, bit), append(p.positions, position)
	}
	return p
}

// TestPadding holds that padding changes no logits of real tokens, on whichever side it stands, and that its content changes not
// one bit of them.
func TestPadding(t *testing.T) {
	const length = 6
	given, shifted := 0.0, 0.0
	for name, cfg := range archtest.Variants() {
		t.Run(name, func(t *testing.T) {
			n, ids, _ := clearCase(t, cfg, length, nil, nil)
			store := n.weights.store(t, cfg)
			alone := run(t, store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
				return []*graph.Node{decoder.Forward(scope, cfg, decoder.Inputs{IDs: in[0]}, decoder.Options{}).Logits}
			}, [][]int32{ids})[0]

			forward := executor(t, store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
				inputs := decoder.Inputs{IDs: in[0], Mask: in[1], Positions: in[2]}
				given := decoder.Forward(scope, cfg, inputs, decoder.Options{}).Logits
				inputs.Positions = nil
				return []*graph.Node{given, decoder.Forward(scope, cfg, inputs, decoder.Options{}).Logits}
			})
			// pass returns the logits of the real tokens, by kind of positions and case.
			pass := func(filler int32) (logits [2][][]float32) {
				var all, masks, positions [][]int32
				cases := []padded{pad(ids, 0, 5, filler), pad(ids, 5, 0, filler), pad(ids, 2, 3, filler)}
				for _, c := range cases {
					all, masks, positions = append(all, c.ids), append(masks, c.mask), append(positions, c.positions)
				}
				for kind, values := range forward(all, masks, positions) {
					for i, sequence := range rows(values, len(cases[0].ids)*cfg.VocabSize) {
						start := cases[i].start * cfg.VocabSize
						logits[kind] = append(logits[kind], sequence[start:start+length*cfg.VocabSize])
					}
				}
				return logits
			}
			first, second := pass(0), pass(11)
			for kind, worst := range []*float64{&given, &shifted} {
				for i, logits := range first[kind] {
					d, _ := golden.MaxDiff(logits, alone)
					*worst = math.Max(*worst, d)
					if d > 1e-5 { // the order of float32 sums changes with the length
						t.Errorf("case %d: logits differ by %.3g", i, d)
					}
					if !slices.Equal(logits, second[kind][i]) {
						t.Errorf("case %d: what stands at padding makes a difference", i)
					}
				}
			}
		})
	}
	t.Logf("largest deviation %.2g with positions given, %.2g with positions that count padding", given, shifted)
}

// TestPaddingHasNoGradient holds that what stands at padding has no influence on the training of real tokens: the embedding
// of an id that is nowhere else gets an exact zero, and nothing is NaN, even in a row of padding alone.
func TestPaddingHasNoGradient(t *testing.T) {
	for name, cfg := range archtest.Variants() {
		t.Run(name, func(t *testing.T) {
			cfg.TieEmbeddings = false // else the head gives each row of the embedding a gradient
			const filler = 18
			a, b := pad([]int32{1, 2, 3}, 2, 1, filler), pad(nil, 0, 6, filler)
			grads := run(t, randomWeights(cfg, 3).store(t, cfg), func(scope *model.Scope, in []*graph.Node) []*graph.Node {
				out := decoder.Forward(scope, cfg, decoder.Inputs{IDs: in[0], Mask: in[1]}, decoder.Options{})
				weight := graph.InsertAxes(graph.ConvertDType(in[1], out.Logits.DType()), -1)
				loss := graph.ReduceAllSum(graph.Mul(graph.Mul(out.Logits, out.Logits), weight))
				return graph.Gradient(loss, variables(scope, loss.Graph(), cfg.Tensors())...)
			}, [][]int32{a.ids, b.ids}, [][]int32{a.mask, b.mask})
			for i, tensor := range cfg.Tensors() {
				if j := slices.IndexFunc(grads[i], func(v float32) bool { return v-v != 0 }); j >= 0 {
					t.Errorf("%s: gradient %d is %g", tensor.Name, j, grads[i][j])
				}
			}
			embedding := rows(grads[0], cfg.HiddenSize)
			if slices.ContainsFunc(embedding[filler], func(v float32) bool { return v != 0 }) {
				t.Errorf("the padding's embedding has the gradient %v", embedding[filler])
			}
			if !slices.ContainsFunc(embedding[1], func(v float32) bool { return v != 0 }) {
				t.Error("a real token's embedding has no gradient")
			}
		})
	}
}

// TestLaterTokensAreUnseen holds causality: another token changes no logits in front of it, not in the last bit.
func TestLaterTokensAreUnseen(t *testing.T) {
	for name, cfg := range archtest.Variants() {
		t.Run(name, func(t *testing.T) {
			ids := randomIDs(cfg, 1, 8, 4)[0]
			changed := slices.Clone(ids)
			const at = 5
			changed[at] = (changed[at] + 1) % int32(cfg.VocabSize)
			forward := executor(t, randomWeights(cfg, 4).store(t, cfg), func(scope *model.Scope, in []*graph.Node) []*graph.Node {
				return []*graph.Node{decoder.Forward(scope, cfg, decoder.Inputs{IDs: in[0]}, decoder.Options{}).Logits}
			})
			before, after := forward([][]int32{ids})[0], forward([][]int32{changed})[0]
			if d, i := golden.MaxDiff(before[:at*cfg.VocabSize], after[:at*cfg.VocabSize]); d != 0 {
				t.Errorf("position %d sees position %d", i/cfg.VocabSize, at)
			}
			if slices.Equal(before[at*cfg.VocabSize:], after[at*cfg.VocabSize:]) {
				t.Error("another token makes no difference")
			}
		})
	}
}

// TestPositionsAreRelative holds what rotary embeddings promise: the same logits wherever the sequence begins.
func TestPositionsAreRelative(t *testing.T) {
	for _, family := range arch.Families() {
		cfg := archtest.Tiny(family, bitnet.Full())
		ids := randomIDs(cfg, 1, 6, 5)
		forward := executor(t, randomWeights(cfg, 5).store(t, cfg), func(scope *model.Scope, in []*graph.Node) []*graph.Node {
			return []*graph.Node{decoder.Forward(scope, cfg, decoder.Inputs{IDs: in[0], Positions: in[1]}, decoder.Options{}).Logits}
		})
		first := forward(ids, [][]int32{{0, 1, 2, 3, 4, 5}})[0]
		golden.Close(t, string(family), forward(ids, [][]int32{{20, 21, 22, 23, 24, 25}})[0], first, 1e-5)
		if d, _ := golden.MaxDiff(forward(ids, [][]int32{{0, 2, 4, 6, 8, 10}})[0], first); d < 1e-2 {
			t.Errorf("%s: positions make no difference", family)
		}
	}
}
