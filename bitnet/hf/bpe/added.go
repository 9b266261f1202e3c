package bpe

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// matcher finds added tokens in a text: the leftmost, and of those that begin there the longest.
type matcher struct {
	byFirst [256][]addedToken // by first byte, longest first
}

// newMatchers divides the added tokens into those looked for in the raw text and those looked for after normalization,
// whose contents are normalized too.
func newMatchers(added []addedToken, normalize normalizer) (raw, normalized matcher, err error) {
	var faults []error
	for _, a := range added {
		if a.Content == "" {
			faults = append(faults, fmt.Errorf("added_tokens: id %d has no content", a.ID))
			continue
		}
		for _, option := range []struct {
			name string
			set  bool
		}{{"single_word", a.SingleWord}, {"lstrip", a.LStrip}, {"rstrip", a.RStrip}} {
			if option.set {
				faults = append(faults, fmt.Errorf("added_tokens: %q: %s is not supported", a.Content, option.name))
			}
		}
		m := &raw
		if a.Normalized {
			m = &normalized
			a.Content = normalize(a.Content)
		}
		m.byFirst[a.Content[0]] = append(m.byFirst[a.Content[0]], a)
	}
	for _, m := range []*matcher{&raw, &normalized} {
		for _, bucket := range m.byFirst {
			slices.SortStableFunc(bucket, func(a, b addedToken) int { return cmp.Compare(len(b.Content), len(a.Content)) })
		}
	}
	return raw, normalized, errors.Join(faults...)
}

// each walks the text: token for an added token, rest for a non-empty stretch between two.
func (m *matcher) each(text string, token func(id int32), rest func(s string)) {
	start := 0
scan:
	for i := 0; i < len(text); {
		for _, a := range m.byFirst[text[i]] {
			if strings.HasPrefix(text[i:], a.Content) {
				if start < i {
					rest(text[start:i])
				}
				token(a.ID)
				i += len(a.Content)
				start = i
				continue scan
			}
		}
		i++
	}
	if start < len(text) {
		rest(text[start:])
	}
}
