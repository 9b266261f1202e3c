package bpe

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// byteRunes are the printable characters that stand for the bytes in byte-level vocabularies (GPT-2's table): printable
// Latin-1 for itself, the others in order from U+0100.
var byteRunes = func() (table [256]rune) {
	next := rune(256)
	for b := range table {
		r := rune(b)
		if !(r >= '!' && r <= '~' || r >= '¡' && r <= '¬' || r >= '®' && r <= 'ÿ') {
			r = next
			next++
		}
		table[b] = r
	}
	return table
}()

var runeBytes = func() map[rune]byte {
	inverse := make(map[rune]byte, 256)
	for b, r := range byteRunes {
		inverse[r] = byte(b)
	}
	return inverse
}()

// tokenBytes turns a token of a byte-level vocabulary into the bytes it stands for; false if a character stands for none.
func tokenBytes(token string) (string, bool) {
	raw := make([]byte, 0, len(token))
	for _, r := range token {
		b, ok := runeBytes[r]
		if !ok {
			return token, false
		}
		raw = append(raw, b)
	}
	return string(raw), true
}

// decodeStep rewrites the tokens of a text.
type decodeStep func(tokens []string) []string

func newDecoder(c *component) ([]decodeStep, error) {
	if c == nil {
		return nil, errors.New("decoder: none; supported are ByteLevel and Sequence")
	}
	switch c.Type {
	case "Sequence":
		var steps []decodeStep
		for i := range c.Decoders {
			s, err := newDecoder(&c.Decoders[i])
			if err != nil {
				return nil, err
			}
			steps = append(steps, s...)
		}
		return steps, nil
	case "ByteLevel":
		return []decodeStep{decodeByteLevel}, nil
	case "ByteFallback":
		return []decodeStep{decodeByteFallback}, nil
	case "Fuse":
		return []decodeStep{func(tokens []string) []string { return []string{strings.Join(tokens, "")} }}, nil
	case "Replace":
		if c.Pattern.String == nil || *c.Pattern.String == "" {
			return nil, errors.New("decoder: Replace: only a non-empty String pattern is supported")
		}
		return []decodeStep{eachToken(func(s string) string { return strings.ReplaceAll(s, *c.Pattern.String, c.Content) })}, nil
	case "Strip":
		if utf8.RuneCountInString(c.Content) != 1 || c.Start < 0 || c.Stop < 0 {
			return nil, fmt.Errorf("decoder: Strip: content %q, start %d, stop %d; want one character and counts", c.Content, c.Start, c.Stop)
		}
		return []decodeStep{eachToken(func(s string) string { return strip(s, c.Content, c.Start, c.Stop) })}, nil
	}
	return nil, fmt.Errorf("decoder: type %q is not supported; supported are ByteFallback, ByteLevel, Fuse, Replace, Sequence, Strip", c.Type)
}

func eachToken(f func(string) string) decodeStep {
	return func(tokens []string) []string {
		for i, t := range tokens {
			tokens[i] = f(t)
		}
		return tokens
	}
}

func strip(s, cut string, start, stop int) string {
	for ; start > 0 && strings.HasPrefix(s, cut); start-- {
		s = s[len(cut):]
	}
	for ; stop > 0 && strings.HasSuffix(s, cut); stop-- {
		s = s[:len(s)-len(cut)]
	}
	return s
}

// decodeByteLevel turns the tokens back into the bytes they stand for, and what is not UTF-8 in them into U+FFFD. Added
// tokens with other characters stand for themselves.
func decodeByteLevel(tokens []string) []string {
	var text strings.Builder
	for _, t := range tokens {
		raw, _ := tokenBytes(t)
		text.WriteString(raw)
	}
	return []string{validUTF8(text.String())}
}

// decodeByteFallback joins runs of "<0xF0>" into characters; a run that is not UTF-8 becomes one U+FFFD a byte.
func decodeByteFallback(tokens []string) []string {
	out := make([]string, 0, len(tokens))
	var run []byte
	flush := func() {
		if len(run) > 0 && utf8.Valid(run) {
			out = append(out, string(run))
		} else {
			for range run {
				out = append(out, "\uFFFD")
			}
		}
		run = run[:0]
	}
	for _, t := range tokens {
		if len(t) == 6 && strings.HasPrefix(t, "<0x") && t[5] == '>' {
			if b, err := strconv.ParseUint(t[3:5], 16, 8); err == nil {
				run = append(run, byte(b))
				continue
			}
		}
		flush()
		out = append(out, t)
	}
	flush()
	return out
}
