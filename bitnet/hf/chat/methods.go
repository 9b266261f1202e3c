package chat

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// method is called with the value that it belongs to, whose type is that of its map.
type method = func(s *state, v any, a arguments) any

// methods are those of Python's types that change nothing.
var methods map[string]map[string]method

func init() { // not where it is declared: some look methods up
	methods = map[string]map[string]method{"str": stringMethods(), "dict": dictMethods()}
}

func stringMethods() map[string]method {
	return map[string]method{
		"strip":        stripping(true, true),
		"lstrip":       stripping(true, false),
		"rstrip":       stripping(false, true),
		"upper":        recasing(func() cases.Caser { return cases.Upper(language.Und) }),
		"lower":        recasing(func() cases.Caser { return cases.Lower(language.Und) }),
		"title":        func(s *state, v any, _ arguments) any { return titled(s, v.(string), "") },
		"capitalize":   func(s *state, v any, _ arguments) any { return capitalized(s, v.(string)) },
		"startswith":   affix(strings.HasPrefix),
		"endswith":     affix(strings.HasSuffix),
		"removeprefix": removing(strings.TrimPrefix),
		"removesuffix": removing(strings.TrimSuffix),
		"split":        func(s *state, v any, a arguments) any { return split(s, v.(string), a, false) },
		"rsplit":       func(s *state, v any, a arguments) any { return split(s, v.(string), a, true) },
		"splitlines": func(s *state, v any, a arguments) any {
			return texts(s, s.splitLines(v.(string), truth(a.bind("keepends")["keepends"])))
		},
		"join":    joinTexts,
		"replace": replace,
		"find":    finding(strings.Index),
		"rfind":   finding(strings.LastIndex),
		"count":   func(_ *state, v any, a arguments) any { return strings.Count(v.(string), a.texts("sub")["sub"]) },
		"isdigit": every(unicode.IsDigit),
		"isalpha": every(unicode.IsLetter),
		"isspace": every(isSpace),
		"isalnum": every(func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }),
	}
}

func dictMethods() map[string]method {
	return map[string]method{
		"items":  func(s *state, v any, _ arguments) any { return pairs(s, v) },
		"keys":   func(s *state, v any, _ arguments) any { return listOf(s, slices.Clone(v.(*dict).keys)) },
		"values": func(s *state, v any, _ arguments) any { return listOf(s, slices.Clone(v.(*dict).values)) },
		"get": func(s *state, v any, a arguments) any {
			b := a.bind("key", "default")
			if found, ok := s.find(v.(*dict), b["key"]); ok {
				return found
			}
			return b["default"]
		},
	}
}

// joinTexts is join of a string, which takes strings alone.
func joinTexts(s *state, v any, a arguments) any {
	list := a.bind("iterable")["iterable"]
	for _, item := range s.iterate(defined(list)) {
		if _, ok := item.(string); !ok {
			fail("join: a %s, want str", typeName(item))
		}
	}
	return join(s, list, arguments{of: "join", positional: []any{v}})
}

// stripping makes strip and its like: without characters, white space goes.
func stripping(left, right bool) func(s *state, v any, a arguments) any {
	return func(s *state, v any, a arguments) any {
		text := v.(string)
		away := isSpace
		if chars, given := a.texts("chars")["chars"]; given {
			s.spend(byteWork * len(chars))
			set := map[rune]bool{}
			for _, r := range chars {
				set[r] = true
			}
			away = func(r rune) bool { return set[r] }
		}
		if left {
			text = strings.TrimLeftFunc(text, away)
		}
		if right {
			text = strings.TrimRightFunc(text, away)
		}
		s.spend(byteWork * (len(v.(string)) - len(text)))
		return text
	}
}

func recasing(caser func() cases.Caser) func(s *state, v any, a arguments) any {
	return func(s *state, v any, _ arguments) any {
		s.text(len(v.(string)))
		s.spend(4*nodeWork + byteWork*len(v.(string)))
		return caser().String(v.(string))
	}
}

// titled puts a capital at the beginning of each word: behind anything that is not a letter, or behind white space and these
// characters.
func titled(s *state, text, behind string) string {
	s.text(len(text))
	s.spend(byteWork * len(text))
	lower := cases.Lower(language.Und).String(text)
	begins := true
	var b strings.Builder
	for _, r := range lower {
		if begins {
			r = unicode.ToTitle(r)
		}
		b.WriteRune(r)
		if behind == "" {
			begins = !unicode.IsLetter(r)
		} else {
			begins = isSpace(r) || strings.ContainsRune(behind, r)
		}
	}
	return b.String()
}

func capitalized(s *state, text string) string {
	s.text(len(text))
	s.spend(byteWork * len(text))
	lower := cases.Lower(language.Und).String(text)
	for i, r := range lower {
		if i == 0 {
			return string(unicode.ToTitle(r)) + lower[len(string(r)):]
		}
	}
	return lower
}

// affix makes startswith and endswith, for one string or a tuple of them.
func affix(has func(text, part string) bool) func(s *state, v any, a arguments) any {
	return func(s *state, v any, a arguments) any {
		parts := []any{a.bind("prefix")["prefix"]}
		if list, ok := parts[0].(*sequence); ok && list.tuple {
			parts = list.items
		}
		for _, part := range parts {
			text, ok := defined(part).(string)
			if !ok {
				fail("%s: a %s, want str", a.of, typeName(part))
			}
			s.spend(itemWork + len(text))
			if has(v.(string), text) {
				return true
			}
		}
		return false
	}
}

func removing(trim func(text, part string) string) func(s *state, v any, a arguments) any {
	return func(_ *state, v any, a arguments) any { return trim(v.(string), a.texts("prefix")["prefix"]) }
}

// texts makes a list of strings.
func texts(s *state, parts []string) any {
	items := make([]any, len(parts))
	for i, p := range parts {
		items[i] = p
	}
	return listOf(s, items)
}

// split is split and rsplit: without a separator, at runs of white space.
func split(s *state, text string, a arguments, fromRight bool) any {
	b := a.bind("sep", "maxsplit")
	most := -1
	if v, given := b["maxsplit"]; given {
		most = wanted(v, "maxsplit")
	}
	if b["sep"] == nil {
		s.spend(byteWork * len(text))
		return texts(s, splitSpace(text, most, fromRight))
	}
	by, ok := defined(b["sep"]).(string)
	if !ok || by == "" {
		fail("%s: the separator has to be a str with something in it", a.of)
	}
	s.items(strings.Count(text, by) + 1)
	if most < 0 || !fromRight {
		if most >= 0 {
			most++
		}
		return texts(s, strings.SplitN(text, by, most))
	}
	parts := strings.Split(text, by)
	if n := len(parts) - most; n > 1 {
		parts = append([]string{strings.Join(parts[:n], by)}, parts[n:]...)
	}
	return texts(s, parts)
}

// splitSpace splits at runs of white space, at most times (-1: always); the rest keeps its white space.
func splitSpace(text string, most int, fromRight bool) []string {
	if most < 0 {
		return strings.FieldsFunc(text, isSpace)
	}
	var parts []string
	trim, index := strings.TrimLeftFunc, strings.IndexFunc
	if fromRight {
		trim, index = strings.TrimRightFunc, strings.LastIndexFunc
	}
	for text = trim(text, isSpace); text != ""; text = trim(text, isSpace) {
		i := index(text, isSpace)
		switch {
		case len(parts) == most || i < 0:
			parts, text = append(parts, text), ""
		case fromRight:
			cut := strings.TrimLeftFunc(text[i:], isSpace)
			parts, text = append(parts, cut), text[:i]
		default:
			parts, text = append(parts, text[:i]), text[i:]
		}
	}
	if fromRight {
		for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
			parts[i], parts[j] = parts[j], parts[i]
		}
	}
	return parts
}

// splitLines splits at what Python takes for the end of a line.
func (s *state) splitLines(text string, keep bool) []string {
	s.spend(byteWork * len(text))
	var lines []string
	start := 0
	for i, r := range text {
		if i < start || !strings.ContainsRune("\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029", r) {
			continue
		}
		end := i + len(string(r))
		if r == '\r' && strings.HasPrefix(text[end:], "\n") {
			end++
		}
		line := text[start:i]
		if keep {
			line = text[start:end]
		}
		lines, start = append(lines, line), end
	}
	if start < len(text) {
		lines = append(lines, text[start:])
	}
	return lines
}

func replace(s *state, v any, a arguments) any {
	text := v.(string)
	b := a.bind("old", "new", "count")
	pair := arguments{of: a.of, positional: []any{b["old"], b["new"]}}.texts("old", "new")
	n := -1
	if count, given := b["count"]; given && count != nil {
		n = wanted(count, "count")
	}
	old, with := pair["old"], pair["new"]
	times := strings.Count(text, old)
	if n >= 0 {
		times = min(times, n)
	}
	s.spend(byteWork * times)
	if grown := len(with) - len(old); grown > 0 && times > maxText/grown {
		s.text(maxText + 1)
	}
	s.text(len(text) + times*max(len(with)-len(old), 0))
	return strings.Replace(text, old, with, n)
}

func finding(index func(text, part string) int) func(s *state, v any, a arguments) any {
	return func(s *state, v any, a arguments) any {
		text := v.(string)
		i := index(text, a.texts("sub")["sub"])
		if i < 0 {
			return -1
		}
		return runes(text[:i])
	}
}

// every makes isdigit and its like: true for a text that has characters, all of this kind.
func every(is func(r rune) bool) func(s *state, v any, a arguments) any {
	return func(s *state, v any, _ arguments) any {
		s.spend(byteWork * len(v.(string)))
		return v != "" && strings.IndexFunc(v.(string), func(r rune) bool { return !is(r) }) < 0
	}
}
