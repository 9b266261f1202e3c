package chat

import "strconv"

// postfix parses what follows a value: .name, [key], [a:b:c] and (arguments).
func (p *parser) postfix(e expression) expression {
	for {
		t := p.current()
		switch {
		case p.skip(kindOperator, "."):
			e = p.member(t.line, e)
		case p.skip(kindOperator, "["):
			e = p.subscript(t.line, e)
		case p.is(kindOperator, "("):
			e = p.call(e)
		default:
			return e
		}
	}
}

// call parses the arguments of a call.
func (p *parser) call(callee expression) expression {
	line, list := p.current().line, p.arguments()
	return operation(line, func(s *state) any {
		switch f := defined(callee(s)).(type) {
		case *function:
			return f.call(s, list.values(s, f.name))
		default:
			fail("a %s cannot be called", typeName(f))
			return nil
		}
	})
}

// member parses what stands behind a dot: the name of an attribute, else of an element, or the number of one.
func (p *parser) member(line int, e expression) expression {
	if t := p.current(); t.kind == kindInteger {
		p.at++
		return element(line, e, constant(integerLiteral(t)))
	}
	name := p.name("a name behind the dot")
	return operation(line, func(s *state) any {
		v := defined(e(s))
		if found, ok := s.attribute(v, name); ok {
			return found
		}
		if found, ok := s.item(v, name); ok {
			return found
		}
		return undefined{"." + name + " of a " + typeName(v)}
	})
}

// subscript parses what stands behind [.
func (p *parser) subscript(line int, e expression) (result expression) {
	p.inside(func() {
		var bounds [3]expression
		n := 0
		for n < 3 && !p.is(kindOperator, "]") {
			if !p.is(kindOperator, ":") {
				bounds[n] = p.expression()
			}
			if !p.skip(kindOperator, ":") {
				break
			}
			n++
		}
		p.want("]")
		if n == 0 {
			if bounds[0] == nil {
				p.unexpected("a key in the brackets")
			}
			result = element(line, e, bounds[0])
			return
		}
		result = operation(line, func(s *state) any {
			v := e(s)
			var values [3]any
			for i, b := range bounds {
				if b != nil {
					values[i] = b(s)
				}
			}
			return s.slice(v, values[0], values[1], values[2])
		})
	})
	return result
}

// element is v[key]: an element, else an attribute of that name.
func element(line int, e, key expression) expression {
	return operation(line, func(s *state) any {
		v, k := defined(e(s)), defined(key(s))
		if found, ok := s.item(v, k); ok {
			return found
		}
		name, ok := k.(string)
		if ok {
			if found, ok := s.attribute(v, name); ok {
				return found
			}
			return undefined{"[" + strconv.Quote(brief(name)) + "] of a " + typeName(v)}
		}
		return undefined{"an element of a " + typeName(v)}
	})
}

// argumentList are the arguments of a call in the source.
type argumentList struct {
	positional []expression
	names      []string
	named      []expression
}

// arguments parses (a, b, c=d).
func (p *parser) arguments() (list argumentList) {
	p.want("(")
	p.inside(func() {
		for first := true; !p.skip(kindOperator, ")"); first = false {
			if !first {
				p.want(",")
				if p.skip(kindOperator, ")") {
					break
				}
			}
			if t := p.current(); t.kind == kindName && p.tokens[p.at+1].kind == kindOperator && p.tokens[p.at+1].text == "=" {
				p.at += 2
				list.names = append(list.names, t.text)
				list.named = append(list.named, p.expression())
				continue
			}
			if list.named != nil {
				p.unexpected("an argument with a name")
			}
			list.positional = append(list.positional, p.expression())
		}
	})
	return list
}

// values computes the arguments.
func (l argumentList) values(s *state, of string) arguments {
	a := arguments{of: of}
	s.spend(nodeWork * (len(l.positional) + len(l.named)))
	for _, e := range l.positional {
		a.positional = append(a.positional, e(s))
	}
	for i, e := range l.named {
		if a.named == nil {
			a.named = map[string]any{}
		}
		a.named[l.names[i]] = e(s)
		a.order = append(a.order, l.names[i])
	}
	return a
}

// filters parses | filter and "is" test behind a value.
func (p *parser) filters(e expression) expression {
	for {
		t := p.current()
		switch {
		case p.skip(kindOperator, "|"):
			e = p.filter(e)
		case p.skip(kindName, "is"):
			e = p.test(t.line, e)
		case p.is(kindOperator, "("):
			e = p.call(e)
		default:
			return e
		}
	}
}

// filter parses a filter's name and its arguments.
func (p *parser) filter(e expression) expression {
	t := p.current()
	name := p.name("the name of a filter")
	f, ok := filters[name]
	if !ok {
		failAt(t.line, "the filter %q is not supported; supported are %s", name, known(filters))
	}
	var list argumentList
	if p.is(kindOperator, "(") {
		list = p.arguments()
	}
	return operation(t.line, func(s *state) any {
		v, a := e(s), list.values(s, name)
		s.handed(v, a)
		return f(s, v, a)
	})
}

// test parses what stands behind "is".
func (p *parser) test(line int, e expression) expression {
	inverted := p.skip(kindName, "not")
	t := p.current()
	name := p.name("the name of a test")
	f, ok := tests[name]
	if !ok {
		failAt(t.line, "the test %q is not supported; supported are %s", name, known(tests))
	}
	var list argumentList
	switch next := p.current(); {
	case p.is(kindOperator, "("):
		list = p.arguments()
	case p.is(kindName, "else", "or", "and", "if", "is", "in", "not"):
	case p.is(kindOperator, "[", "{"), next.kind == kindName, next.kind == kindString, next.kind == kindInteger, next.kind == kindFloat:
		list.positional = []expression{p.postfix(p.primary())}
	}
	return operation(line, func(s *state) any {
		v := e(s)
		return f(s, v, list.values(s, name)) != inverted
	})
}
