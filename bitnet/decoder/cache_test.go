package decoder_test

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/decoder"
	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/internal/archtest"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
	"github.com/bitdistill/bitdistill/internal/golden"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// cached computes sequences token by token with a cache. Prompts are padded in front to one length.
type cached struct {
	cfg   arch.Config
	step  *model.Exec
	mask  [][]int32
	at    int
	cache []*tensors.Tensor
}

// newCached runs the prompts: the logits behind each.
func newCached(t testing.TB, cfg arch.Config, store *model.Store, prompts [][]int32, capacity int) (*cached, [][]float32) {
	t.Helper()
	c := &cached{cfg: cfg}
	for _, p := range prompts {
		c.at = max(c.at, len(p))
	}
	var ids, mask, at [][]int32
	for _, p := range prompts {
		row := pad(p, c.at-len(p), 0, 3)
		ids, mask, at = append(ids, row.ids), append(mask, row.mask), append(at, []int32{int32(c.at - 1)})
		c.mask = append(c.mask, append(slices.Clone(row.mask), slices.Repeat([]int32{1}, capacity-c.at)...))
	}
	store, release, err := decoder.Freeze(backendtest.Open(t), cfg, store)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	prefill := newExec(t, store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		out := decoder.Forward(scope, cfg, decoder.Inputs{IDs: in[0], Mask: in[1]}, decoder.Options{At: in[2], Keep: capacity, Frozen: true})
		return slices.Concat([]*graph.Node{out.Logits}, out.Cache.K, out.Cache.V)
	})
	c.step = newExec(t, store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		k := 3 + cfg.Layers
		out := decoder.Forward(scope, cfg, decoder.Inputs{IDs: in[0], Mask: in[1],
			Cache: &decoder.Cache{At: in[2], K: in[3:k], V: in[k:]}}, decoder.Options{Frozen: true})
		return slices.Concat([]*graph.Node{out.Logits}, out.Cache.K, out.Cache.V)
	})
	return c, c.take(t, prefill, ids, mask, at)
}

func newExec(t testing.TB, store *model.Store, fn graphFn) *model.Exec {
	t.Helper()
	exec, err := model.NewExec(backendtest.Open(t), store, fn)
	if err != nil {
		t.Fatal(err)
	}
	return exec
}

func (c *cached) take(t testing.TB, exec *model.Exec, inputs ...any) [][]float32 {
	t.Helper()
	outs, err := exec.Exec(inputs...)
	if err != nil {
		t.Fatal(err)
	}
	c.cache = outs[1:]
	return rows(flat(t, outs[0]), c.cfg.VocabSize)
}

// next adds a token to each row: the logits behind it.
func (c *cached) next(t testing.TB, ids []int32) [][]float32 {
	t.Helper()
	var column [][]int32
	for _, id := range ids {
		column = append(column, []int32{id})
	}
	inputs := []any{column, c.mask, int32(c.at)}
	for _, x := range c.cache {
		inputs = append(inputs, x)
	}
	c.at++
	return c.take(t, c.step, inputs...)
}

// checkCached continues prompts with a cache, along the sequence that all of them begin or greedily where that is nil, and wants each
// row's logits to be those of the whole sequence computed anew, alone and without padding.
func checkCached(t *testing.T, cfg arch.Config, store *model.Store, prompts [][]int32, along []int32, steps int, tolerance float64) (worst float64) {
	t.Helper()
	longest := 0
	for _, p := range prompts {
		longest = max(longest, len(p))
	}
	c, logits := newCached(t, cfg, store, prompts, longest+steps)
	whole := newExec(t, store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		return []*graph.Node{decoder.Forward(scope, cfg, decoder.Inputs{IDs: in[0]}, decoder.Options{At: in[1]}).Logits}
	})
	whole.SetMaxCache(-1)
	sequences := slices.Clone(prompts)
	for step := range steps {
		ids := make([]int32, len(prompts))
		for i, sequence := range sequences {
			outs, err := whole.Exec([][]int32{sequence}, [][]int32{{int32(len(sequence) - 1)}})
			if err != nil {
				t.Fatal(err)
			}
			want := flat(t, outs[0])
			d, at := golden.MaxDiff(logits[i], want)
			worst = math.Max(worst, d)
			if !(d <= tolerance) {
				t.Fatalf("step %d, row %d: logit %d is off by %.3g", step, i, at, d)
			}
			if ids[i] = argmax(logits[i]); ids[i] != argmax(want) {
				t.Fatalf("step %d, row %d: token %d, want %d", step, i, ids[i], argmax(want))
			}
			if along != nil {
				ids[i] = along[len(sequence)]
			}
			sequences[i] = append(slices.Clone(sequence), ids[i])
		}
		logits = c.next(t, ids)
	}
	return worst
}

// TestCache holds for every family, precision and SubLN that a cache changes nothing, with windows shorter than the sequence.
func TestCache(t *testing.T) {
	for name, cfg := range archtest.Variants() {
		t.Run(name, func(t *testing.T) {
			const steps = 5
			n, ids, _ := clearCase(t, cfg, 12, nil, nil) // codes far from where rounding decides otherwise
			prompts := [][]int32{ids[:7], ids[:1], ids[:4]}
			worst := checkCached(t, cfg, n.weights.store(t, cfg), prompts, ids, steps, 1e-5)
			t.Logf("largest deviation %.2g", worst)
		})
	}
}

// checkCachedGreedy is checkGreedy with a cache, in a batch with a shorter prompt.
func checkCachedGreedy(t *testing.T, m *hf.Model, prompt, want []int) {
	t.Helper()
	var ids []int32
	for _, id := range prompt {
		ids = append(ids, int32(id))
	}
	c, logits := newCached(t, m.Config, m.Store, [][]int32{ids[:1], ids}, len(want))
	for i := len(prompt); i < len(want); i++ {
		next := []int32{argmax(logits[0]), argmax(logits[1])}
		if int(next[1]) != want[i] {
			t.Fatalf("greedy token %d is %d with a cache, want %d", i, next[1], want[i])
		}
		if i < len(want)-1 {
			logits = c.next(t, next)
		}
	}
}

// TestFreeze holds that frozen weights give the same logits to the last bit, with every quantizer.
func TestFreeze(t *testing.T) {
	all := archtest.Variants()
	for _, kind := range []bitnet.Weights{bitnet.Block, bitnet.BlockPadded, bitnet.Channel} {
		q := bitnet.Ternary(bitnet.SubLNOutput)
		q.Weights = kind
		all[string(kind)] = archtest.Tiny(arch.Qwen3, q)
		q.FP16Scales = true
		all[string(kind)+", float16"] = archtest.Tiny(arch.Qwen3, q)
	}
	for name, cfg := range all {
		t.Run(name, func(t *testing.T) {
			store, ids := randomWeights(cfg, 12).store(t, cfg), randomIDs(cfg, 2, 9, 12)
			logits := func(store *model.Store, frozen bool) []float32 {
				return run(t, store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
					return []*graph.Node{decoder.Forward(scope, cfg, decoder.Inputs{IDs: in[0]}, decoder.Options{Frozen: frozen}).Logits}
				}, ids)[0]
			}
			frozen, release, err := decoder.Freeze(backendtest.Open(t), cfg, store)
			if err != nil {
				t.Fatal(err)
			}
			defer release()
			if !slices.Equal(logits(frozen, true), logits(store, false)) {
				t.Error("logits differ")
			}
		})
	}
	cfg := archtest.Tiny(arch.Llama, bitnet.Full())
	store := randomWeights(cfg, 1).store(t, cfg)
	if err := store.DeleteVariable("/model/layers/1/mlp/up_proj/weight"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := decoder.Freeze(backendtest.Open(t), cfg, store); err == nil || !strings.Contains(err.Error(), "/model/layers/1/mlp/up_proj/weight") {
		t.Errorf("got %v", err)
	}
}

// TestGoldenCache holds the same for the golden models, whose weights are transformers'.
func TestGoldenCache(t *testing.T) {
	for _, name := range golden.Folders(t, "decoders") {
		t.Run(name, func(t *testing.T) {
			m, err := hf.Load(filepath.Join(golden.Dir(t), "decoders", name))
			if err != nil {
				t.Fatal(err)
			}
			f := golden.Open(t, "decoders", name, "expected.safetensors")
			prompt, _ := golden.Ints(t, f, "greedy.prompt")
			want, _ := golden.Ints(t, f, "greedy.output")
			checkCachedGreedy(t, m, prompt, want)
			all := sequences(t, f, "input_ids")
			prompts := [][]int32{all[0][:5], all[1][:11], all[0][5:6]}
			worst := checkCached(t, m.Config, m.Store, prompts, nil, 12, 2e-5)
			t.Logf("largest deviation %.2g", worst)
		})
	}
}

// A cache that does not fit is refused with what is wrong, not with a shape error somewhere behind.
func TestCacheRefused(t *testing.T) {
	cfg := archtest.Tiny(arch.Llama, bitnet.Full())
	store := randomWeights(cfg, 1).store(t, cfg)
	for want, fn := range map[string]graphFn{
		"does not hold a sequence of 4": func(scope *model.Scope, in []*graph.Node) []*graph.Node {
			return []*graph.Node{decoder.Forward(scope, cfg, decoder.Inputs{IDs: in[0]}, decoder.Options{Keep: 3}).Logits}
		},
		"takes 1 token a row": func(scope *model.Scope, in []*graph.Node) []*graph.Node {
			out := decoder.Forward(scope, cfg, decoder.Inputs{IDs: in[0]}, decoder.Options{Keep: 8})
			out.Cache.At = graph.Const(in[0].Graph(), int32(4))
			return []*graph.Node{decoder.Forward(scope, cfg, decoder.Inputs{IDs: in[0], Cache: out.Cache}, decoder.Options{}).Logits}
		},
		"layer 0 of the cache has keys": func(scope *model.Scope, in []*graph.Node) []*graph.Node {
			out := decoder.Forward(scope, cfg, decoder.Inputs{IDs: in[0]}, decoder.Options{Keep: 8})
			out.Cache.At = graph.Const(in[0].Graph(), int32(4))
			one := graph.Slice(in[0], graph.AxisRange(0, 1), graph.AxisRange(0, 1))
			return []*graph.Node{decoder.Forward(scope, cfg, decoder.Inputs{IDs: one, Cache: out.Cache}, decoder.Options{}).Logits}
		},
	} {
		if _, err := newExec(t, store, fn).Exec([][]int32{{1, 2, 3, 4}, {5, 6, 7, 8}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
