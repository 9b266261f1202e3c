package bpe

import (
	"fmt"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// normalizer rewrites a text between added tokens.
type normalizer func(string) string

func newNormalizer(c *component) (normalizer, error) {
	if c == nil {
		return func(s string) string { return s }, nil
	}
	switch c.Type {
	case "NFC":
		return norm.NFC.String, nil
	case "NFKC":
		return norm.NFKC.String, nil
	case "Prepend":
		return func(s string) string {
			if s == "" {
				return s
			}
			return c.Prepend + s
		}, nil
	case "Replace":
		if c.Pattern.String == nil || *c.Pattern.String == "" {
			return nil, fmt.Errorf("normalizer: Replace: only a non-empty String pattern is supported")
		}
		return func(s string) string { return strings.ReplaceAll(s, *c.Pattern.String, c.Content) }, nil
	case "Sequence":
		steps := make([]normalizer, len(c.Normalizers))
		for i := range c.Normalizers {
			var err error
			if steps[i], err = newNormalizer(&c.Normalizers[i]); err != nil {
				return nil, err
			}
		}
		return func(s string) string {
			for _, step := range steps {
				s = step(s)
			}
			return s
		}, nil
	}
	return nil, fmt.Errorf("normalizer: type %q is not supported; supported are NFC, NFKC, Prepend, Replace, Sequence", c.Type)
}
