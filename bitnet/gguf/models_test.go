//go:build models

package gguf

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// With the tag "models", TestModels reads the two files that scripts/models.sh
// fetches, from the folder that this variable names.
const envModels = "BITDISTILL_MODELS"

// models tells of every file what its header says, and of one tensor of every
// type the SHA-256 of its float32 values as testdata/generate.py prints it.
var models = []struct {
	path, architecture string
	blocks, tensors    int
	values             map[string]string
}{
	{"smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "llama", 30, 272, map[string]string{
		"token_embd.weight":      "3fd491c8066dd9dc1a2bf6796701526c82817d95c0ecabacdef3013c2b8bbbaa", // Q8_0
		"blk.0.attn_norm.weight": "2469079d969a361823be8145fa36e15e4c1b933b5261d669357b3deead825cba", // F32
		"blk.0.ffn_down.weight":  "0b78b2226f740ed5594510ed990ea6c2846a6a889ab07cf251e4a489df1d75b0", // Q4_1
	}},
	{"gemma3/gemma-3-270m-q4_k_m.gguf", "gemma3", 18, 236, map[string]string{
		"output_norm.weight":       "7c6f10fe176e85ae705758390d5cbe15b79d090656ebbb4f9789c073041139d8", // F32
		"token_embd.weight":        "bd4ba37a5aaccf133dce5c5f9283a7a923f5a330f4259f8d18d499ae2b88ca5c", // Q8_0
		"blk.0.attn_k.weight":      "e9148680cf79c2265aa182d501323da97bf5f038a92e860172e2f071e5f1ae24", // Q5_0
		"blk.0.attn_output.weight": "84421b360695121d4fa8c5b47aa4b9729eb814b9608b4856a3af07a1736cf47f", // Q4_K
		"blk.0.ffn_down.weight":    "b718ca6bf05ad89435100bb9da1f6a6300a627c3396bc3bdb91809ca7dcdb4d8", // Q6_K
	}},
}

func TestModels(t *testing.T) {
	folder := os.Getenv(envModels)
	if folder == "" {
		t.Fatalf("set %s to the folder that scripts/models.sh filled", envModels)
	}
	for _, model := range models {
		f, err := Open(filepath.Join(folder, model.path))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		architecture, err := Get[string](f.Metadata(), "general.architecture")
		if err != nil || architecture != model.architecture {
			t.Errorf("%s: architecture %q, %v", model.path, architecture, err)
		}
		if n, err := f.Metadata().Int(architecture + ".block_count"); err != nil || n != model.blocks {
			t.Errorf("%s: %d blocks, %v", model.path, n, err)
		}
		if n := len(f.Tensors()); n != model.tensors {
			t.Errorf("%s: %d tensors, want %d", model.path, n, model.tensors)
		}
		counts := map[Type]int{}
		for _, info := range f.Tensors() {
			counts[info.Type]++
			got := hashByRows(t, f, info)
			if want, ok := model.values[info.Name]; ok && got != want {
				t.Errorf("%s: %s of %s: values with hash %s, want %s", model.path, info.Name, info.Type, got, want)
			}
		}
		t.Logf("%s: %v", model.path, counts)
	}
}

// TestRewriteModels reads the files and writes them again: no byte may differ.
func TestRewriteModels(t *testing.T) {
	for _, model := range models {
		from, to := filepath.Join(os.Getenv(envModels), model.path), filepath.Join(t.TempDir(), "model.gguf")
		f, err := Open(from)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := Create(t.Context(), to, f.Metadata().Entries(), copies(t, f)); err != nil {
			t.Fatal(err)
		}
		if got, want := hashOfFile(t, to), hashOfFile(t, from); got != want {
			t.Errorf("%s: written again it has the hash %s, had %s", model.path, got, want)
		}
	}
}

func hashOfFile(t *testing.T, path string) string {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// hashByRows reads a tensor in pieces, and wants all values to be finite.
func hashByRows(t *testing.T, f *File, info Info) string {
	hash := sha256.New()
	rows, length := info.Rows(), info.RowLength()
	for first := 0; first < rows; first += 1000 {
		values := make([]float32, min(1000, rows-first)*length)
		if err := f.ReadRows(info.Name, first, values); err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				t.Fatalf("%s: a value is %v", info.Name, v)
			}
		}
		if err := binary.Write(hash, binary.LittleEndian, values); err != nil {
			t.Fatal(err)
		}
	}
	return hex.EncodeToString(hash.Sum(nil))
}
