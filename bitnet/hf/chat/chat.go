package chat

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"strings"
)

// Message is one turn of a conversation.
type Message struct {
	Role    string // system, user, assistant, or what else the template knows
	Content string
}

// Template is a parsed chat template. It does not change: several goroutines may render it at once.
type Template struct {
	name   string
	body   []statement
	tokens map[string]string
	work   int // that a rendering may do: maxWork, less in tests
}

// Error says what is wrong with a template, or what it refused.
type Error struct {
	Name string // of the template, as New got it
	Line int    // in the template, from 1
	Err  error
}

// Error names the template and the line.
func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %v", e.Name, e.Line, e.Err) }

// Unwrap returns what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// New parses a template. The name stands in errors: the file that it comes from. The tokens are the spellings of special tokens by
// the names that templates use, such as bos_token; one that is absent is undefined.
//
// Errors are [*Error]: syntax, and every statement, filter, test or method that is not supported.
func New(name, source string, tokens map[string]string) (t *Template, err error) {
	if len(source) > maxSource {
		return nil, &Error{name, 1, limitError(fmt.Sprintf("the template has %d bytes, at most %d are read", len(source), maxSource))}
	}
	line := 1
	defer recovered(name, &line, &err)
	p := &parser{tokens: lex(valid(source))}
	body := p.statements()
	if p.current().kind != kindEnd {
		p.unexpected()
	}
	return &Template{name, body, maps.Clone(tokens), maxWork}, nil
}

// Render gives the text of a conversation; with addGenerationPrompt also what stands in front of the next answer. It equals
// apply_chat_template of transformers without tools and documents, except that strftime_now tells the same day always (26 July
// 2024, the one that Llama's templates have of their own): what is learned today has to be the same tomorrow.
//
// Errors are [*Error]: what the template raises (raise_exception), operations that Python refuses, that ctx is done (which the error
// wraps), and templates that do too much: they end after about a second of one core and before a few hundred MiB.
func (t *Template) Render(ctx context.Context, messages []Message, addGenerationPrompt bool) (text string, err error) {
	s := &state{ctx: ctx, line: 1, work: t.work, look: t.work, out: &strings.Builder{}}
	defer recovered(t.name, &s.line, &err)
	list := make([]any, len(messages))
	for i, m := range messages {
		d := newDict()
		s.put(d, "role", valid(m.Role))
		s.put(d, "content", valid(m.Content))
		list[i] = d
	}
	names := map[string]any{"messages": &sequence{items: list}, "add_generation_prompt": addGenerationPrompt, "tools": nil, "documents": nil}
	for name, token := range t.tokens {
		names[name] = valid(token)
	}
	s.in(&scope{names: globals}, names, func() { s.run(t.body) })
	return s.out.String(), nil
}

// valid has U+FFFD for bytes that are not UTF-8, as Python's strings have no such bytes.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// recovered turns a failure, which ends parsing or rendering wherever it is, into the error of its function. Other panics of this
// package become errors too, since a template is somebody else's program.
func recovered(name string, line *int, err *error) {
	switch r := recover().(type) {
	case nil:
	case failure:
		if r.line == 0 {
			r.line = *line
		}
		*err = &Error{name, r.line, r.err}
	case runtime.Error:
		*err = &Error{name, *line, fmt.Errorf("the template could not be rendered: %w", r)}
	default:
		panic(r)
	}
}
