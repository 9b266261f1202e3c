//go:build models

package decoder_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/decoder"
	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/internal/golden"
	"github.com/bitdistill/bitdistill/internal/safetensors"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// TestModels compares two real models, read from GGUF files, with transformers' own reading of the same files. BITDISTILL_MODELS is
// the folder that scripts/models.sh filled, BITDISTILL_PEERS the one of scripts/peers/gguf_reference.py.
func TestModels(t *testing.T) {
	for name, file := range map[string]string{
		"smollm2": "smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "gemma3": "gemma3/gemma-3-270m-q4_k_m.gguf",
	} {
		t.Run(name, func(t *testing.T) {
			m, err := hf.Load(filepath.Join(os.Getenv("BITDISTILL_MODELS"), file))
			if err != nil {
				t.Fatal(err)
			}
			f, err := safetensors.Open(filepath.Join(os.Getenv("BITDISTILL_PEERS"), name+".safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			ids, _ := golden.Ints(t, f, "ids")
			first := make([]int32, 64)
			for i := range first {
				first[i] = int32(ids[i])
			}
			got := run(t, m.Store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
				return []*graph.Node{decoder.Forward(scope, m.Config, decoder.Inputs{IDs: in[0]}, decoder.Options{}).Logits}
			}, [][]int32{first})[0]
			want, _ := golden.Floats(t, f, "logits")
			off, at := golden.MaxDiff(got, want)
			t.Logf("logits of 64 tokens: largest deviation %.2g", off)
			if !(off <= 2e-3) {
				t.Errorf("logit %d is off by %.3g", at, off)
			}
			prompt, _ := golden.Ints(t, f, "prompt")
			greedy, _ := golden.Ints(t, f, "greedy")
			checkGreedy(t, m, prompt, greedy)
			checkCachedGreedy(t, m, prompt, greedy)
			bos, hasBOS := m.Tokenizer.BOS()
			encoded := m.Tokenizer.Encode("The capital of France is")
			if hasBOS {
				encoded = append([]int32{bos}, encoded...)
			}
			for i, id := range encoded {
				if len(encoded) != len(prompt) || int(id) != prompt[i] {
					t.Fatalf("ids %v, want %v", encoded, prompt)
				}
			}
		})
	}
}
