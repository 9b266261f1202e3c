package speed

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/bitnet/native"
	"github.com/bitdistill/bitdistill/internal/archtest"
)

// wide has rows that all types can hold.
func wide(family arch.Family) arch.Config {
	c := archtest.Tiny(family, arch.Ternary(arch.SubLNOutput))
	c.HiddenSize, c.IntermediateSize, c.Heads, c.KVHeads, c.HeadDim, c.VocabSize = 256, 512, 4, 2, 64, 70
	return c
}

// TestSameWeights writes a model for both engines: the same weights, in the types and under the names that llama.cpp wants.
func TestSameWeights(t *testing.T) {
	for family, names := range map[arch.Family][]string{
		arch.Qwen3: {"token_embd.weight", "output.weight", "output_norm.weight", "blk.0.attn_norm.weight", "blk.0.attn_q.weight", "blk.0.attn_k.weight",
			"blk.0.attn_v.weight", "blk.0.attn_output.weight", "blk.0.attn_q_norm.weight", "blk.0.attn_k_norm.weight", "blk.0.ffn_norm.weight",
			"blk.0.ffn_gate.weight", "blk.0.ffn_up.weight", "blk.1.ffn_down.weight"},
		arch.Llama: {"token_embd.weight", "blk.1.attn_q.weight", "blk.0.ffn_down.weight"},
	} {
		c := wide(family)
		own := filepath.Join(t.TempDir(), "model.gguf")
		if err := WriteModel(t.Context(), own, c, gguf.F32); err != nil {
			t.Fatal(err)
		}
		model, err := native.Open(own)
		if err != nil {
			t.Fatal(err)
		}
		defer model.Close()
		for _, kind := range []gguf.Type{gguf.TQ2_0, gguf.Q2_0, gguf.F16} {
			f := llamaFile(t, c, kind)
			for _, name := range names {
				if _, ok := f.Info(name); !ok {
					t.Errorf("%s: no %s", family, name)
				}
			}
			plain := c
			plain.Quantization = arch.Full()
			infos := f.Tensors()
			if len(infos) != len(plain.Tensors()) {
				t.Errorf("%s: %d tensors, want %d", family, len(infos), len(plain.Tensors()))
			}
			for i, tensor := range plain.Tensors() {
				want := map[arch.Kind]gguf.Type{arch.Linear: kind, arch.Norm: gguf.F32, arch.Embedding: gguf.Q8_0, arch.Head: gguf.Q8_0}[tensor.Kind]
				if kind == gguf.F16 && want == gguf.Q8_0 {
					want = gguf.F16
				}
				if infos[i].Type != want {
					t.Errorf("%s is %s, want %s", infos[i].Name, infos[i].Type, want)
				}
				sameValues(t, f, infos[i], model, tensor)
			}
		}
	}
}

func llamaFile(t *testing.T, c arch.Config, kind gguf.Type) *gguf.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), kind.String())
	if err := WriteLlama(t.Context(), path, c, kind); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func sameValues(t *testing.T, f *gguf.File, info gguf.Info, model *native.File, tensor arch.Tensor) {
	t.Helper()
	got, err := f.Float32s(info.Name)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != tensor.Size() {
		t.Fatalf("%s: %v, want %v", info.Name, info.Shape, tensor.Dims)
	}
	within, want := 0.0, make([]float32, tensor.Size())
	if tensor.Kind == arch.Linear {
		want = unpacked(t, model, tensor)
	} else if err := model.ReadRows(tensor, 0, want); err != nil {
		t.Fatal(err)
	}
	if tensor.Kind == arch.Embedding || tensor.Kind == arch.Head {
		within = 0.04 / 127
	}
	sum := 0.0
	for i, v := range got {
		if math.Abs(float64(v-want[i])) > within {
			t.Fatalf("%s: value %d is %g, in this project's file %g", info.Name, i, v, want[i])
		}
		sum += math.Abs(float64(v))
	}
	if sum == 0 {
		t.Errorf("%s is all zero", info.Name)
	}
}

// unpacked reads panels after the words of docs/gguf.md.
func unpacked(t *testing.T, f *native.File, tensor arch.Tensor) []float32 {
	t.Helper()
	panels, err := f.Bytes(tensor)
	if err != nil {
		t.Fatal(err)
	}
	scales, err := f.Scales(tensor)
	if err != nil {
		t.Fatal(err)
	}
	out, in := tensor.Dims[0], tensor.Dims[1]
	w := make([]float32, out*in)
	for r := range out {
		for k := range in {
			b := panels[(r/64*(in/4)+k/4)*64+r%16*4+k%4]
			w[r*in+k] = (float32(b>>(r%64/16*2)&3) - 1) * scales[0]
		}
	}
	return w
}

func TestLlamaMetadata(t *testing.T) {
	c := wide(arch.Qwen3)
	meta := llamaFile(t, c, gguf.Q2_0).Metadata()
	for key, want := range map[string]int{
		"qwen3.vocab_size": 70, "qwen3.block_count": 2, "qwen3.embedding_length": 256, "qwen3.feed_forward_length": 512, "qwen3.attention.head_count": 4,
		"qwen3.attention.head_count_kv": 2, "qwen3.attention.key_length": 64, "qwen3.attention.value_length": 64, "qwen3.context_length": c.MaxPositions,
	} {
		if got, err := meta.Int(key); err != nil || got != want {
			t.Errorf("%s: %d (%v), want %d", key, got, err, want)
		}
	}
	if base, err := meta.Float("qwen3.rope.freq_base"); err != nil || base != c.RopeTheta {
		t.Errorf("base %g (%v)", base, err)
	}
}

func TestWriteLlamaRefuses(t *testing.T) {
	narrow := wide(arch.Llama)
	narrow.HiddenSize = 64
	for says, c := range map[string]arch.Config{"gemma3_text": wide(arch.Gemma3), "a row has 64 values, not a multiple of the 256": narrow} {
		path := filepath.Join(t.TempDir(), "model.gguf")
		if err := WriteLlama(t.Context(), path, c, gguf.TQ2_0); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %s", err, says)
		}
		if _, err := os.Stat(path); err == nil {
			t.Error("there is a file")
		}
	}
}

// TestSpread: each code about as often.
func TestSpread(t *testing.T) {
	count := map[float32]int{}
	dst := make([]float32, 3000)
	tensor := arch.Tensor{Name: "x", Dims: []int{100, 30}, Kind: arch.Linear}
	if err := rows(wide(arch.Llama))(tensor, 0, dst); err != nil {
		t.Fatal(err)
	}
	for _, v := range dst {
		count[v]++
	}
	if len(count) != 3 {
		t.Fatalf("values %v", count)
	}
	for v, n := range count {
		if n < 800 || n > 1200 {
			t.Errorf("%g: %d of %d", v, n, len(dst))
		}
	}
}

// TestMeasure measures every kind of test on a model of its own file, which the limits know the size of.
func TestMeasure(t *testing.T) {
	c := wide(arch.Qwen3)
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := WriteModel(t.Context(), path, c, gguf.Q8_0); err != nil {
		t.Fatal(err)
	}
	m, err := Describe(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	linears, head, norms := c.Parameters(arch.Linear), c.VocabSize*c.HiddenSize, c.Parameters(arch.Norm, arch.SubLNorm)
	if want := int64(linears/4 + 4*7*c.Layers + head/32*34 + 4*norms); m.Bytes != want || m.Config.HiddenSize != c.HiddenSize {
		t.Errorf("%d bytes, want %d", m.Bytes, want)
	}
	for _, test := range []Test{{12, 0, 1}, {0, 8, 1}, {12, 8, 1}, {0, 8, 3}} {
		times, err := Measure(t.Context(), Run{Model: path, Threads: 2, Test: test})
		if err != nil {
			t.Fatal(err)
		}
		if !(times.Load > 0 && times.First > times.Load && times.Pass > 0) || times.Kernel == "" {
			t.Errorf("%s: %+v", test, times)
		}
	}
	if _, err := Measure(t.Context(), Run{Model: path, Test: Test{Prompt: c.MaxPositions, Generate: 1, Sequences: 1}}); err == nil {
		t.Error("longer than the model was made for")
	}
}

func TestProbe(t *testing.T) {
	all, err := Probe(1, 2)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range all {
		if r.Threads != i+1 || !(r.Read > 1e7 && r.Read < 1e13 && r.Products > 1e7 && r.Products < 1e14) {
			t.Errorf("%+v", r)
		}
	}
}

// Counted by hand.
func TestLimit(t *testing.T) {
	c := wide(arch.Qwen3)                 // 2 blocks, 2 key heads of 64, 2*589824 weights in linears
	m := Model{Config: c, Bytes: 1000000} // a token's cache is 2 * 2 * 2 * 64 * 4 = 2048 bytes
	const weights = 2 * (256*256 + 2*128*256 + 256*256 + 3*256*512)
	memory, fast := Rates{Read: 1e6, Products: 1e18}, Rates{Read: 1e18, Products: 1e6}
	for _, k := range []struct {
		test  Test
		rates Rates
		want  float64
	}{
		{Test{0, 2, 1}, memory, 2 + 3*2048e-6},
		{Test{0, 2, 8}, memory, 2 + 8*3*2048e-6},
		{Test{10, 1, 1}, memory, 2 + 11*2048e-6},
		{Test{10, 0, 1}, fast, 10 * weights * 1e-6},
		{Test{0, 3, 2}, fast, 6 * weights * 1e-6},
	} {
		if got := m.Seconds(k.test, k.rates); math.Abs(got-k.want) > 1e-9*k.want {
			t.Errorf("%s: %g s, want %g", k.test, got, k.want)
		}
	}
	m.Config.Quantization = arch.Full()
	if prompt, generation := m.Seconds(Test{10, 0, 1}, memory), m.Seconds(Test{0, 2, 1}, fast); prompt != 0 || generation > 1e-9 {
		t.Errorf("in full precision %g and %g s", prompt, generation)
	}
}
