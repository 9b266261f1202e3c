package chat

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// kind says what a token is.
type kind int

const (
	kindData  kind = iota // text outside of tags
	kindBlock             // {% begins
	kindBlockEnd
	kindOutput // {{ begins
	kindOutputEnd
	kindName
	kindString
	kindInteger
	kindFloat
	kindOperator
	kindEnd // of the source
)

type token struct {
	kind kind
	text string // of a string: what it stands for
	line int
}

// lexer splits a source into tokens.
type lexer struct {
	source string
	at     int
	line   int
	tokens []token
}

var (
	nameWord   = regexp.MustCompile(`^[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*`)
	numberWord = regexp.MustCompile(`^(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9][0-9_]*(\.[0-9][0-9_]*)?([eE][+-]?[0-9][0-9_]*)?)`)
	stringWord = regexp.MustCompile(`^(?s:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")`)
	rawTag     = regexp.MustCompile(`^\{%[-+]?\s*raw\s*(-?)%\}`)
	endRawTag  = regexp.MustCompile(`\{%[-+]?\s*endraw\s*[-+]?%\}`)
)

// lex gives the tokens of a template, kindEnd last.
func lex(source string) []token {
	source = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(source)
	l := &lexer{source: strings.TrimSuffix(source, "\n"), line: 1}
	for l.at < len(l.source) {
		l.text()
		if l.at == len(l.source) {
			break
		}
		switch open := l.source[l.at : l.at+2]; {
		case open == "{#":
			l.comment()
		case rawTag.MatchString(l.source[l.at:]):
			l.raw()
		case open == "{%":
			l.tag(kindBlock, kindBlockEnd, "%}")
		default:
			l.tag(kindOutput, kindOutputEnd, "}}")
		}
	}
	l.emit(kindEnd, "")
	return l.tokens
}

func (l *lexer) emit(k kind, text string) { l.tokens = append(l.tokens, token{k, text, l.line}) }

// skip goes n bytes on.
func (l *lexer) skip(n int) {
	l.line += strings.Count(l.source[l.at:l.at+n], "\n")
	l.at += n
}

// text takes what stands in front of the next tag, without the white space that the tag takes off.
func (l *lexer) text() {
	rest := l.source[l.at:]
	end := len(rest)
	for from := 0; ; from++ {
		i := strings.IndexByte(rest[from:], '{')
		if i < 0 {
			break
		}
		if from += i; from+1 < len(rest) && strings.IndexByte("{%#", rest[from+1]) >= 0 {
			end = from
			break
		}
	}
	if data := l.stripped(rest[:end], rest[end:]); data != "" {
		l.emit(kindData, data)
	}
	l.skip(end)
}

// stripped takes the white space off a text that the tag behind it does not want: all for {%-, that in front of it on its line
// for {% and {#.
func (l *lexer) stripped(data, tag string) string {
	if len(tag) < 3 || tag[2] == '+' {
		return data
	}
	if tag[2] == '-' {
		return strings.TrimRightFunc(data, isSpace)
	}
	line := strings.LastIndexByte(data, '\n') + 1
	begins := line > 0 || l.at == 0 || l.source[l.at-1] == '\n'
	if tag[1] != '{' && begins && strings.TrimLeftFunc(data[line:], isSpace) == "" {
		return data[:line]
	}
	return data
}

// close goes behind the end of a tag, whose first byte may be a sign: - takes the white space behind it, + nothing. trim takes a
// line break.
func (l *lexer) close(n int, sign byte, trim bool) {
	l.skip(n)
	rest := l.source[l.at:]
	switch {
	case sign == '-':
		l.skip(len(rest) - len(strings.TrimLeftFunc(rest, isSpace)))
	case sign != '+' && trim && strings.HasPrefix(rest, "\n"):
		l.skip(1)
	}
}

func (l *lexer) comment() {
	n := strings.Index(l.source[l.at+2:], "#}")
	if n < 0 {
		failAt(l.line, "a comment has no end, #}")
	}
	var sign byte
	if n > 0 {
		sign = l.source[l.at+2+n-1]
	}
	l.close(n+4, sign, true)
}

// raw takes a text between {% raw %} and {% endraw %}.
func (l *lexer) raw() {
	open := rawTag.FindStringSubmatch(l.source[l.at:])
	var sign byte
	if open[1] != "" {
		sign = '-'
	}
	line := l.line
	l.close(len(open[0]), sign, true)
	rest := l.source[l.at:]
	end := endRawTag.FindStringIndex(rest)
	if end == nil {
		failAt(line, "{%% raw %%} has no end, {%% endraw %%}")
	}
	if data := l.stripped(rest[:end[0]], rest[end[0]:]); data != "" {
		l.emit(kindData, data)
	}
	l.skip(end[0])
	l.close(end[1]-end[0], rest[end[1]-3], true)
}

// tag takes what stands between {{ and }}, or {% and %}.
func (l *lexer) tag(begin, finish kind, end string) {
	line := l.line
	var open []byte // brackets, by what closes them
	l.emit(begin, "")
	l.skip(2)
	if l.at < len(l.source) && (l.source[l.at] == '-' || l.source[l.at] == '+') {
		l.skip(1)
	}
	for {
		rest := l.source[l.at:]
		space := len(rest) - len(strings.TrimLeftFunc(rest, isSpace))
		l.skip(space)
		if rest = rest[space:]; rest == "" {
			failAt(line, "a tag has no end, %s", end)
		}
		if sign := rest[0]; len(open) == 0 && (strings.HasPrefix(rest, end) || (sign == '-' || sign == '+') && strings.HasPrefix(rest[1:], end)) {
			l.emit(finish, "")
			n := 2
			if strings.HasPrefix(rest, end) {
				sign = 0
			} else {
				n++
			}
			l.close(n, sign, finish == kindBlockEnd)
			return
		}
		l.word(rest, &open)
	}
}

// word takes one token inside of a tag.
func (l *lexer) word(rest string, open *[]byte) {
	switch {
	case rest[0] == '\'' || rest[0] == '"':
		w := stringWord.FindString(rest)
		if w == "" {
			failAt(l.line, "a string has no end, %c", rest[0])
		}
		l.emit(kindString, unescape(w[1:len(w)-1]))
		l.skip(len(w))
	case rest[0] >= '0' && rest[0] <= '9':
		m := numberWord.FindStringSubmatch(rest)
		k := kindInteger
		if m[1] != "" || m[2] != "" {
			k = kindFloat
		}
		l.emit(k, strings.ReplaceAll(m[0], "_", ""))
		l.skip(len(m[0]))
	default:
		if w := nameWord.FindString(rest); w != "" {
			if len(w) > maxName {
				exceedAt(l.line, "a name of %d bytes, at most %d are read", len(w), maxName)
			}
			l.emit(kindName, w)
			l.skip(len(w))
			return
		}
		l.operator(rest, open)
	}
}

var operators = []string{"**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", ".", ":", "|", ",", "(", ")", "[", "]", "{", "}"}

func (l *lexer) operator(rest string, open *[]byte) {
	i := slices.IndexFunc(operators, func(o string) bool { return strings.HasPrefix(rest, o) })
	if i < 0 {
		r, _ := utf8.DecodeRuneInString(rest)
		failAt(l.line, "unexpected %q", r)
	}
	o := operators[i]
	if end := strings.Index("([{", o); end >= 0 {
		if *open = append(*open, ")]}"[end]); len(*open) > maxNested {
			exceedAt(l.line, "brackets stand more than %d deep inside each other", maxNested)
		}
	} else if strings.Contains(")]}", o) {
		last := len(*open) - 1
		if last < 0 || (*open)[last] != o[0] {
			failAt(l.line, "unexpected %q", o)
		}
		*open = (*open)[:last]
	}
	l.emit(kindOperator, o)
	l.skip(len(o))
}

// unescape is what the inside of a string stands for, as in Python; escapes that Python does not know stay.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	simple := map[byte]string{'\n': "", '\\': "\\", '\'': "'", '"': "\"", 'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v"}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if text, ok := simple[s[i]]; ok {
			b.WriteString(text)
			continue
		}
		if n := digits[s[i]]; n > 0 && i+n < len(s) {
			if code, err := strconv.ParseUint(s[i+1:i+1+n], 16, 32); err == nil {
				b.WriteRune(rune(code))
				i += n
				continue
			}
		}
		n := 0
		for n < 3 && i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '7' {
			n++
		}
		if n > 0 {
			code, _ := strconv.ParseUint(s[i:i+n], 8, 32) // one to three octal digits
			b.WriteRune(rune(code))
			i += n - 1
			continue
		}
		b.WriteByte('\\')
		b.WriteByte(s[i])
	}
	return b.String()
}
