package chat

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/bitdistill/bitdistill/internal/golden"
)

// family is what scripts/peers/chat_reference.py wrote about one family.
type family struct {
	Tokens map[string]string
	Cases  []struct {
		Title       string
		Messages    []Message
		Prompt      bool
		Text, Error string
	}
}

func readJSON(t testing.TB, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// source finds the template of a family: beside the test, or where the terms of a model forbid that in the shared folder.
func source(t testing.TB, name string) string {
	t.Helper()
	if data, err := os.ReadFile(filepath.Join("testdata", name+".jinja")); err == nil {
		return string(data)
	}
	path := filepath.Join(golden.Shared(t), "data", "tokenizers", name, "tokenizer_config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		f, err := os.Open(path + ".gz")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		if data, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	var config struct {
		Template string `json:"chat_template"`
	}
	if err := json.Unmarshal(data, &config); err != nil || config.Template == "" {
		t.Fatalf("%s: no template: %v", path, err)
	}
	return config.Template
}

// TestFamilies compares with apply_chat_template of transformers, errors included.
func TestFamilies(t *testing.T) {
	var families map[string]family
	readJSON(t, filepath.Join("testdata", "families.json"), &families)
	if len(families) != 4 {
		t.Fatalf("%d families, want 4", len(families))
	}
	for name, f := range families {
		t.Run(name, func(t *testing.T) {
			template, err := New(name, source(t, name), f.Tokens)
			if err != nil {
				t.Fatal(err)
			}
			refused := 0
			for _, c := range f.Cases {
				got, err := template.Render(t.Context(), c.Messages, c.Prompt)
				switch {
				case c.Error != "":
					refused++
					if err == nil || !strings.Contains(err.Error(), c.Error) || !strings.HasPrefix(err.Error(), name+":") {
						t.Errorf("%s: error %v, want %s", c.Title, err, c.Error)
					}
				case err != nil:
					t.Errorf("%s: %v", c.Title, err)
				case got != c.Text:
					t.Errorf("%s, prompt %t:\n got %q\nwant %q", c.Title, c.Prompt, got, c.Text)
				}
			}
			if len(f.Cases) < 30 || (name == "gemma3") != (refused > 0) {
				t.Errorf("%d cases, %d refused", len(f.Cases), refused)
			}
		})
	}
}

// TestSnippets compares the language with Jinja's, in the environment of transformers.
func TestSnippets(t *testing.T) {
	var snippets []struct{ Template, Text, Error string }
	readJSON(t, filepath.Join("testdata", "snippets.json"), &snippets)
	messages := []Message{{"user", " hi "}, {"assistant", "yo"}}
	texts := 0
	for _, c := range snippets {
		template, err := New("t", c.Template, map[string]string{"bos_token": "<s>"})
		var got string
		if err == nil {
			got, err = template.Render(t.Context(), messages, true)
		}
		switch {
		case c.Error == "" && err != nil:
			t.Errorf("%q: %v", c.Template, err)
		case c.Error == "" && got != c.Text:
			t.Errorf("%q:\n got %q\nwant %q", c.Template, got, c.Text)
		case c.Error != "" && err == nil:
			t.Errorf("%q: %q, want the error %s", c.Template, got, c.Error)
		case c.Error == "":
			texts++
		}
	}
	if texts < 100 {
		t.Errorf("only %d snippets have a text", texts)
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct{ source, line, word string }{
		{"a\n{{ b.c }}", "2", `"b" is undefined`},
		{"a\n\n{% if true %}\n{{ 1 +\n 'a' }}{% endif %}", "4", "+ cannot be computed"},
		{"{% for m in messages %}\n{% if true %}\n{{ m | nope }}", "3", `filter "nope"`},
		{"{{ 'a' is nope }}", "1", `test "nope"`},
		{"\n{% nope %}", "2", `statement "nope"`},
		{"{% for a in messages %}\n{{ a.role }}\n", "1", "endfor"},
		{"{#\n#}{% include 'x' %}", "2", "other templates"},
		{"{% import 'x' as y %}", "1", "other templates"},
		{"{% from 'x' import y %}", "1", "other templates"},
		{"{% extends 'x' %}", "1", "other templates"},
		{"{% block a %}{% endblock %}", "1", "other templates"},
		{"{% raw %}", "1", "endraw"},
		{"{% break %}", "1", "outside of a loop"},
		{"{% for m in messages %}{% set x %}{% break %}{% endset %}{% endfor %}", "1", "outside of a loop"},
		{"{% set true = 1 %}", "1", "cannot be set"},
		{"{{ ''.__class__ () }}", "1", "undefined"},
		{"{{ messages.append(1) }}", "1", "undefined"},
		{"{{ '%s' % 1 }}", "1", "cannot be computed"},
		{"\n\n{% macro f(a) %}\n{{ a.b }}{% endmacro %}\n{{ f() }}", "4", "argument"},
		{"{{ 99999999999999999999 }}", "1", "larger"},
		{"{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}", "1", "namespace cannot be written"},
		{"{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns.x }}", "1", "namespace cannot be written"},
		{"{% set ns = namespace() %}{% set ns.x = [ns] %}\n{{ ns.x|tojson }}", "2", "namespace cannot be written"},
		{"{{ raise_exception('no\\nway') }}", "1", "no\nway"},
	} {
		template, err := New("folder/tokenizer_config.json: chat_template", c.source, nil)
		if err == nil {
			_, err = template.Render(t.Context(), []Message{{"user", "x"}}, false)
		}
		var e *Error
		if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), "folder/tokenizer_config.json: chat_template:"+c.line+": ") || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%q: %v, want line %s and %s", c.source, err, c.line, c.word)
		}
	}
}

// TestRenderSideBySide has goroutines render one template at once, with all that renderings share: the methods, filters and tests,
// constants of the template, and the names that every rendering begins with.
func TestRenderSideBySide(t *testing.T) {
	template, err := New("t", "{% macro f(x, y=[1, 2]) %}{{ x|upper ~ y|join }}{% endmacro %}{% set ns = namespace(n=0, t=()) %}"+
		"{% for m in messages %}{% set ns.n = ns.n + m.content|length %}{% set ns.t = ns.t + (m.role,) %}{{ f(m.role) }}{% endfor %}"+
		"{{ ns.n }}{{ ns.t|list }}{{ {'b': 1, 'a': 2}|dictsort|tojson }}{{ bos_token.title() }}{{ strftime_now('%d %B') }}{{ range(3)|map('string')|sort|last }}",
		map[string]string{"bos_token": "<s>"})
	if err != nil {
		t.Fatal(err)
	}
	const goroutines, times = 8, 20
	var group sync.WaitGroup
	for i := range goroutines {
		group.Go(func() {
			want := fmt.Sprintf(`USER12BOT12%d['user', 'bot'][["a", 2], ["b", 1]]<S>26 July2`, i+2)
			for range times {
				got, err := template.Render(t.Context(), []Message{{"user", strings.Repeat("x", i)}, {"bot", "ab"}}, false)
				if err != nil || got != want {
					t.Errorf("%q, %v, want %q", got, err, want)
				}
			}
		})
	}
	group.Wait()
}
