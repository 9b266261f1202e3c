//go:build models

package native_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/bitnet/native"
)

// TestModels writes the two models that scripts/models.sh fetches in 8 bits: config, tokenizer and norms are the same afterwards.
func TestModels(t *testing.T) {
	for _, name := range []string{"smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "gemma3/gemma-3-270m-q4_k_m.gguf"} {
		m, weights, err := files.Open(filepath.Join(os.Getenv("BITDISTILL_MODELS"), name))
		if err != nil {
			t.Fatal(err)
		}
		defer weights.Close()
		path, began := filepath.Join(t.TempDir(), "model.gguf"), time.Now()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := native.Create(t.Context(), path, m, weights.ReadRows, native.Options{Embeddings: gguf.Q8_0, Linears: gguf.Q8_0}); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		wrote := time.Since(began)
		began = time.Now()
		f := opened(t, path)
		t.Logf("%s: written in %v, %d MiB allocated; opened in %v", name, wrote, (after.TotalAlloc-before.TotalAlloc)>>20, time.Since(began))
		if !reflect.DeepEqual(f.Config, m.Config) || f.Tokenizer.Hash() != m.Tokenizer.Hash() {
			t.Errorf("%s: came back as %+v", name, f.Config)
		}
		for _, tensor := range m.Config.Tensors() {
			if tensor.Kind != arch.Norm {
				continue
			}
			want, got := make([]float32, tensor.Size()), make([]float32, tensor.Size())
			if err := errors.Join(weights.Read(tensor, want), f.ReadRows(tensor, 0, got)); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s differs (%v)", name, tensor.Name, err)
			}
		}
	}
}
