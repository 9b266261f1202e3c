package hf

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/internal/golden"
)

type storiesGolden struct {
	TextFile   string  `json:"text_file"`
	TextStart  int     `json:"text_start_char"`
	TextLength int     `json:"text_chars_tokenized"`
	Tokens     int     `json:"tokens"`
	FirstIDs   []int32 `json:"first_ids"`
	IDs        []int32 `json:"ids_2048"`
	GreedyIDs  []int32 `json:"greedy_ids"`
	GreedyText string  `json:"greedy_text"`
}

func TestStoriesTokenizer(t *testing.T) {
	var want storiesGolden
	golden.JSON(t, &want, "stories260K.json")
	tok := mustLoad(t, stories).Tokenizer
	bos, ok := tok.BOS()
	if !ok || bos != want.IDs[0] {
		t.Fatalf("BOS() = %d, %t, want %d", bos, ok, want.IDs[0])
	}
	if eos, ok := tok.EOS(); !ok || eos != 2 {
		t.Errorf("EOS() = %d, %t", eos, ok)
	}
	if tok.Pad() != 2 || tok.VocabSize() != 512 {
		t.Errorf("Pad() = %d, VocabSize() = %d", tok.Pad(), tok.VocabSize())
	}
	sum := sha256.Sum256(mustRead(t, stories, "tokenizer.json"))
	if tok.Hash() != hex.EncodeToString(sum[:]) {
		t.Error("Hash() is not the file's")
	}
	if got := tok.Decode(want.GreedyIDs); got != want.GreedyText {
		t.Errorf("Decode: got %q, want %q", got, want.GreedyText)
	}
	for _, ids := range [][]int32{want.FirstIDs, want.IDs} {
		if got := tok.Encode(tok.Decode(ids)); !slices.Equal(got, ids[1:]) {
			t.Error("the text of golden ids has other ids")
		}
	}
}

// The ids of the text itself, which is not part of the repository.
func TestStoriesTokenizerOnText(t *testing.T) {
	var want storiesGolden
	golden.JSON(t, &want, "stories260K.json")
	data := unzip(t, filepath.Join(golden.Shared(t), "data", want.TextFile))
	text := []rune(string(data))[want.TextStart:][:want.TextLength]
	got := mustLoad(t, stories).Tokenizer.Encode(string(text))
	if len(got)+1 != want.Tokens || !slices.Equal(got[:len(want.IDs)-1], want.IDs[1:]) {
		t.Errorf("%d ids, want %d with <s>; %v...", len(got), want.Tokens, got[:20])
	}
}

// Which files say which token begins and ends a text.
func TestSpecialTokens(t *testing.T) {
	const plain = `{"added_tokens":[{"id":1,"content":"<s>","special":true},{"id":2,"content":"</s>","special":true}],
		"model":{"vocab":{"a":0}},"decoder":{"type":"Fuse"}`
	const template = `,"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}],
		"special_tokens":{"<s>":{"ids":[1]}}}`
	for _, c := range []struct {
		name, tokenizer, tokenizerConfig string
		config                           map[string]any
		bos, eos, pad                    int32
		fault                            string
	}{
		{"nothing", plain + "}", "", map[string]any{"bos_token_id": nil, "eos_token_id": nil}, -1, -1, 0, ""},
		{"ids of config.json", plain + "}", "", map[string]any{"bos_token_id": 1, "eos_token_id": []int{2, 1}, "pad_token_id": -1}, -1, 2, 2, ""},
		{"template", plain + template + "}", `{"eos_token":{"content":"</s>"},"pad_token":"a"}`, nil, 1, 2, 0, ""},
		{"template, switched off", plain + template + "}", `{"add_bos_token":false,"bos_token":"<s>"}`, nil, -1, 2, 2, ""},
		{"switched on", plain + "}", `{"add_bos_token":true,"bos_token":"</s>"}`, nil, 2, 2, 2, ""},
		{"switched on, id of config.json", plain + "}", `{"add_bos_token":true}`, map[string]any{"pad_token_id": 0}, 1, 2, 0, ""},
		{"as Qwen3", plain + "}", `{"add_bos_token":false,"bos_token":null,"eos_token":"<s>","pad_token":"</s>"}`, nil, -1, 1, 2, ""},
		{"unknown name", plain + "}", `{"eos_token":"<end>"}`, nil, 0, 0, 0, `tokenizer_config.json: eos_token: "<end>" is not in tokenizer.json`},
		{"no token", plain + "}", `{"add_bos_token":true}`, map[string]any{"bos_token_id": nil}, 0, 0, 0, "add_bos_token: true, but no bos_token"},
		{"damaged", plain + "}", `{"eos_token":5}`, nil, 0, 0, 0, "tokenizer_config.json: "},
		{"id beyond", plain + "}", "", map[string]any{"eos_token_id": 512}, 0, 0, 0, "config.json: eos_token_id: 512 is beyond vocab_size 512"},
		{"not an id", plain + "}", "", map[string]any{"eos_token_id": "2"}, 0, 0, 0, `eos_token_id: "2", want an integer`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := copyDir(t, stories)
			edit(t, dir, c.config)
			mustWrite(t, filepath.Join(dir, "tokenizer.json"), []byte(c.tokenizer))
			if err := os.Remove(filepath.Join(dir, "tokenizer_config.json")); err != nil {
				t.Fatal(err)
			}
			if c.tokenizerConfig != "" {
				mustWrite(t, filepath.Join(dir, "tokenizer_config.json"), []byte(c.tokenizerConfig))
			}
			m, err := Load(dir)
			if c.fault != "" {
				var file *files.FileError
				if !errors.As(err, &file) || !strings.Contains(err.Error(), c.fault) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			bos, hasBOS := m.Tokenizer.BOS()
			eos, hasEOS := m.Tokenizer.EOS()
			if bos != c.bos || eos != c.eos || m.Tokenizer.Pad() != c.pad || hasBOS != (bos >= 0) || hasEOS != (eos >= 0) {
				t.Errorf("bos %d, eos %d, pad %d, want %d, %d, %d", bos, eos, m.Tokenizer.Pad(), c.bos, c.eos, c.pad)
			}
		})
	}
}
