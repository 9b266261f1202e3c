package infer_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/bitnet/native"
	"github.com/bitdistill/bitdistill/bitnet/packed"
	"github.com/bitdistill/bitdistill/internal/archtest"
	"github.com/bitdistill/bitdistill/internal/golden"
)

// nativeFile writes a folder's model as a file of the project's own.
func nativeFile(t testing.TB, folder string, embeddings, linears gguf.Type) string {
	t.Helper()
	m, weights, err := files.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer weights.Close()
	o := native.Options{Name: "a model", Task: []byte(`{"name":"x"}`), Embeddings: embeddings, Linears: linears}
	o.Pack = func(tensor arch.Tensor, w []float32) (native.Matrix, error) {
		return packed.QuantizeAs(w, tensor.Dims[0], tensor.Dims[1], m.Config.Quantization)
	}
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := native.Create(t.Context(), path, m, weights.ReadRows, o); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestNative: a mapped file computes what its folder does, bit for bit.
func TestNative(t *testing.T) {
	for name, c := range archtest.AllVariants() {
		folder, ids := randomFolder(t, c, 4), randomIDs(c, 20, 4)
		m := opened(t, nativeFile(t, folder, gguf.F32, gguf.F32), infer.Options{})
		if !slices.Equal(flatLogits(t, m, ids), flatLogits(t, opened(t, folder, infer.Options{}), ids)) {
			t.Errorf("%s: other logits", name)
		}
		if m.Name != "a model" || string(m.Task) != `{"name":"x"}` {
			t.Errorf("%s: %q, %s", name, m.Name, m.Task)
		}
	}
}

// TestDamaged: a file that is cut is refused, and so is one whose scales are none.
func TestDamaged(t *testing.T) {
	c := archtest.Tiny(arch.Llama, arch.Ternary(arch.SubLNNone))
	path := nativeFile(t, randomFolder(t, c, 2), gguf.F32, gguf.F32)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := native.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var after arch.Tensor
	for _, tensor := range c.Tensors() {
		if tensor.Kind == arch.Linear {
			after = tensor
		}
	}
	info, err := f.Info(after)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 3, 30, 1000, len(whole) / 2, len(whole) - 64} {
		cut := filepath.Join(t.TempDir(), "cut.gguf")
		if err := os.WriteFile(cut, whole[:n], 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := infer.Open(t.Context(), cut, infer.Options{}); err == nil || !strings.Contains(err.Error(), cut) {
			t.Errorf("%d bytes: got %v", n, err)
		}
	}
	bad := slices.Clone(whole)
	clear(bad[info.Offset+info.Bytes:][:64]) // the scale of the last linear is stored behind its panels
	if err := os.WriteFile(path, bad, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := infer.Open(t.Context(), path, infer.Options{}); err == nil || !strings.Contains(err.Error(), "want a positive number") {
		t.Errorf("got %v", err)
	}
}

// TestTernaryText: a ternary model on real text, against the graph: the same token is the likeliest on nearly all positions, and perplexity is the same.
// (On the pure-Go backend nothing differs but where that itself has two orders to add up in; see TestExact. Other backends flip codes.)
func TestTernaryText(t *testing.T) {
	for _, where := range []arch.SubLN{arch.SubLNNone, arch.SubLNOutput} {
		folder := ternaryStories(t, where)
		m := opened(t, nativeFile(t, folder, gguf.F32, gguf.F32), infer.Options{})
		ids := corpus(t, m, 510)
		logits, err := m.Logits(t.Context(), ids)
		if err != nil {
			t.Fatal(err)
		}
		want := rows(runGraph(t, folder, ids).logits, m.Config.VocabSize)
		same := 0
		for i := range ids {
			if argmax(logits[i]) == argmax(want[i]) {
				same++
			}
		}
		share, ratio := float64(same)/float64(len(ids)), surprise(logits, ids)-surprise(want, ids)
		t.Logf("%s: argmax equal on %.2f %%, logarithm of perplexity off by %.2g", where, 100*share, ratio)
		if share < 0.95 || !(ratio < 0.01 && ratio > -0.01) {
			t.Error("too different")
		}
		d, _ := golden.MaxDiff(logits[0], want[0])
		t.Logf("first token off by %g", d)
	}
}
