package files

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/bitdistill/bitdistill/bitnet/hf/bpe"
)

const (
	tokenizerName       = "tokenizer.json"
	tokenizerConfigName = "tokenizer_config.json"
)

// Tokenizer turns text into ids of one model and back. It is safe for use by several goroutines.
type Tokenizer struct {
	bpe  *bpe.Tokenizer
	hash string

	bos, eos, pad int32 // -1: none
}

// Encode turns a text into ids and adds none in front or behind. Spellings of special tokens in the text, such as
// "<|im_end|>", become their ids, as in transformers. Bytes that are not UTF-8 are read as U+FFFD.
func (t *Tokenizer) Encode(text string) []int32 { return t.bpe.Encode(text) }

// Decode turns ids into text. Special tokens and ids beyond the vocabulary are left out.
func (t *Tokenizer) Decode(ids []int32) string { return t.bpe.Decode(ids) }

// Token is the spelling of an id in tokenizer.json, such as "▁the".
func (t *Tokenizer) Token(id int32) (string, bool) { return t.bpe.Token(id) }

// BOS is the token that belongs in front of a text; false if the model was made without (Qwen3).
func (t *Tokenizer) BOS() (int32, bool) { return t.bos, t.bos >= 0 }

// EOS is the token that ends a text; false if none is known.
func (t *Tokenizer) EOS() (int32, bool) { return t.eos, t.eos >= 0 }

// Pad is an id for masked positions: the pad token, else the end token, else 0.
func (t *Tokenizer) Pad() int32 { return max(t.pad, 0) }

// VocabSize is the largest id plus one; at most the model's vocab_size.
func (t *Tokenizer) VocabSize() int { return t.bpe.Size() }

// Hash is the SHA-256 of tokenizer.json in hexadecimal: equal for tokenizers that give equal ids.
func (t *Tokenizer) Hash() string { return t.hash }

// newTokenizer makes the tokenizer of the model's files, nil if there is no tokenizer.json.
func newTokenizer(dir string, m *Model) (*Tokenizer, error) {
	data, ok := m.files[tokenizerName]
	if !ok {
		return nil, nil
	}
	path := filepath.Join(dir, tokenizerName)
	b, err := bpe.Parse(data)
	if err != nil {
		return nil, &FileError{Path: path, Faults: flatten(err)}
	}
	if err := checkVocabulary(path, b, m.Config.VocabSize); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	t := &Tokenizer{bpe: b, hash: hex.EncodeToString(sum[:])}
	if err := t.specialTokens(dir, m); err != nil {
		return nil, err
	}
	return t, nil
}

// checkVocabulary refuses ids that the model has no embedding for.
func checkVocabulary(path string, b *bpe.Tokenizer, vocabSize int) error {
	var faults []error
	for id := vocabSize; id < b.Size() && len(faults) <= maxFaults; id++ {
		if token, ok := b.Token(int32(id)); ok {
			faults = append(faults, fmt.Errorf("token %q has the id %d, beyond vocab_size %d", token, id, vocabSize))
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return &FileError{Path: path, Faults: shorten(faults)}
}

// tokenizerConfig is the part of tokenizer_config.json that says which tokens frame a text.
type tokenizerConfig struct {
	AddBOS *bool `json:"add_bos_token"`
	BOS    name  `json:"bos_token"`
	EOS    name  `json:"eos_token"`
	Pad    name  `json:"pad_token"`
}

// name is a token's content, written as a string, as an object with "content", or null.
type name string

func (n *name) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '{' {
		var o struct {
			Content string `json:"content"`
		}
		err := json.Unmarshal(data, &o)
		*n = name(o.Content)
		return err
	}
	var s string
	err := json.Unmarshal(data, &s) // null leaves it empty
	*n = name(s)
	return err
}

// specialTokens finds bos, eos and pad: tokenizer_config.json names them; where it does not, config.json has their ids.
// Whether bos is put in front is add_bos_token's word, or where that is absent the post-processor's.
func (t *Tokenizer) specialTokens(dir string, m *Model) error {
	var c tokenizerConfig
	path := filepath.Join(dir, tokenizerConfigName)
	if data, ok := m.files[tokenizerConfigName]; ok {
		if err := json.Unmarshal(data, &c); err != nil {
			return fileErrorf(path, "%w%s", err, offset(err))
		}
	}
	var faults []error
	byName := func(field string, n name) int32 {
		if n == "" {
			return -1
		}
		id, ok := t.bpe.ID(string(n))
		if !ok {
			faults = append(faults, fmt.Errorf("%s: %q is not in %s", field, n, tokenizerName))
			return -1
		}
		return id
	}
	bos, eos, pad := byName("bos_token", c.BOS), byName("eos_token", c.EOS), byName("pad_token", c.Pad)
	if len(faults) > 0 {
		return &FileError{Path: path, Faults: faults}
	}
	ids, err := idsOf(filepath.Join(dir, configName), m)
	if err != nil {
		return err
	}
	t.eos = firstOf(eos, ids["eos_token_id"])
	t.pad = firstOf(pad, ids["pad_token_id"], t.eos)
	t.bos = -1
	switch prefix := t.bpe.Prefix(); {
	case c.AddBOS != nil && !*c.AddBOS, c.AddBOS == nil && len(prefix) == 0:
	case len(prefix) > 1:
		return fileErrorf(filepath.Join(dir, tokenizerName), "post_processor: %d tokens in front of a text, at most 1 is supported", len(prefix))
	case len(prefix) == 1:
		t.bos = prefix[0]
	default:
		if t.bos = firstOf(bos, ids["bos_token_id"]); t.bos < 0 {
			return fileErrorf(path, "add_bos_token: true, but no bos_token")
		}
	}
	return nil
}

// firstOf is the first id that is one, or -1.
func firstOf(ids ...int32) int32 {
	for _, id := range ids {
		if id >= 0 {
			return id
		}
	}
	return -1
}

// idsOf reads the ids of special tokens in config.json, -1 for none.
func idsOf(path string, m *Model) (map[string]int32, error) {
	raw, err := parseObject(path, m.config)
	if err != nil {
		return nil, err
	}
	ids := map[string]int32{}
	var faults []error
	for _, field := range []string{"bos_token_id", "eos_token_id", "pad_token_id"} {
		id, ok := firstID(raw[field])
		if !ok {
			faults = append(faults, fmt.Errorf("%s: %s, want an integer or a list of integers", field, brief(raw[field])))
		}
		if int(id) >= m.Config.VocabSize {
			faults = append(faults, fmt.Errorf("%s: %d is beyond vocab_size %d", field, id, m.Config.VocabSize))
		}
		ids[field] = id
	}
	if len(faults) > 0 {
		return nil, &FileError{Path: path, Faults: faults}
	}
	return ids, nil
}

// firstID reads an id or the first of a list; -1 if the field is absent, null, an empty list or negative.
func firstID(value json.RawMessage) (id int32, ok bool) {
	if value == nil {
		return -1, true
	}
	var many []int32
	if value[0] != '[' {
		value = slices.Concat(json.RawMessage("["), value, json.RawMessage("]"))
	}
	if string(value) == "[null]" {
		return -1, true
	}
	if err := json.Unmarshal(value, &many); err != nil {
		return -1, false
	}
	if len(many) == 0 {
		return -1, true
	}
	return max(many[0], -1), true
}
