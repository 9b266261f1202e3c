package data

import (
	"fmt"
	"slices"
	"strings"
)

// template is a parsed prompt: literal[0] column[0] literal[1] column[1] ... literal[n].
type template struct {
	literals []string // one more than slots
	slots    []int    // indices into columns
	columns  []string // distinct, in order of first use
}

// parseTemplate reads a prompt such as "{sentence} It was". "{{" and "}}" stand for braces.
func parseTemplate(prompt string) (template, error) {
	var t template
	var literal strings.Builder
	for i := 0; i < len(prompt); i++ {
		c := prompt[i]
		switch {
		case (c == '{' || c == '}') && i+1 < len(prompt) && prompt[i+1] == c:
			literal.WriteByte(c)
			i++
		case c == '}':
			return template{}, fmt.Errorf("%q: a } without {; write }} for a brace", prompt)
		case c == '{':
			end := strings.IndexAny(prompt[i+1:], "{}")
			if end < 1 || prompt[i+1+end] != '}' {
				return template{}, fmt.Errorf("%q: %q does not begin a {column}; write {{ for a brace", prompt, prompt[i:])
			}
			t.literals = append(t.literals, literal.String())
			literal.Reset()
			t.slots = append(t.slots, t.column(prompt[i+1:i+1+end]))
			i += end + 1
		default:
			literal.WriteByte(c)
		}
	}
	if len(t.slots) == 0 {
		return template{}, fmt.Errorf("%q: names no {column}", prompt)
	}
	t.literals = append(t.literals, literal.String())
	return t, nil
}

// column returns the index of a column, adding it when new.
func (t *template) column(name string) int {
	if i := slices.Index(t.columns, name); i >= 0 {
		return i
	}
	t.columns = append(t.columns, name)
	return len(t.columns) - 1
}

// render fills in one value per column.
func (t template) render(values []string) string {
	var b strings.Builder
	for i, slot := range t.slots {
		b.WriteString(t.literals[i])
		b.WriteString(values[slot])
	}
	b.WriteString(t.literals[len(t.slots)])
	return b.String()
}
