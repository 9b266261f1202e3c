package infer_test

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/bitnet/native"
	"github.com/bitdistill/bitdistill/internal/archtest"
	"github.com/bitdistill/bitdistill/internal/golden"
)

// wide has rows of whole blocks.
func wide(q arch.Quantization) arch.Config {
	c := archtest.Tiny(arch.Llama, q)
	c.HiddenSize, c.IntermediateSize, c.Heads, c.HeadDim = 32, 64, 4, 8
	return c
}

// decoded is a folder with the values that a file of the project's own holds.
func decoded(t *testing.T, path string) string {
	t.Helper()
	f, err := native.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dir := filepath.Join(t.TempDir(), "decoded")
	err = (&files.Model{Config: f.Config}).Save(dir, func(tensor arch.Tensor, use func([]float32) error) error {
		x := make([]float32, tensor.Size())
		if err := f.ReadRows(tensor, 0, x); err != nil {
			return err
		}
		return use(x)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestStoredTypes: tensors that are not stored as float32 compute what their values do in the graph of training: values stored one by one
// the same as in float32, blocks up to what a token's 16 bits round. A text gives the same read at once and token by token.
func TestStoredTypes(t *testing.T) {
	c := wide(arch.Full())
	for _, embeddings := range []gguf.Type{gguf.F32, gguf.F16, gguf.Q8_0, gguf.Q4_0} {
		for _, linears := range []gguf.Type{gguf.F32, gguf.F16, gguf.BF16, gguf.Q8_0, gguf.Q4_0} {
			name := embeddings.String() + " and " + linears.String()
			path, ids := nativeFile(t, randomFolder(t, c, 6), embeddings, linears), randomIDs(c, 12, 6)
			m, again := opened(t, path, infer.Options{Threads: 2}), decoded(t, path)
			got := flatLogits(t, m, ids)
			if embeddings.BlockSize() == 1 && linears.BlockSize() == 1 {
				if !slices.Equal(got, flatLogits(t, opened(t, again, infer.Options{}), ids)) {
					t.Errorf("%s: other logits than those of the values", name)
				}
			}
			largest := 0.0
			want := runGraph(t, again, ids).logits
			for _, v := range want {
				largest = max(largest, math.Abs(float64(v)))
			}
			d, _ := golden.MaxDiff(got, want)
			t.Logf("%s: off by %.2g of the largest logit", name, float64(d)/largest)
			tolerance := 1e-6
			if linears.BlockSize() > 1 { // one product behind another, in a small model of large random weights
				tolerance = 3e-4
			} else if embeddings.BlockSize() > 1 { // the head alone
				tolerance = 5e-5
			}
			if !(float64(d) <= tolerance*largest) {
				t.Errorf("%s: logits are off by %g, the largest is %g", name, d, largest)
			}
			s, logits := sequence(t, m, 32), make([]float32, c.VocabSize)
			for i := range ids {
				if err := s.Append(t.Context(), ids[i:i+1], logits); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(logits, got[i*c.VocabSize:][:c.VocabSize]) {
					t.Fatalf("%s: token %d alone has other logits", name, i)
				}
			}
			if n := testing.AllocsPerRun(10, func() {
				s.Truncate(5)
				if err := s.Append(t.Context(), ids[:1], logits); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s: %v allocations a token", name, n)
			}
		}
	}
}

// TestOptionTypes: a folder that is kept in other types computes what a file of the project's own with those does.
func TestOptionTypes(t *testing.T) {
	for name, q := range map[string]arch.Quantization{"full": arch.Full(), "ternary": arch.Ternary(arch.SubLNOutput)} {
		folder, ids := randomFolder(t, wide(q), 7), randomIDs(wide(q), 9, 7)
		for _, kinds := range [][2]gguf.Type{{gguf.Q8_0, gguf.BF16}, {gguf.F16, gguf.Q8_0}, {gguf.Q4_0, gguf.Q4_0}, {gguf.F32, gguf.F16}} {
			o := infer.Options{Embeddings: strings.ToLower(kinds[0].String()), Linears: kinds[1].String()}
			want := flatLogits(t, opened(t, nativeFile(t, folder, kinds[0], kinds[1]), infer.Options{}), ids)
			if !slices.Equal(flatLogits(t, opened(t, folder, o), ids), want) {
				t.Errorf("%s, %v: other logits", name, kinds)
			}
		}
	}
	folder := randomFolder(t, wide(arch.Full()), 7)
	narrow := randomFolder(t, archtest.Tiny(arch.Llama, arch.Full()), 7)
	for _, c := range []struct {
		path string
		o    infer.Options
		says string
	}{
		{folder, infer.Options{Embeddings: "q5"}, `Options.Embeddings: "q5", want one of [F32 F16 BF16 Q8_0 Q4_0]`},
		{folder, infer.Options{Linears: "i8"}, `Options.Linears: "i8"`},
		{narrow, infer.Options{Embeddings: "q8_0"}, "model.embed_tokens.weight: Q8_0 needs rows of a multiple of 32 values, these have 16"},
		{nativeFile(t, folder, gguf.F32, gguf.F32), infer.Options{Linears: "f32"}, "has types of its own"},
	} {
		if _, err := infer.Open(t.Context(), c.path, c.o); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("got %v, want %s", err, c.says)
		}
	}
}
