package chat

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// arguments are the values that a function, filter or test is called with.
type arguments struct {
	of         string // what is called
	positional []any
	named      map[string]any
	order      []string // of the names
}

// bind gives the arguments by their names, those that are there.
func (a arguments) bind(names ...string) map[string]any {
	if len(a.positional) > len(names) {
		fail("%s: %d arguments, at most %d are taken", a.of, len(a.positional), len(names))
	}
	values := make(map[string]any, len(names))
	for i, v := range a.positional {
		values[names[i]] = v
	}
	for name, v := range a.named {
		if _, twice := values[name]; twice || !slices.Contains(names, name) {
			fail("%s: unexpected argument %q", a.of, name)
		}
		values[name] = v
	}
	return values
}

// texts gives the arguments by their names, where those that are there and not None have to be strings.
func (a arguments) texts(names ...string) map[string]string {
	texts := make(map[string]string, len(names))
	for name, v := range a.bind(names...) {
		if v == nil {
			continue
		}
		text, ok := defined(v).(string)
		if !ok {
			fail("%s: %s is a %s, want a str", a.of, name, typeName(v))
		}
		texts[name] = text
	}
	return texts
}

// known lists names.
func known[V any](m map[string]V) string { return strings.Join(slices.Sorted(maps.Keys(m)), ", ") }

// globals are what templates find beside their variables.
var globals = map[string]any{
	"range":           &function{"range", makeRange},
	"namespace":       &function{"namespace", func(s *state, a arguments) any { return &namespace{makeDict(s, a)} }},
	"dict":            &function{"dict", func(s *state, a arguments) any { return makeDict(s, a) }},
	"raise_exception": &function{"raise_exception", raise},
	"strftime_now":    &function{"strftime_now", func(s *state, a arguments) any { return s.formatTime(today, a.texts("format")["format"]) }},
}

// today is the day of strftime_now, a Friday.
var today = time.Date(2024, time.July, 26, 0, 0, 0, 0, time.UTC)

func makeRange(s *state, a arguments) any {
	if a.named != nil || len(a.positional) < 1 || len(a.positional) > 3 {
		fail("range: want one to three numbers")
	}
	bounds := []int{0, 0, 1}
	for i, v := range a.positional {
		bounds[i] = wanted(v, "an argument of range")
	}
	if len(a.positional) == 1 {
		bounds[0], bounds[1] = 0, bounds[0]
	}
	from, to, by := bounds[0], bounds[1], bounds[2]
	if by == 0 {
		fail("range: the step is 0")
	}
	n := 0
	if by > 0 && to > from {
		n = (to-from-1)/by + 1
	} else if by < 0 && to < from {
		n = (from-to-1)/-by + 1
	}
	if n > maxRange {
		exceed("range: %d numbers, at most %d are given", n, maxRange)
	}
	s.items(n)
	items := make([]any, n)
	for i := range items {
		items[i] = from + i*by
	}
	return &sequence{items: items}
}

// maxRange is the one of Jinja's sandbox.
const maxRange = 100000

func makeDict(s *state, a arguments) *dict {
	d := newDict()
	for _, v := range a.positional {
		from, ok := v.(*dict)
		if !ok || len(a.positional) > 1 {
			fail("%s: want at most one dict, and names with values", a.of)
		}
		for i, k := range from.keys {
			s.put(d, k, from.values[i])
		}
	}
	for _, name := range a.order {
		s.put(d, name, a.named[name])
	}
	return d
}

func raise(s *state, a arguments) any {
	fail("the template refuses the conversation: %s", brief(s.str(a.bind("message")["message"])))
	return nil
}

// brief cuts what is too long for an error.
func brief(text string) string {
	if len(text) > 1000 {
		return strings.ToValidUTF8(text[:1000], "") + "…"
	}
	return text
}

var timeLayouts = map[byte]string{'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'd': "02", 'm': "01", 'y': "06", 'Y': "2006",
	'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'j': "002"}

// formatTime is strftime of Python, for the directives that have one meaning everywhere.
func (s *state) formatTime(t time.Time, format string) string {
	s.spend(nodeWork * len(format))
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		switch layout, ok := timeLayouts[format[i]]; {
		case ok:
			b.WriteString(t.Format(layout))
		case format[i] == '%':
			b.WriteByte('%')
		default:
			fail("strftime_now: %s is not supported; supported are %s", fmt.Sprintf("%%%c", format[i]), "%a %A %b %B %d %H %I %j %m %M %p %S %y %Y %%")
		}
	}
	return b.String()
}

// tests are what stands behind "is".
var tests = map[string]func(s *state, v any, a arguments) bool{
	"defined":   func(_ *state, v any, _ arguments) bool { return !isUndefined(v) },
	"undefined": func(_ *state, v any, _ arguments) bool { return isUndefined(v) },
	"none":      func(_ *state, v any, _ arguments) bool { return v == nil },
	"true":      func(_ *state, v any, _ arguments) bool { return v == true },
	"false":     func(_ *state, v any, _ arguments) bool { return v == false },
	"boolean":   func(_ *state, v any, _ arguments) bool { return typeName(v) == "bool" },
	"string":    func(_ *state, v any, _ arguments) bool { return typeName(v) == "str" },
	"integer":   func(_ *state, v any, _ arguments) bool { return typeName(v) == "int" },
	"float":     func(_ *state, v any, _ arguments) bool { return typeName(v) == "float" },
	"mapping":   func(_ *state, v any, _ arguments) bool { return typeName(v) == "dict" },
	"callable":  func(_ *state, v any, _ arguments) bool { return typeName(v) == "function" },
	"number":    func(_ *state, v any, _ arguments) bool { _, ok := number(v); return ok },
	"iterable":  func(_ *state, v any, _ arguments) bool { return isUndefined(v) || isSequence(v) },
	"sequence":  func(_ *state, v any, _ arguments) bool { return isUndefined(v) || isSequence(v) },
	"odd":       func(_ *state, v any, _ arguments) bool { return wanted(v, "the value of a test")%2 != 0 },
	"even":      func(_ *state, v any, _ arguments) bool { return wanted(v, "the value of a test")%2 == 0 },
	"divisibleby": func(_ *state, v any, a arguments) bool {
		return arithmetic("%", float64(wanted(v, "the value of a test")), float64(wanted(a.bind("num")["num"], "num")), true) == 0
	},
	"in": func(s *state, v any, a arguments) bool { return s.contains(a.bind("seq")["seq"], v) },
	"eq": comparing("=="), "equalto": comparing("=="), "==": comparing("=="), "ne": comparing("!="),
	"lt": comparing("<"), "lessthan": comparing("<"), "le": comparing("<="),
	"gt": comparing(">"), "greaterthan": comparing(">"), "ge": comparing(">="),
}

func comparing(op string) func(s *state, v any, a arguments) bool {
	return func(s *state, v any, a arguments) bool { return s.compare(op, v, a.bind("other")["other"]) }
}

func isUndefined(v any) bool {
	_, ok := v.(undefined)
	return ok
}

func isSequence(v any) bool {
	switch v.(type) {
	case string, *sequence, *dict:
		return true
	}
	return false
}
