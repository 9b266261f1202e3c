package chat

import (
	"context"
	"fmt"
	"strings"
)

// Limits of templates. Those of four families have 400 to 5,000 bytes and do some hundred operations a message.
const (
	maxSource = 256 << 10 // bytes of a template
	maxNested = 200       // tags and brackets inside each other
	maxDepth  = 1000      // operations inside each other, calls of macros included
	maxName   = 255       // bytes of a name in a template
	maxText   = 16 << 20  // bytes of one string, and of the output
	maxWork   = 128 << 20 // bytes that are made or looked at, where more than that is done with a byte
	byteWork  = 16        // it counts as so many,
	nodeWork  = 64        // an operation as so many,
	itemWork  = 32        // and an element of a list
	maxItems  = 1 << 20   // elements of one list
	lookWork  = 1 << 20   // work between two looks at the context
)

// limitError says which limit a template met.
type limitError string

func (e limitError) Error() string { return string(e) }

// failure is an error on its way out of the parser or of a running template; see recovered.
type failure struct {
	line int // 0: where the template is at
	err  error
}

// failAt ends parsing.
func failAt(line int, format string, args ...any) {
	panic(failure{line, fmt.Errorf(format, args...)})
}

// fail ends a rendering at the operation that runs.
func fail(format string, args ...any) { failAt(0, format, args...) }

// exceedAt ends parsing at a limit, and exceed a rendering.
func exceedAt(line int, format string, args ...any) {
	panic(failure{line, limitError(fmt.Sprintf(format, args...))})
}

func exceed(format string, args ...any) { exceedAt(0, format, args...) }

// state is one rendering.
type state struct {
	ctx   context.Context
	line  int // of the operation that runs
	depth int
	work  int // that may still be done
	look  int // at the context, when so much of it is left
	out   *strings.Builder
	scope *scope
}

// scope holds variables: those of the template, of an iteration or of a call.
type scope struct {
	names  map[string]any
	parent *scope
}

func (s *state) lookup(name string) (any, bool) {
	for scope := s.scope; scope != nil; scope = scope.parent {
		s.spend(byteWork)
		if v, ok := scope.names[name]; ok {
			return v, true
		}
	}
	return nil, false
}

// in runs f with variables of its own in front of those of parent.
func (s *state) in(parent *scope, names map[string]any, f func()) {
	outer := s.scope
	s.scope = &scope{names, parent}
	f()
	s.scope = outer
}

// spend counts work, and ends the rendering where there was too much of it or the context is done.
func (s *state) spend(n int) {
	if s.work -= n; n < 0 || s.work < 0 {
		exceed("the template does more than a template may (%d MiB of text and operations); does a loop run too often?", maxWork>>20)
	}
	if s.work < s.look {
		s.look = s.work - lookWork
		if err := s.ctx.Err(); err != nil {
			panic(failure{err: err})
		}
	}
}

// handed counts what a filter or a method may look at: the bytes of its value and of its arguments. What does more with a byte, or
// makes something, counts that itself, and so do tests, most of which look at no byte.
func (s *state) handed(v any, a arguments) {
	s.spend(size(v))
	for _, v := range a.positional {
		s.spend(size(v))
	}
	for _, name := range a.order {
		s.spend(size(a.named[name]))
	}
}

// deeper counts f as one operation inside of another.
func (s *state) deeper(f func()) {
	s.spend(nodeWork)
	if s.depth++; s.depth > maxDepth {
		exceed("operations stand more than %d deep inside each other; does a macro call itself?", maxDepth)
	}
	f()
	s.depth--
}

// text counts and bounds a string of this many bytes before it is made.
func (s *state) text(n int) { s.grow(0, n) }

// grow counts and bounds what a string of n bytes is given more of.
func (s *state) grow(n, more int) {
	if more > maxText-n {
		exceed("a text gets longer than %d MiB", maxText>>20)
	}
	s.spend(more)
}

// items counts and bounds a list of this many elements before it is made.
func (s *state) items(n int) {
	if n > maxItems {
		exceed("a list gets more than %d elements", maxItems)
	}
	s.spend(n * itemWork)
}

// write appends to the output.
func (s *state) write(text string) {
	s.spend(itemWork + len(text))
	if s.out.Len()+len(text) > maxText {
		exceed("the output gets longer than %d MiB", maxText>>20)
	}
	s.out.WriteString(text)
}

// captured is what f writes.
func (s *state) captured(f func()) string {
	outer := s.out
	s.out = &strings.Builder{}
	f()
	text := s.out.String()
	s.out = outer
	return text
}
