package chat

import (
	"fmt"
	"strings"
)

// toJSON is the filter tojson as transformers has it: json.dumps without escapes of what is not ASCII.
func toJSON(s *state, v any, a arguments) any {
	b := a.bind("ensure_ascii", "indent", "separators", "sort_keys")
	for name, given := range b {
		if name != "indent" && truth(given) {
			fail("tojson: %s is not supported", name)
		}
	}
	w := jsonWriter{s: s, between: ", "}
	if given := b["indent"]; given != nil {
		w.indent, w.between = wanted(given, "indent"), ","
		s.text(max(w.indent, 0) * maxNested)
		w.lines = true
	}
	w.value(v, 0)
	return w.out.String()
}

// jsonNumbers are the floats that Python writes otherwise, and jsonEscapes the characters.
var (
	jsonNumbers = map[string]string{"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
	jsonEscapes = map[rune]string{'"': `\"`, '\\': `\\`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\b': `\b`, '\f': `\f`}
)

type jsonWriter struct {
	s       *state
	out     strings.Builder
	lines   bool
	indent  int
	between string
}

func (w *jsonWriter) write(text string) {
	w.s.grow(w.out.Len(), len(text))
	w.out.WriteString(text)
}

// line begins a line, if there are lines.
func (w *jsonWriter) line(level int) {
	if w.lines {
		w.write("\n" + strings.Repeat(" ", max(w.indent, 0)*level))
	}
}

func (w *jsonWriter) value(v any, level int) {
	if level > maxNested {
		exceed("tojson: values stand more than %d deep inside each other", maxNested)
	}
	w.s.spend(nodeWork)
	switch v := v.(type) {
	case nil:
		w.write("null")
	case bool:
		w.write(fmt.Sprint(v))
	case int:
		w.write(fmt.Sprint(v))
	case float64:
		text := formatFloat(v)
		if name, ok := jsonNumbers[text]; ok {
			text = name
		}
		w.write(text)
	case string:
		w.text(v)
	case *sequence:
		w.elements("[", "]", len(v.items), level, func(i int) { w.value(v.items[i], level+1) })
	case *dict:
		w.elements("{", "}", len(v.keys), level, func(i int) {
			w.key(v.keys[i])
			w.write(": ")
			w.value(v.values[i], level+1)
		})
	default:
		fail("tojson: a %s cannot be written as JSON", typeName(v))
	}
}

// key writes a key, which JSON has as text.
func (w *jsonWriter) key(k any) {
	if text, ok := k.(string); ok {
		w.text(text)
		return
	}
	w.write(`"`)
	w.value(k, 0)
	w.write(`"`)
}

func (w *jsonWriter) elements(open, end string, n, level int, write func(i int)) {
	w.write(open)
	for i := range n {
		if i > 0 {
			w.write(w.between)
		}
		w.line(level + 1)
		write(i)
	}
	if n > 0 {
		w.line(level)
	}
	w.write(end)
}

func (w *jsonWriter) text(text string) {
	w.s.spend(byteWork * len(text))
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch escape, ok := jsonEscapes[r]; {
		case ok:
			b.WriteString(escape)
		case r < 0x20:
			w.s.spend(nodeWork)
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	w.write(b.String())
}
