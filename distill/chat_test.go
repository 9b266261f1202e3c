package distill

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/distill/embedded"
)

// What a model reads in place of a conversation is its chat template, and where it has none a line for each message. Both are told.
func TestChat(t *testing.T) {
	dir := t.TempDir()
	if err := embedded.Model(dir); err != nil {
		t.Fatal(err)
	}
	cfg, err := Preset(DefaultPreset)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Model, cfg.Task.Name = dir, "messages"
	cfg.Task.Train = filepath.Join(dir, "talks.jsonl")
	rows := `{"messages":[{"role":"user","content":"a dog"},{"role":"assistant","content":"ran"}]}` + "\n"
	if err := os.WriteFile(cfg.Task.Train, []byte(rows), 0o666); err != nil {
		t.Fatal(err)
	}
	show := func(template string) (string, error) {
		path := filepath.Join(dir, "chat_template.jinja")
		if template == "" {
			os.Remove(path)
		} else if err := os.WriteFile(path, []byte(template), 0o666); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		err := ShowExamples(t.Context(), cfg, 1, &b, false, nil)
		return strings.ReplaceAll(b.String(), "|", ""), err
	}
	for template, want := range map[string][]string{
		"": {"no chat template", "<s>user: a dog\\nassistant:", "[</s>]"},
		"{{ bos_token }}{% for m in messages %}{{ m.role }} says {{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}I say{% endif %}": {
			"chat_template.jinja; answers end with </s>", "\n<s>user says a dog</s>I say[", "[</s>]"},
		"<s>{{ messages[0].content }}": {"answers end with </s>", "\n<s>a dog["},
	} {
		got, err := show(template)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range want {
			if !strings.Contains(got, part) {
				t.Errorf("%s\ngives %s, want %q", template, got, part)
			}
		}
		if strings.Contains(got, "<s><s>") {
			t.Errorf("%s\ngives two first tokens: %s", template, got)
		}
	}
	s, err := newSources(cfg, newFetcher(nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	s.config.Task.Dev, s.config.Task.SelectionRows = cfg.Task.Train, 0
	if e, err := s.taskData(t.Context(), &runLog{text: &log}); err != nil || !strings.Contains(log.String(), "conversations: ") {
		t.Errorf("%+v, %v, the log says %s", e, err, log.String())
	}
	for template, part := range map[string]string{
		"{% nope %}":                  "chat_template.jinja:1: ",
		"{{ raise_exception('no') }}": "talks.jsonl:1: ",
	} {
		if _, err := show(template); !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v, want %q", template, err, part)
		}
	}
}
