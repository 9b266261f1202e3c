package bpe

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxFaults is how many faults of one kind an error lists.
const maxFaults = 4

// component is any normalizer, pre-tokenizer, post-processor or decoder of tokenizer.json: its type and the union of
// the options we know of.
type component struct {
	Type string `json:"type"`

	Normalizers   []component `json:"normalizers"`
	PreTokenizers []component `json:"pretokenizers"`
	Processors    []component `json:"processors"`
	Decoders      []component `json:"decoders"`

	Prepend          string  `json:"prepend"`           // Prepend
	Pattern          pattern `json:"pattern"`           // Replace, Split
	Content          string  `json:"content"`           // Replace, Strip
	Start            int     `json:"start"`             // Strip
	Stop             int     `json:"stop"`              // Strip
	Behavior         string  `json:"behavior"`          // Split
	Invert           bool    `json:"invert"`            // Split
	IndividualDigits bool    `json:"individual_digits"` // Digits
	AddPrefixSpace   bool    `json:"add_prefix_space"`  // ByteLevel
	UseRegex         *bool   `json:"use_regex"`         // ByteLevel; absent means true

	Single        []templateItem             `json:"single"`         // TemplateProcessing
	SpecialTokens map[string]templateSpecial `json:"special_tokens"` // TemplateProcessing
}

type pattern struct {
	String *string `json:"String"`
	Regex  *string `json:"Regex"`
}

type templateItem struct {
	SpecialToken *struct {
		ID string `json:"id"`
	} `json:"SpecialToken"`
	Sequence *struct {
		ID string `json:"id"`
	} `json:"Sequence"`
}

type templateSpecial struct {
	IDs []int32 `json:"ids"`
}

type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

type model struct {
	Type         string           `json:"type"`
	Dropout      *float64         `json:"dropout"`
	UnkToken     *string          `json:"unk_token"`
	Prefix       string           `json:"continuing_subword_prefix"`
	Suffix       string           `json:"end_of_word_suffix"`
	FuseUnk      bool             `json:"fuse_unk"`
	ByteFallback bool             `json:"byte_fallback"`
	IgnoreMerges bool             `json:"ignore_merges"`
	Vocab        map[string]int32 `json:"vocab"`
	Merges       []pair           `json:"merges"`
}

// pair is a merge, written as "a b" or as ["a", "b"].
type pair [2]string

func (p *pair) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		var parts []string
		if err := json.Unmarshal(data, &parts); err != nil {
			return err
		}
		if len(parts) != 2 {
			return fmt.Errorf("merge %s has %d parts, want 2", data, len(parts))
		}
		*p = pair(parts)
		return nil
	}
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	a, b, ok := strings.Cut(s, " ")
	if !ok || strings.Contains(b, " ") {
		return fmt.Errorf("merge %q is not two tokens separated by a space", s)
	}
	*p = pair{a, b}
	return nil
}

type file struct {
	AddedTokens   []addedToken `json:"added_tokens"`
	Normalizer    *component   `json:"normalizer"`
	PreTokenizer  *component   `json:"pre_tokenizer"`
	PostProcessor *component   `json:"post_processor"`
	Decoder       *component   `json:"decoder"`
	Model         *model       `json:"model"`
}

// Parse reads the content of a tokenizer.json. Whatever in it decides the ids and is not supported is refused by name,
// several faults at once; truncation and padding sections are ignored, since the caller does both.
func Parse(data []byte) (*Tokenizer, error) {
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	if f.Model == nil || f.Model.Type != "" && f.Model.Type != "BPE" {
		kind := "none"
		if f.Model != nil {
			kind = fmt.Sprintf("%q", f.Model.Type)
		}
		return nil, fmt.Errorf("model.type: %s is not supported; supported is BPE", kind)
	}
	if len(f.Model.Vocab) == 0 {
		return nil, errors.New("model.vocab: no tokens")
	}
	t := &Tokenizer{}
	var faults []error
	add := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	byteLevel := false
	add(f.Model.check())
	add(t.index(f))
	var err error
	t.normalize, err = newNormalizer(f.Normalizer)
	add(err)
	t.split, byteLevel, err = newSplitter(f.PreTokenizer)
	add(err)
	t.prefix, err = t.templatePrefix(f.PostProcessor)
	add(err)
	t.decode, err = newDecoder(f.Decoder)
	add(err)
	if len(faults) == 0 {
		t.raw, t.normalized, err = newMatchers(f.AddedTokens, t.normalize)
		add(err)
		t.merge, err = newMerger(f.Model, byteLevel)
		add(err)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return t, nil
}

func (m *model) check() error {
	var faults []error
	if m.Dropout != nil && *m.Dropout != 0 {
		faults = append(faults, fmt.Errorf("model.dropout: %g would make the ids random; set it to null", *m.Dropout))
	}
	if m.Prefix != "" {
		faults = append(faults, fmt.Errorf("model.continuing_subword_prefix: %q is not supported", m.Prefix))
	}
	if m.Suffix != "" {
		faults = append(faults, fmt.Errorf("model.end_of_word_suffix: %q is not supported", m.Suffix))
	}
	return errors.Join(faults...)
}

// index fills the tables between contents and ids, and refuses ids that are negative or taken twice.
func (t *Tokenizer) index(f file) error {
	size := len(f.Model.Vocab) + len(f.AddedTokens)
	t.tokens, t.ids = make(map[int32]string, size), make(map[string]int32, size)
	t.special = make(map[int32]bool, len(f.AddedTokens))
	var faults []string
	put := func(content string, id int32) {
		old, taken := t.tokens[id]
		have, known := t.ids[content]
		switch {
		case id < 0:
			faults = append(faults, fmt.Sprintf("token %q has the id %d", content, id))
		case taken && old != content:
			faults = append(faults, fmt.Sprintf("tokens %q and %q share the id %d", min(old, content), max(old, content), id))
		case known && have != id:
			faults = append(faults, fmt.Sprintf("token %q has the ids %d and %d", content, have, id))
		default:
			t.tokens[id], t.ids[content] = content, id
			t.highest = max(t.highest, id)
		}
	}
	for content, id := range f.Model.Vocab {
		put(content, id)
	}
	for _, a := range f.AddedTokens {
		put(a.Content, a.ID)
		if a.Special {
			t.special[a.ID] = true
		}
	}
	slices.Sort(faults)
	return summary("model.vocab and added_tokens", faults)
}

// summary makes one error of the first few faults, or none.
func summary(where string, faults []string) error {
	n := len(faults)
	if n == 0 {
		return nil
	}
	text := strings.Join(faults[:min(n, maxFaults)], "; ")
	if n > maxFaults {
		text += fmt.Sprintf("; and %d more", n-maxFaults)
	}
	return fmt.Errorf("%s: %s", where, text)
}

// templatePrefix finds the ids that the post-processor puts in front of a single text.
func (t *Tokenizer) templatePrefix(c *component) ([]int32, error) {
	if c == nil {
		return nil, nil
	}
	switch c.Type {
	case "ByteLevel": // changes offsets only
		return nil, nil
	case "Sequence":
		var prefix []int32
		for i := range c.Processors {
			p, err := t.templatePrefix(&c.Processors[i])
			if err != nil {
				return nil, err
			}
			prefix = append(prefix, p...)
		}
		return prefix, nil
	case "TemplateProcessing":
		var prefix []int32
		for _, item := range c.Single {
			if item.Sequence != nil {
				break
			}
			if item.SpecialToken == nil {
				return nil, errors.New("post_processor: a template item is neither SpecialToken nor Sequence")
			}
			name := item.SpecialToken.ID
			for _, id := range c.SpecialTokens[name].IDs {
				if _, ok := t.tokens[id]; !ok {
					return nil, fmt.Errorf("post_processor: token %q has the id %d, which the vocabulary lacks", name, id)
				}
				prefix = append(prefix, id)
			}
		}
		return prefix, nil
	}
	return nil, fmt.Errorf("post_processor: type %q is not supported; supported are ByteLevel, Sequence, TemplateProcessing", c.Type)
}
