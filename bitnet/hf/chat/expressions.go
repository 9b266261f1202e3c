package chat

import (
	"slices"
	"strconv"
	"strings"
)

// expression computes a value.
type expression func(s *state) any

// parser turns tokens into functions, with the grammar of Jinja.
type parser struct {
	tokens []token
	at     int
	nested int
	loops  int // for around here, for break and continue
}

func (p *parser) current() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != kindEnd {
		p.at++
	}
	return t
}

// is reports whether the next token is this operator or name.
func (p *parser) is(k kind, texts ...string) bool {
	t := p.current()
	return t.kind == k && slices.Contains(texts, t.text)
}

// skip takes the next token if it is this one.
func (p *parser) skip(k kind, text string) bool {
	if !p.is(k, text) {
		return false
	}
	p.at++
	return true
}

func (p *parser) want(text string) {
	if !p.skip(kindOperator, text) {
		p.unexpected(text)
	}
}

// name takes a name.
func (p *parser) name(what string) string {
	if p.current().kind != kindName {
		p.unexpected(what)
	}
	return p.next().text
}

// unexpected ends parsing at the next token.
func (p *parser) unexpected(want ...string) {
	t := p.current()
	names := map[kind]string{kindData: "text", kindBlock: "{%", kindBlockEnd: "%}", kindOutput: "{{", kindOutputEnd: "}}", kindEnd: "the end of the template"}
	what, ok := names[t.kind]
	if !ok {
		what = strconv.Quote(t.text)
	}
	if len(want) > 0 {
		failAt(t.line, "%s, want %s", what, strings.Join(want, " or "))
	}
	failAt(t.line, "unexpected %s", what)
}

// inside bounds how deep f may parse.
func (p *parser) inside(f func()) {
	if p.nested++; p.nested > maxNested {
		exceedAt(p.current().line, "tags and brackets stand more than %d deep inside each other", maxNested)
	}
	f()
	p.nested--
}

// operation makes an expression or a statement run as one operation of a line.
func operation[T any](line int, f func(*state) T) func(*state) T {
	return func(s *state) (result T) {
		outer := s.line
		s.line = line
		s.deeper(func() { result = f(s) })
		s.line = outer
		return result
	}
}

// expression parses a value with or without conditions: a if b else c.
func (p *parser) expression() (e expression) {
	p.inside(func() { e = p.conditional() })
	return e
}

func (p *parser) conditional() expression {
	e := p.or()
	for p.is(kindName, "if") {
		line := p.next().line
		yes, condition, no := e, p.or(), expression(nil)
		if p.skip(kindName, "else") {
			no = p.expression()
		}
		e = operation(line, func(s *state) any {
			switch {
			case truth(condition(s)):
				return yes(s)
			case no != nil:
				return no(s)
			}
			return undefined{"the value of an if without else"}
		})
	}
	return e
}

func (p *parser) or() expression {
	e := p.and()
	for p.is(kindName, "or") {
		line := p.next().line
		a, b := e, p.and()
		e = operation(line, func(s *state) any {
			if v := a(s); truth(v) {
				return v
			}
			return b(s)
		})
	}
	return e
}

func (p *parser) and() expression {
	e := p.not()
	for p.is(kindName, "and") {
		line := p.next().line
		a, b := e, p.not()
		e = operation(line, func(s *state) any {
			if v := a(s); !truth(v) {
				return v
			}
			return b(s)
		})
	}
	return e
}

func (p *parser) not() expression {
	if !p.is(kindName, "not") {
		return p.comparison()
	}
	line := p.next().line
	var e expression
	p.inside(func() { e = p.not() })
	return operation(line, func(s *state) any { return !truth(e(s)) })
}

// comparison parses chains: a < b < c is a < b and b < c.
func (p *parser) comparison() expression {
	type link struct {
		op    string
		right expression
	}
	line := p.current().line
	first := p.sum()
	var links []link
	for {
		switch {
		case p.is(kindOperator, "==", "!=", "<", "<=", ">", ">="), p.is(kindName, "in"):
			links = append(links, link{p.next().text, p.sum()})
			continue
		case p.is(kindName, "not") && p.tokens[p.at+1].kind == kindName && p.tokens[p.at+1].text == "in":
			p.at += 2
			links = append(links, link{"not in", p.sum()})
			continue
		}
		break
	}
	if links == nil {
		return first
	}
	return operation(line, func(s *state) any {
		left := first(s)
		for _, l := range links {
			s.spend(nodeWork)
			right := l.right(s)
			if !s.compare(l.op, left, right) {
				return false
			}
			left = right
		}
		return true
	})
}

// binary parses operators of one precedence, from the left.
func (p *parser) binary(operand func() expression, operators ...string) expression {
	e := operand()
	for p.is(kindOperator, operators...) {
		t := p.next()
		a, b := e, operand()
		e = operation(t.line, func(s *state) any {
			x, y := a(s), b(s)
			if t.text == "~" {
				left, right := s.str(x), s.str(y)
				s.text(len(left) + len(right))
				return left + right
			}
			return s.binary(t.text, x, y)
		})
	}
	return e
}

func (p *parser) sum() expression     { return p.binary(p.joined, "+", "-") }
func (p *parser) joined() expression  { return p.binary(p.product, "~") }
func (p *parser) product() expression { return p.binary(p.power, "*", "/", "//", "%") }
func (p *parser) power() expression {
	return p.binary(func() expression { return p.unary(true) }, "**")
}

// unary parses a sign, then a value with what follows it; filters belong to the whole.
func (p *parser) unary(filters bool) (e expression) {
	if t := p.current(); p.is(kindOperator, "-", "+") {
		p.at++
		p.inside(func() { e = p.unary(false) })
		operand := e
		e = operation(t.line, func(s *state) any {
			if v := negative(operand(s)); t.text == "-" {
				return v
			} else {
				return negative(v)
			}
		})
	} else {
		e = p.postfix(p.primary())
	}
	if filters {
		e = p.filters(e)
	}
	return e
}

// primary parses a literal, a variable, or what stands in brackets.
func (p *parser) primary() expression {
	t := p.next()
	switch t.kind {
	case kindName:
		return p.variable(t)
	case kindString:
		var text strings.Builder
		for text.WriteString(t.text); p.current().kind == kindString; {
			text.WriteString(p.next().text)
		}
		return constant(text.String())
	case kindInteger:
		return constant(integerLiteral(t))
	case kindFloat:
		f, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			failAt(t.line, "%s is not a number", t.text)
		}
		return constant(f)
	case kindOperator:
		var e expression
		switch t.text {
		case "(":
			p.inside(func() { e = p.parenthesis() })
			return e
		case "[":
			p.inside(func() { e = p.list(t.line) })
			return e
		case "{":
			p.inside(func() { e = p.dict(t.line) })
			return e
		}
	}
	if t.kind != kindEnd {
		p.at--
	}
	p.unexpected("a value")
	return nil
}

// integerLiteral is the number of a token; a leading zero means nothing.
func integerLiteral(t token) int {
	base := 0
	if len(t.text) > 1 && t.text[0] == '0' && t.text[1] >= '0' && t.text[1] <= '9' {
		base = 10
	}
	i, err := strconv.ParseInt(t.text, base, 64)
	if err != nil || i > maxInteger {
		failAt(t.line, "%s is larger than %d", brief(t.text), maxInteger)
	}
	return int(i)
}

func constant(v any) expression { return func(*state) any { return v } }

func (p *parser) variable(t token) expression {
	switch t.text {
	case "true", "True":
		return constant(true)
	case "false", "False":
		return constant(false)
	case "none", "None":
		return constant(nil)
	}
	missing := undefined{strconv.Quote(t.text)}
	return operation(t.line, func(s *state) any {
		if v, ok := s.lookup(t.text); ok {
			return v
		}
		return missing
	})
}

// parenthesis parses a value, or a tuple.
func (p *parser) parenthesis() expression {
	if p.skip(kindOperator, ")") {
		return constant(&sequence{tuple: true})
	}
	e := p.tuple(p.expression)
	p.want(")")
	return e
}

// tuple parses values with commas between them; one without is itself.
func (p *parser) tuple(value func() expression) expression {
	line := p.current().line
	items := []expression{value()}
	comma := false
	for p.skip(kindOperator, ",") {
		comma = true
		if t := p.current(); t.kind == kindBlockEnd || t.kind == kindOutputEnd || p.is(kindOperator, ")", "=") || p.is(kindName, "in") {
			break
		}
		items = append(items, value())
	}
	if !comma {
		return items[0]
	}
	return sequenceOf(line, items, true)
}

func sequenceOf(line int, items []expression, tuple bool) expression {
	return operation(line, func(s *state) any {
		s.items(len(items))
		values := make([]any, len(items))
		for i, e := range items {
			values[i] = e(s)
		}
		return &sequence{values, tuple}
	})
}

// list parses what stands behind [.
func (p *parser) list(line int) expression {
	var items []expression
	for !p.skip(kindOperator, "]") {
		if len(items) > 0 {
			p.want(",")
			if p.skip(kindOperator, "]") {
				break
			}
		}
		items = append(items, p.expression())
	}
	return sequenceOf(line, items, false)
}

// dict parses what stands behind {.
func (p *parser) dict(line int) expression {
	var keys, values []expression
	for !p.skip(kindOperator, "}") {
		if len(keys) > 0 {
			p.want(",")
			if p.skip(kindOperator, "}") {
				break
			}
		}
		keys = append(keys, p.expression())
		p.want(":")
		values = append(values, p.expression())
	}
	return operation(line, func(s *state) any {
		d := newDict()
		for i := range keys {
			k := hashable(keys[i](s))
			s.put(d, k, values[i](s))
		}
		return d
	})
}
