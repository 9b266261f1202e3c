package hf

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bitdistill/bitdistill/bitnet/hf/bpe"
	"github.com/bitdistill/bitdistill/internal/golden"
)

// TestCorpora compares the ids of the first 2,000 lines of every corpus with those of Hugging Face's tokenizers, of which
// scripts/peers/tokenizer_reference.py kept hashes.
func TestCorpora(t *testing.T) {
	shared := filepath.Join(golden.Shared(t), "data")
	var want map[string]map[string][]string // tokenizer, corpus: hashes of 100 lines each
	if err := json.Unmarshal(mustRead(t, "bpe", "testdata", "corpora.json"), &want); err != nil {
		t.Fatal(err)
	}
	if len(want) != 4 {
		t.Fatalf("hashes of %d tokenizers, want 4", len(want))
	}
	for name, corpora := range want {
		tok, err := bpe.Parse(unzip(t, filepath.Join(shared, "tokenizers", name, "tokenizer.json.gz")))
		if err != nil {
			t.Fatal(err)
		}
		start, size, lines := time.Now(), 0, 0
		for corpus, hashes := range corpora {
			text := slices.Collect(strings.Lines(string(unzip(t, filepath.Join(shared, "lm_corpus", corpus)))))
			text = text[:min(len(text), 2000)]
			blocks := slices.Collect(slices.Chunk(text, 100))
			if len(blocks) != len(hashes) {
				t.Fatalf("%s: %d blocks of lines, want %d", corpus, len(blocks), len(hashes))
			}
			for i, hash := range hashesOf(tok, blocks) {
				if hash != hashes[i] {
					t.Errorf("%s: %s: ids of the lines from %d on differ", name, corpus, 100*i)
				}
			}
			for _, line := range text {
				size, lines = size+len(line), lines+1
			}
		}
		t.Logf("%s: %d lines, %.1f MB/s", name, lines, float64(size)/1e6/time.Since(start).Seconds())
	}
}

// hashesOf encodes blocks of lines side by side.
func hashesOf(tok *bpe.Tokenizer, blocks [][]string) []string {
	hashes := make([]string, len(blocks))
	var all sync.WaitGroup
	for i, block := range blocks {
		all.Go(func() {
			h := sha256.New()
			for _, line := range block {
				for _, id := range tok.Encode(line) {
					h.Write(binary.LittleEndian.AppendUint32(nil, uint32(id)))
				}
			}
			hashes[i] = hex.EncodeToString(h.Sum(nil))[:16]
		})
	}
	all.Wait()
	return hashes
}

// unzip reads a gzip file.
func unzip(t testing.TB, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
