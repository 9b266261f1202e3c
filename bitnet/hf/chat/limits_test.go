package chat

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// hostile are templates that would run for ages, fill the memory or overflow the stack.
var hostile = map[string]string{
	"loops":              strings.Repeat("{% for i in range(100000) %}", 12) + "x" + strings.Repeat("{% endfor %}", 12),
	"empty loops":        "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}",
	"range":              "{% for i in range(10**9) %}{% endfor %}",
	"range of all":       "{{ range(-9007199254740992, 9007199254740992, 1) }}",
	"output":             "{% set x = 'x' * 1000000 %}{% for i in range(1000) %}{{ x }}{% endfor %}",
	"strings":            "{{ 'x' * 10**9 }}",
	"negative strings":   "{{ 10**12 * 'x' }}",
	"lists":              "{{ ([0] * 10**9)|length }}",
	"doubled":            "{% set ns = namespace(x='x') %}{% for i in range(64) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
	"doubled ~":          "{% set ns = namespace(x='x') %}{% for i in range(64) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
	"doubled lists":      "{% set ns = namespace(x=[1]) %}{% for i in range(64) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
	"kept strings":       "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = ns.x + ['x' * 9999999] %}{% endfor %}",
	"nested lists":       "{% set ns = namespace(x=[1]) %}{% for i in range(64) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
	"nested lists equal": "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(64) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
	"nested lists json":  "{% set ns = namespace(x=[1]) %}{% for i in range(64) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x|tojson }}",
	"deep list":          "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
	"deep list json":     "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x|tojson }}",
	"deep list order":    "{% set ns = namespace(x=[], y=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% set ns.y = [ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
	"itself":             "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
	"itself in a list":   "{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns.x }}{{ ns.x|tojson }}",
	"macro":              "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
	"macros":             "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
	"two macros":         "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}",
	"default of a macro": "{% macro f(x=f()) %}{% endmacro %}{{ f() }}",
	"indent":             "{{ ('\n' * 1000000)|indent(1000000, true, true) }}",
	"wide indent":        "{{ 'a'|indent(10**15, true) }}",
	"json indent":        "{{ [[[1]]]|tojson(indent=10**15) }}",
	"replace":            "{{ ('x' * 1000000).replace('x', 'y' * 1000000) }}",
	"replace of nothing": "{{ ('x' * 1000000).replace('', 'y' * 1000000) }}",
	"join":               "{{ range(100000)|join('x' * 1000000) }}",
	"join of a text":     "{{ ('x' * 1000000)|join('x' * 1000000) }}",
	"split":              "{% for i in range(100000) %}{% set x = ('x ' * 1000000).split() %}{% endfor %}",
	"find":               "{% set x = 'x' * 9999999 %}{% for i in range(100000) %}{{ x.find('y') }}{% endfor %}",
	"in":                 "{% set x = 'x' * 9999999 %}{% for i in range(100000) %}{{ 'y' in x }}{% endfor %}",
	"in a list":          "{% set x = range(100000) %}{% for i in x %}{{ 'y' in x }}{% endfor %}",
	"length":             "{% set x = 'x' * 9999999 %}{% for i in range(100000) %}{{ x|length }}{% endfor %}",
	"trim":               "{% set x = 'x' * 9999999 %}{% for i in range(100000) %}{{ x|trim('x') }}{% endfor %}",
	"upper":              "{% set x = 'x' * 4999999 %}{% for i in range(100000) %}{% set y = x|upper %}{% endfor %}",
	"sort":               "{% for i in range(100000) %}{% set x = range(100000)|reverse|sort %}{% endfor %}",
	"map":                "{% for i in range(100000) %}{% set x = range(100000)|map('string')|list %}{% endfor %}",
	"select":             "{% for i in range(100000) %}{% set x = range(100000)|select('odd')|list %}{% endfor %}",
	"slices":             "{% set x = 'x' * 999999 %}{% for i in range(100000) %}{{ x[::-1] }}{% endfor %}",
	"step":               "{{ 'abc'[::9007199254740992] }}{{ 'abc'[9007199254740991::-9007199254740991] }}{% for i in range(10**6) %}{% endfor %}",
	"numbers":            "{{ 10 ** 10 ** 10 }}",
	"json":               "{% set x = 'x' * 9999999 %}{% for i in range(100000) %}{% set y = x|tojson %}{% endfor %}",
	"repr":               "{% set x = ['\u200b' * 999999] %}{{ x }}{{ x }}{% for i in range(100000) %}{% set y = x|string %}{% endfor %}",
	"brackets":           "{{ " + strings.Repeat("(", 300000) + "1" + strings.Repeat(")", 300000) + " }}",
	"brackets of a list": "{{ " + strings.Repeat("[", 300000),
	"brackets behind":    "{{ x" + strings.Repeat("[0", 300000),
	"calls":              "{{ x" + strings.Repeat("(x", 300000),
	"not":                "{{ " + strings.Repeat("not ", 200000) + "1 }}",
	"minus":              "{{ " + strings.Repeat("- ", 300000) + "1 }}",
	"sum":                "{{ 1" + strings.Repeat("+1", 300000) + " }}",
	"else":               "{{ 1" + strings.Repeat(" if 0 else 1", 80000) + " }}",
	"if if":              "{{ 1" + strings.Repeat(" if 1", 100000) + " }}",
	"members":            "{% set x = {} %}{{ x" + strings.Repeat(".x", 300000) + " }}",
	"filters":            "{{ 'x'" + strings.Repeat("|trim", 100000) + " }}",
	"tests":              "{{ 1" + strings.Repeat(" is eq(1)", 100000) + " }}",
	"tests of tests":     "{{ 1" + strings.Repeat(" is eq [1", 100000),
	"tags":               strings.Repeat("{% if true %}", 70000) + strings.Repeat("{% endif %}", 10),
	"targets":            "{% for " + strings.Repeat("(", 300000) + "x in y %}{% endfor %}",
	"source":             strings.Repeat("x", maxSource+1),
	"captures":           "{% macro f(n) %}{% set x %}{{ f(n) }}{% endset %}{% endmacro %}{{ f(1) }}",
	"keys":               "{% set ns = namespace() %}{% for i in range(99999) %}{% set d = dict(messages[0], a=i) %}{% set ns.x = [ns.x, d] %}{% endfor %}{{ ns.x }}",
}

// Whatever a template does, it ends with an error soon and without filling the memory.
func TestHostile(t *testing.T) {
	for name, source := range hostile {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			template, err := New("t", source, nil)
			if err == nil {
				_, err = template.Render([]Message{{"user", "x"}}, true)
			}
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Error("no error")
			} else if text := err.Error(); len(text) > 2000 || strings.Contains(text, "could not be rendered") {
				t.Errorf("error %.300s", text)
			}
			made := (after.TotalAlloc - before.TotalAlloc) >> 20
			if made > 4096 {
				t.Errorf("made %d MiB", made)
			}
			t.Logf("%v, %d MiB: %.200v", took.Round(time.Millisecond), made, err)
		})
	}
}

// A conversation of the largest kind that one meets is far from the limits.
func TestLimitsAreFar(t *testing.T) {
	messages := make([]Message, 2000)
	for i := range messages {
		messages[i] = Message{[]string{"user", "assistant"}[i%2], strings.Repeat("a word ", 200)}
	}
	for _, name := range []string{"qwen3", "smollm2"} {
		template, err := New(name, source(t, name), nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := template.Render(messages, true)
		if err != nil || len(text) < 2000*1400 {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
	}
}

// FuzzTemplate looks for templates that panic or run too long; the errors that runtime panics become count.
func FuzzTemplate(f *testing.F) {
	for _, name := range []string{"qwen3", "smollm2"} {
		f.Add(source(f, name))
	}
	var snippets []struct{ Template string }
	readJSON(f, "testdata/snippets.json", &snippets)
	for _, s := range snippets {
		f.Add(s.Template)
	}
	for _, source := range hostile {
		if len(source) < 500 {
			f.Add(source)
		}
	}
	messages := []Message{{"system", "s"}, {"user", " a\nb "}, {"assistant", "<think>x</think>é"}, {"user", ""}}
	f.Fuzz(func(t *testing.T, source string) {
		template, err := New("t", source, map[string]string{"bos_token": "<s>"})
		text := ""
		if err == nil {
			template.work /= 100 // so that many are tried
			text, err = template.Render(messages, true)
		}
		if err != nil && strings.Contains(err.Error(), "could not be rendered") || len(text) > maxText {
			t.Fatalf("%d bytes, %v", len(text), err)
		}
	})
}

func BenchmarkRender(b *testing.B) {
	template, err := New("qwen3", source(b, "qwen3"), nil)
	if err != nil {
		b.Fatal(err)
	}
	messages := []Message{{"system", "Be brief."}, {"user", "What is 2+2?"}, {"assistant", "4"}, {"user", "Why?"}}
	for b.Loop() {
		if _, err := template.Render(messages, true); err != nil {
			b.Fatal(err)
		}
	}
}
