package chat

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
)

// filters are what stands behind |.
var filters map[string]func(s *state, v any, a arguments) any

func init() { // not where it is declared: map looks filters up
	filters = map[string]func(s *state, v any, a arguments) any{
		"length": lengthOf, "count": lengthOf,
		"default": defaultFor, "d": defaultFor,
		"first": func(s *state, v any, _ arguments) any { return at(s.iterate(v), 0) },
		"last": func(s *state, v any, _ arguments) any {
			items := s.iterate(v)
			return at(items, len(items)-1)
		},
		"list":       func(s *state, v any, _ arguments) any { return listOf(s, slices.Clone(s.iterate(v))) },
		"string":     func(s *state, v any, _ arguments) any { return s.str(v) },
		"safe":       func(s *state, v any, _ arguments) any { return s.str(v) },
		"int":        toInt,
		"float":      toFloat,
		"abs":        absolute,
		"join":       join,
		"reverse":    reversed,
		"sort":       sorted,
		"unique":     unique,
		"items":      func(s *state, v any, _ arguments) any { return pairs(s, v) },
		"dictsort":   func(s *state, v any, _ arguments) any { return dictSorted(s, v) },
		"tojson":     toJSON,
		"map":        mapped,
		"select":     picking(false, true),
		"reject":     picking(false, false),
		"selectattr": picking(true, true),
		"rejectattr": picking(true, false),
		"trim":       func(s *state, v any, a arguments) any { return methods["str"]["strip"](s, s.str(v), a) },
		"indent":     indent,
		"title":      func(s *state, v any, _ arguments) any { return titled(s, s.str(v), "-({[<") },
	}
	for _, name := range []string{"upper", "lower", "capitalize", "replace"} {
		filters[name] = func(s *state, v any, a arguments) any { return methods["str"][name](s, s.str(v), a) }
	}
}

func lengthOf(s *state, v any, _ arguments) any { return s.length(v) }

func defaultFor(_ *state, v any, a arguments) any {
	b := a.bind("default_value", "boolean")
	if isUndefined(v) || truth(b["boolean"]) && !truth(v) {
		if b["default_value"] == nil {
			if _, given := b["default_value"]; !given {
				return ""
			}
		}
		return b["default_value"]
	}
	return v
}

// at is an element, undefined beyond the ends.
func at(items []any, i int) any {
	if i < 0 || i >= len(items) {
		return undefined{"an element of what is empty"}
	}
	return items[i]
}

// listOf makes a list of items that are its own.
func listOf(s *state, items []any) any {
	s.items(len(items))
	return &sequence{items: items}
}

func toInt(_ *state, v any, a arguments) any {
	f, ok := number(v)
	if text, isText := v.(string); isText {
		var err error
		f, err = strconv.ParseFloat(strings.TrimFunc(text, isSpace), 64)
		ok = err == nil
	}
	if f = math.Trunc(f); ok && !math.IsNaN(f) && !math.IsInf(f, 0) {
		return whole(f)
	}
	return orElse(a, 0)
}

func toFloat(_ *state, v any, a arguments) any {
	if f, ok := number(v); ok {
		return f
	}
	if text, ok := v.(string); ok {
		if f, err := strconv.ParseFloat(strings.TrimFunc(text, isSpace), 64); err == nil {
			return f
		}
	}
	return orElse(a, 0.0)
}

// orElse is the argument "default".
func orElse(a arguments, fallback any) any {
	if v, given := a.bind("default")["default"]; given {
		return v
	}
	return fallback
}

func absolute(_ *state, v any, _ arguments) any {
	if f, ok := number(defined(v)); ok && f < 0 {
		return negative(v)
	} else if !ok {
		fail("abs: a %s is not a number", typeName(v))
	}
	return v
}

func join(s *state, v any, a arguments) any {
	b := a.bind("d", "attribute")
	between := ""
	if d, given := b["d"]; given {
		between = s.str(d)
	}
	var text strings.Builder
	for i, item := range s.iterate(v) {
		if name, given := b["attribute"]; given {
			item = s.path(item, name)
		}
		part := s.str(item)
		s.spend(itemWork)
		s.grow(text.Len(), len(between)+len(part))
		if i > 0 {
			text.WriteString(between)
		}
		text.WriteString(part)
	}
	return text.String()
}

// path is an element of an element, as filters name it: "function.name", or a number.
func (s *state) path(v, path any) any {
	text, ok := path.(string)
	if !ok {
		found, ok := s.item(v, path)
		if !ok {
			return undefined{"an element of a " + typeName(v)}
		}
		return found
	}
	s.spend(nodeWork*(strings.Count(text, ".")+1) + len(text))
	for _, name := range strings.Split(text, ".") {
		var key any = name
		if i, err := strconv.Atoi(name); err == nil {
			key = i
		}
		found, ok := s.item(defined(v), key)
		if !ok {
			if found, ok = s.attribute(v, name); !ok {
				found = undefined{"." + brief(name) + " of a " + typeName(v)}
			}
		}
		v = found
	}
	return v
}

func reversed(s *state, v any, _ arguments) any {
	items := slices.Clone(s.iterate(defined(v)))
	slices.Reverse(items)
	if _, text := v.(string); text {
		var b strings.Builder
		for _, r := range items {
			b.WriteString(r.(string))
		}
		return b.String()
	}
	return listOf(s, items)
}

// ignoringCase is what sort and unique compare.
func (s *state) ignoringCase(b map[string]any, v any) any {
	if name, given := b["attribute"]; given && name != nil {
		v = s.path(v, name)
	}
	if text, ok := v.(string); ok && !truth(b["case_sensitive"]) {
		return methods["str"]["lower"](s, text, arguments{})
	}
	return v
}

func sorted(s *state, v any, a arguments) any {
	b := a.bind("reverse", "case_sensitive", "attribute")
	items := s.iterate(v)
	keys := make([]any, len(items))
	for i, item := range items {
		keys[i] = s.ignoringCase(b, item)
	}
	return listOf(s, s.inOrder(items, keys, truth(b["reverse"])))
}

// inOrder gives the items in the order of their keys; those with equal keys stay in theirs.
func (s *state) inOrder(items, keys []any, reverse bool) []any {
	places := make([]int, len(items))
	for i := range places {
		places[i] = i
	}
	slices.SortStableFunc(places, func(x, y int) int {
		s.spend(nodeWork)
		order := s.order(keys[x], keys[y])
		if reverse {
			return -order
		}
		return order
	})
	ordered := make([]any, len(items))
	for i, place := range places {
		ordered[i] = items[place]
	}
	return ordered
}

func unique(s *state, v any, a arguments) any {
	b := a.bind("case_sensitive", "attribute")
	seen := map[any]bool{}
	var items []any
	for _, item := range s.iterate(v) {
		key := hashable(s.ignoringCase(b, item))
		s.spend(3*itemWork + size(key))
		if !seen[key] {
			items = append(items, item)
		}
		seen[key] = true
	}
	return listOf(s, items)
}

// pairs are the keys of a dict with their values.
func pairs(s *state, v any) any {
	if isUndefined(v) {
		return &sequence{}
	}
	d, ok := v.(*dict)
	if !ok {
		fail("items: a %s is not a dict", typeName(v))
	}
	s.items(3 * len(d.keys))
	items := make([]any, len(d.keys))
	for i, k := range d.keys {
		items[i] = &sequence{items: []any{k, d.values[i]}, tuple: true}
	}
	return &sequence{items: items}
}

func dictSorted(s *state, v any) any {
	list := pairs(s, defined(v)).(*sequence)
	keys := make([]any, len(list.items))
	for i, pair := range list.items {
		keys[i] = s.ignoringCase(nil, pair.(*sequence).items[0])
	}
	return listOf(s, s.inOrder(list.items, keys, false))
}

// mapped is map('filter', …) and map(attribute='…').
func mapped(s *state, v any, a arguments) any {
	var f func(item any) any
	if name, given := a.named["attribute"]; given && len(a.positional) == 0 {
		rest, hasDefault := a.named["default"]
		f = func(item any) any {
			found := s.path(item, name)
			if hasDefault && isUndefined(found) {
				return rest
			}
			return found
		}
	} else {
		filter, rest := called(filters, a, 0)
		f = func(item any) any {
			s.handed(item, rest)
			return filter(s, item, rest)
		}
	}
	items := []any{}
	for _, item := range s.iterate(v) {
		s.spend(nodeWork)
		items = append(items, f(item))
	}
	return listOf(s, items)
}

// called finds the function that argument i names, and what it is called with.
func called[F any](functions map[string]F, a arguments, i int) (F, arguments) {
	if len(a.positional) <= i {
		fail("%s: want the name of a filter, a test or an element", a.of)
	}
	name, _ := a.positional[i].(string)
	f, ok := functions[name]
	if !ok {
		fail("%s: %q is not supported; supported are %s", a.of, brief(name), known(functions))
	}
	return f, arguments{of: name, positional: a.positional[i+1:], named: a.named, order: a.order}
}

// picking makes select and its like: with an attribute or the whole, for those that pass a test or those that do not.
func picking(attribute, passing bool) func(s *state, v any, a arguments) any {
	return func(s *state, v any, a arguments) any {
		first := 0
		if attribute {
			if first = 1; len(a.positional) == 0 {
				fail("%s: want the name of an element", a.of)
			}
		}
		test, rest := func(_ *state, v any, _ arguments) bool { return truth(v) }, arguments{}
		if len(a.positional) > first {
			test, rest = called(tests, a, first)
		}
		items := []any{}
		for _, item := range s.iterate(v) {
			s.spend(nodeWork)
			tested := item
			if attribute {
				tested = s.path(item, a.positional[0])
			}
			if test(s, tested, rest) == passing {
				items = append(items, item)
			}
		}
		return listOf(s, items)
	}
}

func indent(s *state, v any, a arguments) any {
	b := a.bind("width", "first", "blank")
	by := "    "
	switch width := b["width"].(type) {
	case string:
		by = width
	case int:
		s.text(max(width, 0))
		by = strings.Repeat(" ", max(width, 0))
	}
	text := s.str(v)
	lines := s.splitLines(text, false)
	if strings.HasSuffix(text, "\n") {
		lines = append(lines, "")
	}
	s.items(len(lines))
	total := cmp.Or(len(lines), 1)
	if total > maxText/max(len(by), 1) {
		s.text(maxText + 1)
	}
	s.text(total*len(by) + len(text))
	for i, line := range lines {
		if (i > 0 || truth(b["first"])) && (line != "" || truth(b["blank"])) {
			lines[i] = by + line
		}
	}
	return strings.Join(lines, "\n")
}
