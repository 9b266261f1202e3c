package chat

// loop is the variable "loop" of an iteration.
type loop struct {
	items []any
	index int // from 0
}

func (l *loop) attribute(name string) (any, bool) {
	n := len(l.items)
	switch name {
	case "index":
		return l.index + 1, true
	case "index0":
		return l.index, true
	case "revindex":
		return n - l.index, true
	case "revindex0":
		return n - l.index - 1, true
	case "first":
		return l.index == 0, true
	case "last":
		return l.index == n-1, true
	case "length":
		return n, true
	case "depth":
		return 1, true // they count recursive loops
	case "depth0":
		return 0, true
	case "previtem":
		return l.neighbour(-1, "the previous item"), true
	case "nextitem":
		return l.neighbour(1, "the next item"), true
	case "cycle":
		return &function{"cycle", func(_ *state, a arguments) any {
			if len(a.positional) == 0 {
				fail("cycle: no values")
			}
			return a.positional[l.index%len(a.positional)]
		}}, true
	}
	return nil, false
}

func (l *loop) neighbour(by int, what string) any {
	if i := l.index + by; i >= 0 && i < len(l.items) {
		return l.items[i]
	}
	return undefined{what + " of the loop"}
}

// forTag parses {% for targets in values if condition %} … {% else %} … {% endfor %}.
func (p *parser) forTag(open token) statement {
	assign := p.target()
	if !p.skip(kindName, "in") {
		p.unexpected("in")
	}
	values := p.tuple(p.or)
	var condition expression
	if p.skip(kindName, "if") {
		condition = p.expression()
	}
	if p.is(kindName, "recursive") {
		p.unexpected("%}; recursive loops are not supported")
	}
	p.loops++
	body, end := p.block(open, "else", "endfor")
	p.loops--
	var otherwise []statement
	if end == "else" {
		otherwise, _ = p.block(open, "endfor")
	}
	p.finish(kindBlockEnd, "%}")
	return operation(open.line, func(s *state) jump {
		items := s.iterate(values(s))
		if condition != nil {
			items = s.selected(items, assign, condition)
		}
		if len(items) == 0 {
			return s.run(otherwise)
		}
		s.iterations(&loop{items: items}, assign, body)
		return onward
	})
}

// selected gives the items for which a condition is true.
func (s *state) selected(items []any, assign func(*state, any), condition expression) (kept []any) {
	for _, item := range items {
		s.spend(4 * nodeWork)
		s.in(s.scope, map[string]any{}, func() {
			assign(s, item)
			if truth(condition(s)) {
				s.items(1)
				kept = append(kept, item)
			}
		})
	}
	return kept
}

// iterations runs the body of a loop for each of its items, with variables of its own each time.
func (s *state) iterations(l *loop, assign func(*state, any), body []statement) {
	line := s.line
	for i, item := range l.items {
		s.spend(4 * nodeWork)
		now := *l
		now.index = i
		left := false
		s.in(s.scope, map[string]any{"loop": &now}, func() {
			s.line = line
			assign(s, item)
			left = s.run(body) == leaveLoop
		})
		if left {
			return
		}
	}
}
