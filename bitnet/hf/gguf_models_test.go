//go:build models

package hf

import (
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/hf/bpe"
	"github.com/bitdistill/bitdistill/internal/golden"
)

// TestGGUFTokenizers compares the tokenizers that are made of real GGUF files with the tokenizer.json of the same models, on all
// corpora.
func TestGGUFTokenizers(t *testing.T) {
	for file, name := range map[string]string{
		"smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": "smollm2", "gemma3/gemma-3-270m-q4_k_m.gguf": "gemma3",
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Check(filepath.Join(os.Getenv("BITDISTILL_MODELS"), file))
			if err != nil {
				t.Fatal(err)
			}
			want, err := bpe.Parse(unzip(t, filepath.Join(golden.Shared(t), "data", "tokenizers", name, "tokenizer.json.gz")))
			if err != nil {
				t.Fatal(err)
			}
			corpora, err := filepath.Glob(filepath.Join(golden.Shared(t), "data", "lm_corpus", "*.gz"))
			if err != nil || len(corpora) == 0 {
				t.Fatal("no corpora")
			}
			lines := 0
			for _, corpus := range corpora {
				for line := range bytesLines(unzip(t, corpus), 2000) {
					lines++
					if got, want := m.Tokenizer.Encode(line), want.Encode(line); !slices.Equal(got, want) {
						t.Fatalf("%s: %q\n got %v\nwant %v", corpus, line, got, want)
					}
				}
			}
			t.Logf("%d lines have equal ids", lines)
			odd := "  two\t\ttabs\n\n\n   three <b>bold</b> 12345 \u00e9e\u0301 \U0001f600 <start_of_turn>user\n<|im_start|> a   b    c"
			if got, want := m.Tokenizer.Encode(odd), want.Encode(odd); !slices.Equal(got, want) {
				t.Errorf("got %v\nwant %v", got, want)
			}
		})
	}
}

// bytesLines are the first lines of a text.
func bytesLines(text []byte, n int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.Lines(string(text)) {
			if n--; n < 0 || !yield(line) {
				return
			}
		}
	}
}
