package files

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bitdistill/bitdistill/bitnet/gguf"
)

// Types of a token in GGUF files.
const (
	tokenNormal      = 1
	tokenControl     = 3
	tokenUserDefined = 4
	tokenByte        = 6
)

// object is a piece of JSON.
type object = map[string]any

// ggufText is the tokenizer of a GGUF file as the files of a folder have it.
type ggufText struct {
	tokenizer object         // tokenizer.json
	config    object         // tokenizer_config.json
	ids       map[string]int // of special tokens, by their names in config.json
}

// vocabulary is what both kinds of tokenizers have in a GGUF file.
type vocabulary struct {
	tokens []string
	types  []int
	bos    string // the token in front of a text, "" if none
}

// ggufTokenizer turns the metadata of a tokenizer into tokenizer.json and tokenizer_config.json.
func ggufTokenizer(meta *gguf.Metadata) (ggufText, error) {
	v, t, err := readVocabulary(meta)
	if err != nil {
		return t, err
	}
	kind, err := gguf.Get[string](meta, "tokenizer.ggml.model")
	if err != nil {
		return t, err
	}
	switch kind {
	case "gpt2":
		t.tokenizer, err = byteLevel(meta, v)
	case "llama":
		t.tokenizer, err = sentencePiece(meta, v)
	default:
		err = fmt.Errorf("tokenizer.ggml.model: %q is not supported; supported are gpt2, llama", kind)
	}
	if err != nil {
		return t, err
	}
	added := []object{}
	for id, token := range v.tokens {
		if v.types[id] == tokenControl || v.types[id] == tokenUserDefined {
			added = append(added, object{"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
				"normalized": false, "special": v.types[id] == tokenControl})
		}
	}
	t.tokenizer["version"], t.tokenizer["added_tokens"] = "1.0", added
	return t, nil
}

// readVocabulary reads the tokens and which of them frame a text.
func readVocabulary(meta *gguf.Metadata) (vocabulary, ggufText, error) {
	var v vocabulary
	t := ggufText{config: object{}, ids: map[string]int{}}
	var err error
	if v.tokens, err = gguf.Get[[]string](meta, "tokenizer.ggml.tokens"); err != nil {
		return v, t, err
	}
	v.tokens = slices.Clone(v.tokens)
	v.types = slices.Repeat([]int{tokenNormal}, len(v.tokens))
	if meta.Has("tokenizer.ggml.token_type") {
		if v.types, err = meta.Ints("tokenizer.ggml.token_type"); err != nil {
			return v, t, err
		}
		if len(v.types) != len(v.tokens) {
			return v, t, fmt.Errorf("tokenizer.ggml.token_type: has %d entries for %d tokens", len(v.types), len(v.tokens))
		}
	}
	for i, token := range v.tokens {
		if !utf8.ValidString(token) {
			return v, t, fmt.Errorf("tokenizer.ggml.tokens: entry %d is not UTF-8", i)
		}
	}
	for _, s := range []struct{ key, id, name string }{
		{"bos_token_id", "bos_token_id", "bos_token"}, {"eos_token_id", "eos_token_id", "eos_token"}, {"padding_token_id", "pad_token_id", "pad_token"},
	} {
		key := "tokenizer.ggml." + s.key
		if !meta.Has(key) {
			continue
		}
		id, err := meta.Int(key)
		if err != nil {
			return v, t, err
		}
		if id < 0 || id >= len(v.tokens) {
			return v, t, fmt.Errorf("%s: %d, there are %d tokens", key, id, len(v.tokens))
		}
		t.ids[s.id], t.config[s.name] = id, v.tokens[id]
	}
	return v, t, v.frame(meta, t.config)
}

// frame finds out whether a text begins with a token, and takes over the chat template.
func (v *vocabulary) frame(meta *gguf.Metadata, config object) error {
	const addBOS, template = "tokenizer.ggml.add_bos_token", "tokenizer.chat_template"
	if meta.Has(template) {
		text, err := gguf.Get[string](meta, template)
		if err != nil {
			return err
		}
		config["chat_template"] = text
	}
	kind, _ := gguf.Get[string](meta, "tokenizer.ggml.model")
	pre, _ := gguf.Get[string](meta, "tokenizer.ggml.pre")
	add := kind == "llama" || byteLevels[pre].bos // what readers of these files assume
	if meta.Has(addBOS) {
		var err error
		if add, err = gguf.Get[bool](meta, addBOS); err != nil {
			return err
		}
	}
	config["add_bos_token"] = add
	if add {
		bos, ok := config["bos_token"].(string)
		if !ok {
			return errors.New(addBOS + ": true, but there is no tokenizer.ggml.bos_token_id")
		}
		v.bos = bos
	}
	return nil
}

// ids is the vocabulary of tokenizer.json.
func (v vocabulary) ids() (map[string]int, error) {
	ids := make(map[string]int, len(v.tokens))
	for id, token := range v.tokens {
		if first, ok := ids[token]; ok {
			return nil, fmt.Errorf("tokenizer.ggml.tokens: entries %d and %d are both %q", first, id, token)
		}
		ids[token] = id
	}
	return ids, nil
}

// template puts the first token in front of a text.
func (v vocabulary) template(ids map[string]int) object {
	if v.bos == "" {
		return nil
	}
	text := object{"Sequence": object{"id": "A", "type_id": 0}}
	first := object{"SpecialToken": object{"id": v.bos, "type_id": 0}}
	return object{
		"type": "TemplateProcessing", "single": []object{first, text}, "pair": []object{first, text, {"Sequence": object{"id": "B", "type_id": 1}}},
		"special_tokens": object{v.bos: object{"id": v.bos, "ids": []int{ids[v.bos]}, "tokens": []string{v.bos}}},
	}
}

// byteLevels are the ways in which texts are split in front of byte-level merges, by tokenizer.ggml.pre: the patterns of the models'
// own tokenizer.json.
var byteLevels = map[string]struct {
	split        object // nil: the pattern of GPT-2, which the byte level has itself
	normalizer   object
	ignoreMerges bool
	bos          bool
}{
	"gpt-2":     {},
	"smollm":    {split: object{"type": "Digits", "individual_digits": true}},
	"llama-bpe": {split: splitPattern(`\p{N}{1,3}`), ignoreMerges: true, bos: true},
	"qwen2":     {split: splitPattern(`\p{N}`), normalizer: object{"type": "NFC"}},
}

// splitPattern is the pattern of Llama 3 and of Qwen, which differ in how many digits stay together.
func splitPattern(digits string) object {
	const before, behind = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|`, `| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	return object{"type": "Split", "pattern": object{"Regex": before + digits + behind}, "behavior": "Isolated", "invert": false}
}

// byteLevel is the tokenizer of SmolLM2, Llama 3 and Qwen.
func byteLevel(meta *gguf.Metadata, v vocabulary) (object, error) {
	pre, err := gguf.Get[string](meta, "tokenizer.ggml.pre")
	if err != nil {
		return nil, err
	}
	how, ok := byteLevels[pre]
	if !ok {
		return nil, fmt.Errorf("tokenizer.ggml.pre: %q is not supported; supported are gpt-2, llama-bpe, qwen2, smollm", pre)
	}
	merges, err := gguf.Get[[]string](meta, "tokenizer.ggml.merges")
	if err != nil {
		return nil, err
	}
	ids, err := v.ids()
	if err != nil {
		return nil, err
	}
	bytes := object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": how.split == nil || pre == "smollm"}
	split := bytes
	if how.split != nil {
		split = object{"type": "Sequence", "pretokenizers": []object{how.split, bytes}}
	}
	return object{
		"normalizer": how.normalizer, "pre_tokenizer": split, "post_processor": v.template(ids), "decoder": bytes,
		"model": object{"type": "BPE", "vocab": ids, "merges": merges, "ignore_merges": how.ignoreMerges, "byte_fallback": false, "fuse_unk": false},
	}, nil
}

// space stands for a space in SentencePiece vocabularies.
const space = "▁"

// sentencePiece is the tokenizer of Gemma and Llama 2. The file has scores of pieces instead of merges.
func sentencePiece(meta *gguf.Metadata, v vocabulary) (object, error) {
	scores, err := gguf.Get[[]float32](meta, "tokenizer.ggml.scores")
	if err != nil {
		return nil, err
	}
	if len(scores) != len(v.tokens) {
		return nil, fmt.Errorf("tokenizer.ggml.scores: has %d entries for %d tokens", len(scores), len(v.tokens))
	}
	prefix := true
	if key := "tokenizer.ggml.add_space_prefix"; meta.Has(key) {
		if prefix, err = gguf.Get[bool](meta, key); err != nil {
			return nil, err
		}
	}
	for i, token := range v.tokens { // runs of spaces are written as they are in texts
		if v.types[i] == tokenUserDefined && strings.Trim(token, " ") == "" {
			v.tokens[i] = strings.ReplaceAll(token, " ", space)
		}
	}
	ids, err := v.ids()
	if err != nil {
		return nil, err
	}
	normalizer := object{"type": "Replace", "pattern": object{"String": " "}, "content": space}
	decoders := []object{{"type": "Replace", "pattern": object{"String": space}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}}
	if prefix {
		normalizer = object{"type": "Sequence", "normalizers": []object{{"type": "Prepend", "prepend": space}, normalizer}}
		decoders = append(decoders, object{"type": "Strip", "content": " ", "start": 1, "stop": 0})
	}
	model := object{"type": "BPE", "vocab": ids, "merges": merges(v, scores, ids), "byte_fallback": true, "fuse_unk": true, "ignore_merges": false}
	if key := "tokenizer.ggml.unknown_token_id"; meta.Has(key) {
		id, err := meta.Int(key)
		if err != nil {
			return nil, err
		}
		if id >= 0 && id < len(v.tokens) {
			model["unk_token"] = v.tokens[id]
		}
	}
	return object{"normalizer": normalizer, "post_processor": v.template(ids), "decoder": object{"type": "Sequence", "decoders": decoders}, "model": model}, nil
}

// merges are all ways to put a piece together from two others, those of the best scores first: SentencePiece joins the pair whose
// whole has the best score. Where wholes have the same score the longer left part goes first, and runs of spaces, which have no scores,
// go before everything, as in Gemma's tokenizer.json.
func merges(v vocabulary, scores []float32, ids map[string]int) [][2]string {
	type merge struct {
		parts      [2]string
		run        bool
		score      float32
		left, size int // characters
	}
	var all []merge
	for id, whole := range v.tokens {
		if v.types[id] != tokenNormal && v.types[id] != tokenUserDefined {
			continue
		}
		run, size, left := strings.Trim(whole, space) == "", utf8.RuneCountInString(whole), 0
		for at := range whole {
			if at > 0 {
				left++
				_, okLeft := ids[whole[:at]]
				_, okRight := ids[whole[at:]]
				if okLeft && okRight {
					m := merge{[2]string{whole[:at], whole[at:]}, run && v.types[id] == tokenUserDefined, scores[id], left, size}
					all = append(all, m)
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b merge) int {
		switch {
		case a.run && b.run:
			return cmp.Or(cmp.Compare(b.left, a.left), cmp.Compare(b.size, a.size))
		case a.run:
			return -1
		case b.run:
			return 1
		}
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(b.left, a.left))
	})
	out := make([][2]string, len(all))
	for i, m := range all {
		out[i] = m.parts
	}
	return out
}
