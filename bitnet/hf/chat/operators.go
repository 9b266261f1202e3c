package chat

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxInteger bounds integers, which have no bound in Python, to those that floats have too.
const maxInteger = 1 << 53

// whole refuses an integer that is too large.
func whole(f float64) any {
	if math.Abs(f) > maxInteger {
		exceed("a number gets larger than %d", maxInteger)
	}
	return int(f)
}

// binary computes a + b and its like.
func (s *state) binary(op string, a, b any) any {
	a, b = defined(a), defined(b)
	if op == "*" {
		if n, ok := integer(b); ok {
			if repeated, ok := s.repeat(a, n); ok {
				return repeated
			}
		}
		if n, ok := integer(a); ok {
			if repeated, ok := s.repeat(b, n); ok {
				return repeated
			}
		}
	}
	if op == "+" {
		if sum, ok := s.concat(a, b); ok {
			return sum
		}
	}
	x, numberA := number(a)
	y, numberB := number(b)
	if !numberA || !numberB {
		fail("%s cannot be computed for a %s and a %s", op, typeName(a), typeName(b))
	}
	_, integerA := integer(a)
	_, integerB := integer(b)
	return arithmetic(op, x, y, integerA && integerB)
}

// arithmetic computes with numbers, as Python does: // and % round down.
func arithmetic(op string, x, y float64, integers bool) any {
	var result float64
	switch op {
	case "+":
		result = x + y
	case "-":
		result = x - y
	case "*":
		result = x * y
	case "**":
		integers = integers && y >= 0
		result = math.Pow(x, y)
	default:
		if y == 0 {
			fail("division by zero")
		}
		switch result = x / y; op {
		case "/":
			integers = false
		case "//":
			result = math.Floor(result)
		case "%":
			if result = math.Mod(x, y); result != 0 && (result < 0) != (y < 0) {
				result += y
			}
		}
	}
	if integers {
		return whole(result)
	}
	return result
}

// concat is a + b for strings, lists and tuples.
func (s *state) concat(a, b any) (any, bool) {
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			s.text(len(x) + len(y))
			return x + y, true
		}
	case *sequence:
		if y, ok := b.(*sequence); ok && x.tuple == y.tuple {
			s.items(len(x.items) + len(y.items))
			return &sequence{slices.Concat(x.items, y.items), x.tuple}, true
		}
	}
	return nil, false
}

// repeat is a * n for strings, lists and tuples.
func (s *state) repeat(a any, n int) (any, bool) {
	n = max(n, 0)
	switch x := a.(type) {
	case string:
		if len(x) > 0 && n > maxText/len(x) {
			n = maxText + 1 // which text refuses
		}
		s.text(n * len(x))
		return strings.Repeat(x, n), true
	case *sequence:
		if len(x.items) > 0 && n > maxItems/len(x.items) {
			n = maxItems + 1
		}
		s.items(n * len(x.items))
		items := make([]any, 0, n*len(x.items))
		for range n {
			items = append(items, x.items...)
		}
		return &sequence{items, x.tuple}, true
	}
	return nil, false
}

// compare is a < b and its like.
func (s *state) compare(op string, a, b any) bool {
	switch op {
	case "==":
		return s.equal(a, b)
	case "!=":
		return !s.equal(a, b)
	case "in":
		return s.contains(b, a)
	case "not in":
		return !s.contains(b, a)
	}
	order := s.order(a, b)
	switch op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

// order is -1, 0 or 1 for what has an order: numbers, and strings.
func (s *state) order(a, b any) int {
	a, b = defined(a), defined(b)
	if x, ok := a.(string); ok {
		if y, ok := b.(string); ok {
			s.spend(min(len(x), len(y)))
			return strings.Compare(x, y)
		}
	}
	x, numberA := number(a)
	y, numberB := number(b)
	if !numberA || !numberB {
		fail("a %s and a %s have no order", typeName(a), typeName(b))
	}
	return cmp.Compare(x, y)
}

// slice is v[start:stop:step]; the bounds are nil or integers.
func (s *state) slice(v, start, stop, step any) any {
	by := 1
	if step != nil {
		by = wanted(step, "the step of a slice")
	}
	if by == 0 {
		fail("the step of a slice is 0")
	}
	_, isText := v.(string)
	list, isSequence := v.(*sequence)
	if !isText && !isSequence {
		fail("a %s cannot be cut into slices", typeName(defined(v)))
	}
	items := s.iterate(v)
	first, last := 0, len(items)
	if by < 0 {
		first, last = len(items)-1, -1
	}
	if start != nil {
		first = bound(wanted(start, "the start of a slice"), len(items), by)
	}
	if stop != nil {
		last = bound(wanted(stop, "the end of a slice"), len(items), by)
	}
	var cut []any
	for i := first; by > 0 && i < last || by < 0 && i > last; i += by {
		cut = append(cut, items[i])
	}
	s.items(len(cut))
	if !isText {
		return &sequence{cut, list.tuple}
	}
	var b strings.Builder
	for _, r := range cut {
		b.WriteString(r.(string))
	}
	return b.String()
}

// bound moves one end of a slice to where there are elements.
func bound(i, n, step int) int {
	if i < 0 {
		i += n
	}
	if step < 0 {
		return max(-1, min(i, n-1))
	}
	return max(0, min(i, n))
}

// wanted is an integer argument.
func wanted(v any, what string) int {
	i, ok := integer(defined(v))
	if !ok {
		fail("%s is a %s, want an int", what, typeName(v))
	}
	return i
}

// negative is -v.
func negative(v any) any {
	if i, ok := integer(defined(v)); ok {
		return -i
	}
	f, ok := v.(float64)
	if !ok {
		fail("- cannot be computed for a %s", typeName(v))
	}
	return -f
}

// runes is the number of characters of a text.
func runes(text string) int { return utf8.RuneCountInString(text) }
