package bpe

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Tokenizer is safe for use by several goroutines.
type Tokenizer struct {
	tokens  map[int32]string // content of every id
	ids     map[string]int32 // the inverse
	special map[int32]bool   // added tokens that Decode leaves out
	highest int32            // largest id
	prefix  []int32          // what the post-processor puts in front of a text

	raw, normalized matcher // added tokens found before and after normalization
	normalize       normalizer
	split           splitter
	merge           *merger
	decode          []decodeStep
}

// Encode turns a text into ids. Nothing is put in front or behind (see [Tokenizer.Prefix]); contents of added tokens in
// the text, such as <|im_end|>, become their ids. Bytes that are not UTF-8 are read as U+FFFD.
func (t *Tokenizer) Encode(text string) []int32 {
	ids := make([]int32, 0, len(text)/3)
	token := func(id int32) { ids = append(ids, id) }
	word := func(s string) { ids = t.merge.encode(ids, s) }
	t.raw.each(validUTF8(text), token, func(s string) {
		t.normalized.each(t.normalize(s), token, func(s string) { t.split(s, word) })
	})
	return ids
}

// Decode turns ids into text. Special tokens and ids that the vocabulary lacks are left out.
func (t *Tokenizer) Decode(ids []int32) string {
	tokens := make([]string, 0, len(ids))
	for _, id := range ids {
		if s, ok := t.tokens[id]; ok && !t.special[id] {
			tokens = append(tokens, s)
		}
	}
	for _, step := range t.decode {
		tokens = step(tokens)
	}
	return strings.Join(tokens, "")
}

// Prefix is the ids that the file's post-processor puts in front of a single text; usually none or one, <s>.
func (t *Tokenizer) Prefix() []int32 { return slices.Clone(t.prefix) }

// ID finds the id of a token by its content as the file spells it.
func (t *Tokenizer) ID(token string) (int32, bool) {
	id, ok := t.ids[token]
	return id, ok
}

// Token is the content of an id as the file spells it.
func (t *Tokenizer) Token(id int32) (string, bool) {
	s, ok := t.tokens[id]
	return s, ok
}

// Size is the largest id plus one: what a model's vocab_size has to reach.
func (t *Tokenizer) Size() int { return int(t.highest) + 1 }

// validUTF8 puts one U+FFFD for each longest start of a character that is cut short, and for each other stray byte, as
// Unicode recommends (section 3.9, "U+FFFD Substitution of Maximal Subparts").
func validUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var text strings.Builder
	for s != "" {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 {
			size = cutShort(s)
		}
		text.WriteRune(r)
		s = s[size:]
	}
	return text.String()
}

// cutShort is the length of the longest prefix of s that could begin a character, at least 1. The first byte of s does
// not begin a valid one.
func cutShort(s string) int {
	n := 1
	for n < len(s) && n < 3 && !utf8.FullRuneInString(s[:n+1]) {
		n++
	}
	return n
}
