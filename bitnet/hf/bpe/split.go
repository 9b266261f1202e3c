package bpe

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// splitter cuts a normalized text into the words inside which merges happen. Words are never empty.
type splitter func(text string, word func(string))

// newSplitter also reports whether the words are merged as bytes.
func newSplitter(c *component) (s splitter, byteLevel bool, err error) {
	if c == nil {
		return func(text string, word func(string)) { word(text) }, false, nil
	}
	switch c.Type {
	case "Sequence":
		return newSequence(c.PreTokenizers)
	case "ByteLevel":
		return newByteLevel(c), true, nil
	case "Digits":
		return splitBy(digits(c.IndividualDigits)), false, nil
	case "Split":
		s, err := newSplit(c)
		return s, false, err
	}
	return nil, false, fmt.Errorf("pre_tokenizer: type %q is not supported; supported are ByteLevel, Digits, Sequence, Split", c.Type)
}

func newSequence(parts []component) (splitter, bool, error) {
	all := splitter(func(text string, word func(string)) { word(text) })
	bytes := false
	for i := range parts {
		if bytes {
			return nil, false, fmt.Errorf("pre_tokenizer: %s after ByteLevel is not supported; ByteLevel must be the last", parts[i].Type)
		}
		first := all
		second, b, err := newSplitter(&parts[i])
		if err != nil {
			return nil, false, err
		}
		bytes = b
		all = func(text string, word func(string)) {
			first(text, func(s string) { second(s, word) })
		}
	}
	return all, bytes, nil
}

func newByteLevel(c *component) splitter {
	cut := func(text string, word func(string)) { word(text) }
	if c.UseRegex == nil || *c.UseRegex {
		cut = splitBy(gpt2)
	}
	return func(text string, word func(string)) {
		if c.AddPrefixSpace && !strings.HasPrefix(text, " ") {
			text = " " + text
		}
		cut(text, word)
	}
}

// newSplit supports the patterns that the supported models use, by comparison: scanners written by hand are exact where
// Go's regexp has no lookahead, and ten times as fast.
func newSplit(c *component) (splitter, error) {
	if c.Invert {
		return nil, fmt.Errorf("pre_tokenizer: Split: invert is not supported")
	}
	switch {
	case c.Pattern.String != nil && *c.Pattern.String != "" && c.Behavior == "MergedWithPrevious":
		sep := *c.Pattern.String
		return splitBy(func(s string) int {
			if i := strings.Index(s, sep); i >= 0 {
				return i + len(sep)
			}
			return len(s)
		}), nil
	case c.Pattern.Regex != nil && c.Behavior == "Isolated":
		if next, ok := patterns[*c.Pattern.Regex]; ok {
			return splitBy(next), nil
		}
		return nil, fmt.Errorf("pre_tokenizer: Split: the pattern %q is not one of the known ones (GPT-2, Llama 3, Qwen)", *c.Pattern.Regex)
	}
	return nil, fmt.Errorf("pre_tokenizer: Split: behavior %q with this pattern is not supported; supported are Regex with Isolated and String with MergedWithPrevious", c.Behavior)
}

// scanner returns the length of the first word of a non-empty text, at least 1.
type scanner func(s string) int

func splitBy(next scanner) splitter {
	return func(text string, word func(string)) {
		for text != "" {
			n := next(text)
			word(text[:n])
			text = text[n:]
		}
	}
}

// Patterns of published tokenizers. Each matches at every position, so that words and matches are the same.
const (
	gpt2Pattern   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	qwenPattern   = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	llama3Pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

var patterns = map[string]scanner{
	gpt2Pattern:   gpt2,
	qwenPattern:   func(s string) int { return tiktoken(s, 1) },
	llama3Pattern: func(s string) int { return tiktoken(s, 3) },
}

// gpt2 scans gpt2Pattern, alternative by alternative.
func gpt2(s string) int {
	if n := contraction(s, false); n > 0 {
		return n
	}
	body := s
	if s[0] == ' ' {
		body = s[1:]
	}
	for _, class := range []func(rune) bool{unicode.IsLetter, unicode.IsNumber, isOther} {
		if n := run(body, class, len(body)); n > 0 {
			return len(s) - len(body) + n
		}
	}
	return spaces(s)
}

// tiktoken scans qwenPattern (one digit a word) and llama3Pattern (up to three).
func tiktoken(s string, maxDigits int) int {
	if n := contraction(s, true); n > 0 {
		return n
	}
	r, size := utf8.DecodeRuneInString(s)
	switch {
	case unicode.IsLetter(r):
		return run(s, unicode.IsLetter, len(s))
	case unicode.IsNumber(r):
		return run(s, unicode.IsNumber, maxDigits)
	case r != '\r' && r != '\n':
		if n := run(s[size:], unicode.IsLetter, len(s)); n > 0 {
			return size + n
		}
	}
	lead := 0
	if r == ' ' {
		lead = 1
	}
	if n := run(s[lead:], isOther, len(s)); n > 0 {
		n += lead
		return n + run(s[n:], isNewline, len(s))
	}
	// \s*[\r\n]+ reaches to the last line break of the white space.
	if i := strings.LastIndexAny(s[:run(s, isSpace, len(s))], "\r\n"); i >= 0 {
		return i + 1
	}
	return spaces(s)
}

// contraction is the length of 's, 't, 're, 've, 'm, 'll or 'd at the start of s, or 0.
func contraction(s string, foldCase bool) int {
	if s[0] != '\'' {
		return 0
	}
	for _, c := range [...]string{"s", "t", "re", "ve", "m", "ll", "d"} {
		rest := s[1:]
		if strings.HasPrefix(rest, c) {
			return 1 + len(c)
		}
		if !foldCase {
			continue
		}
		if len(rest) >= len(c) && strings.EqualFold(rest[:len(c)], c) {
			return 1 + len(c)
		}
		if c == "s" && strings.HasPrefix(rest, "ſ") { // the long s folds to s
			return 1 + len("ſ")
		}
	}
	return 0
}

// spaces scans \s+(?!\S)|\s+: white space up to but without the last character, which goes with what follows; all of it
// where nothing follows or where it is one character.
func spaces(s string) int {
	n := run(s, isSpace, len(s))
	if n == len(s) {
		return n
	}
	_, last := utf8.DecodeLastRuneInString(s[:n])
	if n > last {
		return n - last
	}
	return n
}

// digits scans Digits: numbers, one character or a run at a time, apart from the rest.
func digits(individual bool) scanner {
	return func(s string) int {
		if individual {
			if n := run(s, unicode.IsNumber, 1); n > 0 {
				return n
			}
		}
		if n := run(s, unicode.IsNumber, len(s)); n > 0 {
			return n
		}
		return run(s, func(r rune) bool { return !unicode.IsNumber(r) }, len(s))
	}
}

// run is the length in bytes of the first characters of s that are in the class, at most limit characters.
func run(s string, class func(rune) bool, limit int) int {
	for i, r := range s {
		if limit == 0 || !class(r) {
			return i
		}
		limit--
	}
	return len(s)
}

func isNewline(r rune) bool { return r == '\r' || r == '\n' }

// isSpace is \s: the characters with the property White_Space.
func isSpace(r rune) bool { return unicode.IsSpace(r) }

// isOther is [^\s\p{L}\p{N}].
func isOther(r rune) bool { return !isSpace(r) && !unicode.IsLetter(r) && !unicode.IsNumber(r) }
