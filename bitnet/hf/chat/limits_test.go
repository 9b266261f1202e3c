package chat

import (
	"context"
	"errors"
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
	"brackets":           "{{ " + strings.Repeat("(", 120000) + "1" + strings.Repeat(")", 120000) + " }}",
	"brackets of a list": "{{ " + strings.Repeat("[", 200000),
	"brackets behind":    "{{ x" + strings.Repeat("[0", 100000),
	"calls":              "{{ x" + strings.Repeat("(x", 100000),
	"not":                "{{ " + strings.Repeat("not ", 20000) + "1 }}",
	"minus":              "{{ " + strings.Repeat("- ", 20000) + "1 }}",
	"sum":                "{{ 1" + strings.Repeat("+1", 20000) + " }}",
	"else":               "{{ 1" + strings.Repeat(" if 0 else 1", 5000) + " }}",
	"if if":              "{{ 1" + strings.Repeat(" if 1", 10000) + " }}",
	"members":            "{% set x = {} %}{{ x" + strings.Repeat(".x", 20000) + " }}",
	"filters":            "{{ 'x'" + strings.Repeat("|trim", 10000) + " }}",
	"tests":              "{{ 1" + strings.Repeat(" is eq(1)", 5000) + " }}",
	"tests of tests":     "{{ 1" + strings.Repeat(" is eq [1", 25000),
	"tags":               strings.Repeat("{% if true %}", 5000) + strings.Repeat("{% endif %}", 10),
	"targets":            "{% for " + strings.Repeat("(", 200000) + "x in y %}{% endfor %}",
	"source":             strings.Repeat("x", maxSource+1),
	"captures":           "{% macro f(n) %}{% set x %}{{ f(n) }}{% endset %}{% endmacro %}{{ f(1) }}",
	"equal lists":        "{% set a = [0] * 8000 %}{% set b = [a] * 8000 %}{{ b == b }}",
	"equal dicts":        "{% set a = {'x': 0, 'y': 0} %}{% set b = [a] * 1000000 %}{{ b == b }}{{ b == b }}",
	"key":                repeated("{}[x]"),
	"missing element":    repeated("x[x]"),
	"get":                repeated("{}.get(x)"),
	"key in":             repeated("x in {}"),
	"keys of a literal":  repeated("{x: 1}"),
	"keys of a copy":     "{% set d = {'x' * 16000000: 1} %}{% for i in range(20) %}{% set y = dict(d) %}{% endfor %}",
	"path":               repeated("[ns]|map(attribute='a.' * 1000000 ~ 'a')|list"),
	"path of a list":     "{% set ns = namespace() %}{% set ns.a = ns %}{{ ([ns] * 1000000)|map(attribute='a.' * 1000 ~ 'a')|list }}",
	"time":               repeated("strftime_now('%A' * 1000000)"),
	"splitlines":         repeated("x.splitlines()"),
	"splitlines of ends": "{{ ('\n' * 16000000).splitlines()|length }}",
	"split of ends":      "{{ ('x ' * 8000000).split()|length }}",
	"removeprefix":       repeated("x.removeprefix(x)"),
	"removesuffix":       repeated("x.removesuffix(x)"),
	"startswith":         repeated("x.startswith(x)"),
	"int":                repeated("('1' * 16000000)|int"),
	"float":              repeated("x|float"),
	"strip":              repeated("x.strip(x)"),
	"isalpha":            repeated("x.isalpha()"),
	"count":              repeated("x.count('x')"),
	"replaced":           repeated("x.replace('x', 'y')"),
	"equal texts":        repeated("x == 'x' * 16000000"),
	"order of texts":     repeated("x < x"),
	"controls":           "{{ ['\x01' * 8000000]|string }}",
	"controls json":      "{{ ('\x01' * 8000000)|tojson }}",
	"numbers json":       "{% set x = [0] * 1000000 %}{% for i in range(100000) %}{% set y = x|tojson %}{% endfor %}",
	"join of nothing":    "{% set x = [''] * 1000000 %}{% for i in range(100000) %}{% set y = x|join %}{% endfor %}",
	"sort of texts":      "{% set x = ['a', 'b'] * 50000 %}{% for i in range(100000) %}{% set y = x|sort %}{% endfor %}",
	"unique":             "{% set x = ['a', 'b'] * 50000 %}{% for i in range(100000) %}{% set y = x|unique %}{% endfor %}",
	"list literals":      "{% set ns = namespace(x=[]) %}{% for i in range(1000) %}{% set ns.x = [ns.x, [" + strings.Repeat("0,", 20000) + "]] %}{% endfor %}",
	"dict literals":      "{% set ns = namespace(x=[]) %}{% for i in range(1000) %}{% set ns.x = [ns.x, {" + strings.Repeat("'a':0,", 4000) + "}] %}{% endfor %}",
	"nothing in loops":   "{% set x = range(100000) %}{% for i in range(100000) %}{% for j in x if false %}{% endfor %}{% endfor %}",
	"tags of nothing":    "{% for i in range(100000) %}{% for j in range(100000) %}" + strings.Repeat("{% generation %}{% endgeneration %}", 2000) + "{% endfor %}{% endfor %}",
	"branches":           "{% for i in range(100000) %}{% for j in range(100000) %}{% if 0 %}" + strings.Repeat("{% elif 0 %}", 5000) + "{% endif %}{% endfor %}{% endfor %}",
	"chain":              "{% for i in range(100000) %}{% for j in range(100000) %}{{ 0" + strings.Repeat("==0", 20000) + " }}{% endfor %}{% endfor %}",
	"many arguments":     "{% for i in range(100000) %}{% for j in range(100000) %}{{ loop.cycle(0" + strings.Repeat(",0", 20000) + ") }}{% endfor %}{% endfor %}",
	"many defaults":      "{% macro f(a" + strings.Repeat(",a", 20000) + ") %}{% endmacro %}{% for i in range(100000) %}{% for j in range(100000) %}{{ f() }}{% endfor %}{% endfor %}",
	"many targets":       "{% set x = [0] * 20000 %}{% for i in range(100000) %}{% set a" + strings.Repeat(",a", 19999) + " = x %}{% endfor %}",
	"long name":          "{% for i in range(100000) %}{% for j in range(100000) %}{{ loop." + strings.Repeat("a", 250000) + " }}{% endfor %}{% endfor %}",
	"texts of nothing":   "{% for i in range(100000) %}{% for j in range(100000) %}{% set x %}" + strings.Repeat("x{##}", 10000) + "{% endset %}{% endfor %}{% endfor %}",
	"keys":               "{% set ns = namespace() %}{% for i in range(99999) %}{% set d = dict(messages[0], a=i) %}{% set ns.x = [ns.x, d] %}{% endfor %}{{ ns.x }}",
}

// repeated is twenty times what takes long, with x of 16 MB.
func repeated(expression string) string {
	return "{% set x = 'x' * 16000000 %}{% set ns = namespace() %}{% set ns.a = ns %}{% for i in range(20) %}{% set y = " + expression + " %}{% endfor %}"
}

// Whatever a template does, it ends at a limit, and without filling the memory.
func TestHostile(t *testing.T) {
	for name, source := range hostile {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			template, err := New("t", source, nil)
			if err == nil {
				if testing.Short() { // which comes to the same limits
					template.work /= 16
				}
				_, err = template.Render(t.Context(), []Message{{"user", "x"}}, true)
			}
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			var limit limitError
			if !errors.As(err, &limit) || len(err.Error()) > 2000 {
				t.Errorf("error %.300v, want that of a limit", err)
			}
			made := (after.TotalAlloc - before.TotalAlloc) >> 20
			if made > 512 && !testing.Short() { // which is for the race detector, whose memory counts
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
		text, err := template.Render(t.Context(), messages, true)
		if err != nil || len(text) < 2000*1400 {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
	}
}

// What the honest do with long conversations is far from the limits too: it counts what it makes once.
func TestHonest(t *testing.T) {
	lines := strings.Repeat(strings.Repeat("word ", 12)+"\n", 2200)
	messages := make([]Message, 500)
	var contents []string
	for i := range messages {
		messages[i] = Message{"user", strings.Repeat("a word ", 223)}
		contents = append(contents, messages[i].Content)
	}
	all := "[{'role': 'user', 'content': '" + strings.Join(contents, "'}, {'role': 'user', 'content': '") + "'}]"
	for _, c := range []struct {
		source, want string
		messages     []Message
	}{
		{`{{ messages[0].content.split('\n')|join('\n') }}`, lines, []Message{{"user", lines}}},
		{`{{ messages|map(attribute='content')|join('\n') }}`, strings.Join(contents, "\n"), messages},
		{`{{ messages|string }}`, all, messages},
		{`{{ messages|tojson }}`, strings.ReplaceAll(all, "'", `"`), messages},
	} {
		template, err := New("t", c.source, nil)
		if err != nil {
			t.Fatal(err)
		}
		template.work /= 4
		if got, err := template.Render(t.Context(), c.messages, true); err != nil || got != c.want {
			t.Errorf("%s: %d bytes, %v, want %d", c.source, len(got), err, len(c.want))
		}
	}
}

// A rendering ends when its context does, whatever of its work is left.
func TestContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	template, err := New("t", "{{ stop() }}\n{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &state{ctx: ctx, work: maxWork, look: maxWork, out: &strings.Builder{}}
	stop := &function{"stop", func(*state, arguments) any { cancel(); return "" }}
	func() {
		defer recovered("t", &s.line, &err)
		s.in(&scope{names: globals}, map[string]any{"stop": stop}, func() { s.run(template.body) })
	}()
	if spent := maxWork - s.work; !errors.Is(err, context.Canceled) || spent > 2*lookWork {
		t.Errorf("%v after work of %d", err, spent)
	}
	if _, err := template.Render(ctx, nil, false); !errors.Is(err, context.Canceled) {
		t.Errorf("a rendering that need not begin: %v", err)
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
			text, err = template.Render(t.Context(), messages, true)
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
		if _, err := template.Render(b.Context(), messages, true); err != nil {
			b.Fatal(err)
		}
	}
}
