package chat

import (
	"slices"
	"strconv"
)

// statement writes to the output or sets variables.
type statement func(s *state) jump

// jump says how a statement ended.
type jump int

const (
	onward    jump = iota
	nextLoop       // by {% continue %}
	leaveLoop      // by {% break %}
)

// run runs statements until one jumps.
func (s *state) run(body []statement) jump {
	for _, f := range body {
		if j := f(s); j != onward {
			return j
		}
	}
	return onward
}

// statements parses up to the end of the template, or in front of a tag with one of these names.
func (p *parser) statements(ends ...string) (body []statement) {
	p.inside(func() {
		for {
			t := p.current()
			switch {
			case t.kind == kindData:
				p.at++
				body = append(body, func(s *state) jump { s.write(t.text); return onward })
			case t.kind == kindOutput:
				p.at++
				e := p.tuple(p.expression)
				p.finish(kindOutputEnd, "}}")
				body = append(body, operation(t.line, func(s *state) jump { s.write(s.str(e(s))); return onward }))
			case t.kind == kindBlock && !(p.tokens[p.at+1].kind == kindName && slices.Contains(ends, p.tokens[p.at+1].text)):
				p.at++
				body = append(body, p.tag())
			default:
				return
			}
		}
	})
	return body
}

// finish takes the end of a tag.
func (p *parser) finish(k kind, spelled string) {
	if p.current().kind != k {
		p.unexpected(spelled)
	}
	p.at++
}

// block parses the inside of a tag up to one of these names, which it takes with its {%.
func (p *parser) block(open token, ends ...string) ([]statement, string) {
	p.finish(kindBlockEnd, "%}")
	body := p.statements(ends...)
	if p.current().kind != kindBlock {
		failAt(open.line, "{%% %s %%} has no {%% %s %%}", open.text, ends[len(ends)-1])
	}
	p.at++
	return body, p.next().text
}

// tag parses a statement behind {%.
func (p *parser) tag() statement {
	t := p.current()
	switch p.name("the name of a statement") {
	case "if":
		return p.ifTag(t)
	case "for":
		return p.forTag(t)
	case "set":
		return p.setTag(t)
	case "macro":
		return p.macroTag(t)
	case "generation": // marks what is learned, which is decided elsewhere
		body, _ := p.block(t, "endgeneration")
		p.finish(kindBlockEnd, "%}")
		return operation(t.line, func(s *state) jump { return s.run(body) })
	case "break", "continue":
		j := nextLoop
		if t.text == "break" {
			j = leaveLoop
		}
		if p.loops == 0 {
			failAt(t.line, "{%% %s %%} outside of a loop", t.text)
		}
		p.finish(kindBlockEnd, "%}")
		return func(*state) jump { return j }
	case "include", "import", "from", "extends", "block":
		failAt(t.line, "{%% %s %%} reaches for other templates, which there are not", t.text)
	}
	failAt(t.line, "the statement %q is not supported; supported are break, continue, for, generation, if, macro, raw, set", t.text)
	return nil
}

func (p *parser) ifTag(open token) statement {
	type branch struct {
		condition expression
		body      []statement
	}
	var branches []branch
	end := "elif"
	for end != "endif" {
		b := branch{condition: constant(true)}
		ends := []string{"endif"}
		if end == "elif" {
			b.condition, ends = p.tuple(p.expression), []string{"elif", "else", "endif"}
		}
		b.body, end = p.block(open, ends...)
		branches = append(branches, b)
	}
	p.finish(kindBlockEnd, "%}")
	return operation(open.line, func(s *state) jump {
		for _, b := range branches {
			s.spend(nodeWork)
			if truth(b.condition(s)) {
				return s.run(b.body)
			}
		}
		return onward
	})
}

func (p *parser) setTag(open token) statement {
	assign := p.target()
	if p.skip(kindOperator, "=") {
		value := p.tuple(p.expression)
		p.finish(kindBlockEnd, "%}")
		return operation(open.line, func(s *state) jump { assign(s, value(s)); return onward })
	}
	value := expression(func(s *state) any { return s.scope.names[captured] })
	for p.skip(kindOperator, "|") {
		value = p.filter(value)
	}
	loops := p.loops
	p.loops = 0 // a text is not left half-written
	body, _ := p.block(open, "endset")
	p.loops = loops
	p.finish(kindBlockEnd, "%}")
	return operation(open.line, func(s *state) jump {
		var text any
		s.in(s.scope, map[string]any{}, func() {
			text = s.captured(func() { s.run(body) })
			s.scope.names[captured] = text
			text = value(s)
		})
		assign(s, text)
		return onward
	})
}

// captured is the variable, with a name that templates cannot spell, of a text on its way through filters.
const captured = "{% set %}"

// target parses what a value is given to: a name, an element of a namespace, or several names.
func (p *parser) target() func(s *state, v any) {
	line := p.current().line
	var targets []func(s *state, v any)
	several := false
	for {
		if p.skip(kindOperator, "(") {
			var inner func(s *state, v any)
			p.inside(func() { inner = p.target() })
			p.want(")")
			targets = append(targets, inner)
		} else {
			targets = append(targets, p.oneTarget())
		}
		if !p.skip(kindOperator, ",") {
			break
		}
		several = true
		if p.is(kindOperator, "=", ")") || p.is(kindName, "in") {
			break
		}
	}
	if !several {
		return targets[0]
	}
	return func(s *state, v any) {
		s.line = line
		items := s.iterate(defined(v))
		if len(items) != len(targets) {
			fail("%d values for %d names", len(items), len(targets))
		}
		for i, assign := range targets {
			s.spend(itemWork)
			assign(s, items[i])
		}
	}
}

func (p *parser) oneTarget() func(s *state, v any) {
	t := p.current()
	switch name := p.name("the name of a variable"); {
	case slices.Contains([]string{"true", "false", "none", "True", "False", "None", "loop"}, name):
		failAt(t.line, "%s cannot be set", name)
		return nil
	case p.skip(kindOperator, "."):
		field := p.name("the name of an element")
		return func(s *state, v any) {
			outer, _ := s.lookup(name)
			ns, ok := outer.(*namespace)
			if !ok {
				fail("%s.%s cannot be set: %s is not a namespace", name, field, name)
			}
			s.put(ns.values, field, v)
		}
	default:
		return func(s *state, v any) { s.scope.names[name] = v }
	}
}

func (p *parser) macroTag(open token) statement {
	name := p.name("the name of the macro")
	var names []string
	var defaults []expression
	var missing []undefined
	p.want("(")
	for !p.skip(kindOperator, ")") {
		if len(names) > 0 {
			p.want(",")
		}
		names = append(names, p.name("the name of an argument"))
		missing = append(missing, undefined{"the argument " + strconv.Quote(names[len(names)-1])})
		var value expression
		if p.skip(kindOperator, "=") {
			value = p.expression()
		}
		defaults = append(defaults, value)
	}
	loops := p.loops
	p.loops = 0
	body, _ := p.block(open, "endmacro")
	p.loops = loops
	p.finish(kindBlockEnd, "%}")
	return operation(open.line, func(s *state) jump {
		around := s.scope
		s.scope.names[name] = &function{name, func(s *state, a arguments) (text any) {
			s.spend(len(names) * (nodeWork + len(a.named)))
			values := a.bind(names...)
			s.in(around, values, func() {
				for i, n := range names {
					if _, given := values[n]; !given && defaults[i] != nil {
						values[n] = defaults[i](s)
					} else if !given {
						values[n] = missing[i]
					}
				}
				text = s.captured(func() { s.run(body) })
			})
			return text
		}}
		return onward
	})
}
