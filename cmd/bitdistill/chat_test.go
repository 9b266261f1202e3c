package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/distill"
)

// talker is the embedded model with a chat template.
func talker(t *testing.T) string {
	t.Helper()
	dir := modelFolder(t)
	const template = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}Lily:{% endif %}"
	check(t, os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte(template), 0o666))
	return dir
}

// answers are what the model says to conversations that are rendered here, each computed from its beginning.
func answers(t *testing.T, model string, most int, conversations ...func(before []string) string) (all []string) {
	t.Helper()
	m, err := distill.OpenPacked(t.Context(), model, nil, infer.Options{Threads: 1})
	check(t, err)
	defer m.Close()
	bos, _ := m.Tokenizer.BOS()
	end, _ := m.Tokenizer.EOS()
	for _, text := range conversations {
		ids := append([]int32{bos}, m.Tokenizer.Encode(text(all)+"Lily:")...)
		more, err := m.Generate(t.Context(), ids, infer.GenerateOptions{MaxTokens: most, End: []int32{end}}, nil)
		check(t, err)
		all = append(all, strings.TrimSpace(m.Tokenizer.Decode(more)))
	}
	return all
}

// TestChat holds a conversation, and another one behind /reset.
func TestChat(t *testing.T) {
	model := talker(t)
	want := answers(t, model, 12,
		func([]string) string { return "user: Where is the dog?\n" },
		func(before []string) string {
			return "user: Where is the dog?\nassistant: " + before[0] + "\nuser: And the cat?\n"
		},
		func([]string) string { return "user: And the cat?\n" })
	r := callIn(t, "Where is the dog?\n\n/what\nAnd the cat?\r\n/reset\nAnd the cat?\n/exit\nNot heard\n", "chat", model, "--max-tokens", "12", "--stats")
	r.want(t, exitDone, "/what is not known", "tokens read in")
	if got := strings.Fields(r.out); !slices.Equal(got, strings.Fields(strings.Join(want, " "))) {
		t.Errorf("%q, want %q", r.out, want)
	}
	if want[1] == want[2] {
		t.Error("the conversation makes no difference")
	}
}

// A system prompt is part of the conversation, also of the one behind /reset.
func TestChatSystem(t *testing.T) {
	model := talker(t)
	want := answers(t, model, 10, func([]string) string { return "system: A sad story.\nuser: Hello\n" })[0]
	r := callIn(t, "Hello\n/reset\nHello", "chat", "--model", model, "--system", "A sad story.", "--max-tokens", "10")
	r.want(t, exitDone)
	if got := strings.Join(strings.Fields(r.out), " "); got != strings.Join(strings.Fields(want+" "+want), " ") {
		t.Errorf("%q, want %q twice", r.out, want)
	}
}

// A full context is told, and the conversation can begin anew.
func TestChatFull(t *testing.T) {
	r := callIn(t, "Where is the dog?\nAnd the cat?\n/reset\nHello\n", "chat", talker(t), "--context", "48")
	r.want(t, exitDone, "the answer ends at 48 tokens", "the context is full: the conversation takes ", "/reset")
	if n := strings.Count(r.errors, "the answer ends"); n != 2 {
		t.Errorf("%d answers were cut, want 2:\n%s", n, r.errors)
	}
}

func TestChatRefused(t *testing.T) {
	for name, c := range map[string]struct {
		stdin string
		args  []string
		words []string
	}{
		"no template": {"a", []string{distill.Embedded}, []string{"no chat template", "generate"}},
		"no model":    {"a", nil, []string{"--model: missing"}},
		"words":       {"a", []string{distill.Embedded, "hello"}, []string{`"hello"`}},
		"context":     {"a", []string{talker(t), "--context", "100000"}, []string{"--context: 100000", "512"}},
		"not UTF-8":   {"a\xff\n", []string{talker(t)}, []string{"standard input", "byte 1 is not UTF-8"}},
		"seed":        {"a", []string{talker(t), "--seed", "x"}, []string{"--seed"}},
	} {
		t.Run(name, func(t *testing.T) {
			callIn(t, c.stdin, append([]string{"chat"}, c.args...)...).want(t, exitInput, c.words...)
		})
	}
}
