package chat

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The values of a template are nil (None), bool, int, float64, string, *sequence, *dict, *namespace, *loop, *function and undefined.
// Only a namespace changes.
type (
	// sequence is a list or a tuple.
	sequence struct {
		items []any
		tuple bool
	}
	// dict keeps the order in which keys came. Keys are nil, bool, int, float64 or string; values[index[k]] belongs to k.
	dict struct {
		keys, values []any
		index        map[any]int
	}
	// namespace is what loops may write to.
	namespace struct{ values *dict }
	// function is what can be called: globals, methods and macros.
	function struct {
		name string
		call func(s *state, a arguments) any
	}
	// undefined is what a name or an element stands for that does not exist.
	undefined struct{ what string }
)

func newDict() *dict { return &dict{index: map[any]int{}} }

// put sets the value of a key.
func (s *state) put(d *dict, key, value any) {
	s.spend(3*itemWork + size(key))
	if i, ok := d.index[hashable(key)]; ok {
		d.values[i] = value
		return
	}
	d.index[key] = len(d.keys)
	d.keys, d.values = append(d.keys, key), append(d.values, value)
}

// find looks a key up.
func (s *state) find(d *dict, key any) (any, bool) {
	s.spend(size(key))
	i, ok := d.index[hashable(key)]
	if !ok {
		return nil, false
	}
	return d.values[i], true
}

// size is the number of bytes of a string, which is what an operation may have to look at.
func size(v any) int {
	text, _ := v.(string)
	return len(text)
}

// hashable refuses what cannot be a key.
func hashable(v any) any {
	switch v.(type) {
	case nil, bool, int, float64, string:
		return v
	}
	fail("a %s cannot be a key of a dict", typeName(v))
	return nil
}

// typeName is what Python calls the type.
func typeName(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "bool"
	case int:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case *sequence:
		if v.tuple {
			return "tuple"
		}
		return "list"
	case *dict:
		return "dict"
	case *namespace:
		return "namespace"
	case *loop:
		return "loop"
	case undefined:
		return "undefined value"
	}
	return "function"
}

// truth is whether Python takes a value for true.
func truth(v any) bool {
	switch v := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return v
	case int:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case *sequence:
		return len(v.items) > 0
	case *dict:
		return len(v.keys) > 0
	}
	return true
}

// str is str() of a value.
func (s *state) str(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case undefined:
		return ""
	}
	return s.repr(v)
}

// repr is repr() of a value.
func (s *state) repr(v any) string {
	var text string
	s.deeper(func() {
		switch v := v.(type) {
		case nil:
			text = "None"
		case bool:
			if text = "False"; v {
				text = "True"
			}
		case int:
			text = strconv.Itoa(v)
		case float64:
			text = formatFloat(v)
		case string:
			text = s.quote(v)
		case *sequence:
			open, end := "[", "]"
			if v.tuple {
				if open, end = "(", ")"; len(v.items) == 1 {
					end = ",)"
				}
			}
			text = open + s.joined(len(v.items), func(i int) string { return s.repr(v.items[i]) }) + end
		case *dict:
			text = "{" + s.joined(len(v.keys), func(i int) string { return s.repr(v.keys[i]) + ": " + s.repr(v.values[i]) }) + "}"
		default:
			fail("a %s cannot be written as text", typeName(v))
		}
	})
	s.text(len(text))
	return text
}

// joined puts ", " between n texts.
func (s *state) joined(n int, text func(i int) string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		part := text(i)
		s.grow(b.Len(), len(part))
		b.WriteString(part)
	}
	return b.String()
}

// formatFloat is repr() of a float.
func formatFloat(f float64) string {
	switch {
	case math.IsInf(f, 0):
		return strings.TrimPrefix(strings.ToLower(strconv.FormatFloat(f, 'g', -1, 64)), "+")
	case math.IsNaN(f):
		return "nan"
	case f != 0 && (math.Abs(f) < 1e-4 || math.Abs(f) >= 1e16):
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// quote is repr() of a string.
func (s *state) quote(text string) string {
	s.spend(byteWork * len(text))
	mark := '\''
	if strings.Contains(text, "'") && !strings.Contains(text, `"`) {
		mark = '"'
	}
	var b strings.Builder
	b.WriteRune(mark)
	for _, r := range text {
		switch {
		case r == mark || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			s.spend(nodeWork)
			format := `\x%02x`
			if r >= 0x10000 {
				format = `\U%08x`
			} else if r >= 0x100 {
				format = `\u%04x`
			}
			fmt.Fprintf(&b, format, r)
		}
	}
	b.WriteRune(mark)
	return b.String()
}

// iterate gives the elements of what can be walked through; the caller does not change them.
func (s *state) iterate(v any) []any {
	switch v := v.(type) {
	case undefined:
		return nil
	case string:
		s.items(2 * utf8.RuneCountInString(v))
		items := make([]any, 0, len(v))
		for _, r := range v {
			items = append(items, string(r))
		}
		return items
	case *sequence:
		s.spend(len(v.items))
		return v.items
	case *dict:
		s.spend(len(v.keys))
		return v.keys
	}
	fail("a %s cannot be walked through", typeName(v))
	return nil
}

// length is len() of a value.
func (s *state) length(v any) int {
	switch v := v.(type) {
	case undefined:
		return 0
	case string:
		s.spend(len(v))
		return utf8.RuneCountInString(v)
	case *sequence:
		return len(v.items)
	case *dict:
		return len(v.keys)
	}
	fail("a %s has no length", typeName(v))
	return 0
}

// equal is == of two values.
func (s *state) equal(a, b any) (same bool) {
	s.spend(itemWork)
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x == y
	}
	switch x := a.(type) {
	case nil:
		return b == nil
	case undefined:
		_, ok := b.(undefined)
		return ok
	case string:
		y, ok := b.(string)
		s.spend(min(len(x), len(y)))
		return ok && x == y
	case *sequence:
		y, ok := b.(*sequence)
		s.deeper(func() { same = ok && x.tuple == y.tuple && slices.EqualFunc(x.items, y.items, s.equal) })
		return same
	case *dict:
		y, ok := b.(*dict)
		s.deeper(func() { same = ok && len(x.keys) == len(y.keys) && s.covers(x, y) })
		return same
	}
	return a == b // the same namespace, loop or function
}

// covers reports whether y has the elements of x.
func (s *state) covers(x, y *dict) bool {
	for i, k := range x.keys {
		if v, ok := s.find(y, k); !ok || !s.equal(x.values[i], v) {
			return false
		}
	}
	return true
}

// number is the value of a number; True and False are 1 and 0.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// integer is the value of an int or a bool.
func integer(v any) (int, bool) {
	f, ok := number(v)
	_, float := v.(float64)
	return int(f), ok && !float
}

// contains is "x in v".
func (s *state) contains(v, x any) bool {
	switch v := v.(type) {
	case string:
		part, ok := x.(string)
		if !ok {
			fail("a %s cannot be in a str", typeName(x))
		}
		s.spend(len(v))
		return strings.Contains(v, part)
	case *dict:
		_, ok := s.find(v, x)
		return ok
	}
	return slices.ContainsFunc(s.iterate(v), func(item any) bool { return s.equal(item, x) })
}

// item is v[key].
func (s *state) item(v, key any) (any, bool) {
	switch v := v.(type) {
	case *dict:
		return s.find(v, key)
	case *sequence:
		if i, ok := integer(key); ok {
			if i < 0 {
				i += len(v.items)
			}
			if i >= 0 && i < len(v.items) {
				return v.items[i], true
			}
		}
	case string:
		if i, ok := integer(key); ok {
			runes := s.iterate(v)
			if i < 0 {
				i += len(runes)
			}
			if i >= 0 && i < len(runes) {
				return runes[i], true
			}
		}
	}
	return nil, false
}

// attribute is v.name as Jinja finds it in Python: methods and what a loop or namespace has, not elements.
func (s *state) attribute(v any, name string) (any, bool) {
	switch v := v.(type) {
	case *namespace:
		return s.find(v.values, name)
	case *loop:
		return v.attribute(name)
	}
	s.spend(len(name))
	if call, ok := methods[typeName(v)][name]; ok {
		return &function{name, func(s *state, a arguments) any {
			s.handed(v, a)
			return call(s, v, a)
		}}, true
	}
	return nil, false
}

// defined refuses to go on with what does not exist.
func defined(v any) any {
	if u, ok := v.(undefined); ok {
		fail("%s is undefined", u.what)
	}
	return v
}

// isSpace is what Python takes for white space.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }
