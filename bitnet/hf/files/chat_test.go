package files

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/hf/chat"
	"github.com/bitdistill/bitdistill/internal/golden"
)

// texts makes a model of its files of text alone.
func texts(t *testing.T, files map[string]string) *Model {
	t.Helper()
	m := &Model{Config: arch.Config{VocabSize: 1 << 20}, config: []byte(`{}`), files: map[string][]byte{}, path: "folder"}
	for name, text := range files {
		m.files[name] = []byte(text)
	}
	var err error
	if m.Tokenizer, err = newTokenizer("folder", m); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestChatIDs compares the ids of conversations with those of apply_chat_template, for which scripts/peers/chat_reference.py was run:
// special tokens of templates, and those that contents spell, once each.
func TestChatIDs(t *testing.T) {
	shared := filepath.Join(golden.Shared(t), "data", "tokenizers")
	var families map[string]struct {
		Cases []struct {
			Title    string
			Messages []chat.Message
			Prompt   bool
			Error    string
			IDs      []int32
		}
	}
	if err := json.Unmarshal(mustRead(t, "..", "chat", "testdata", "families.json"), &families); err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]string{"gemma3": "<end_of_turn>", "llama3_1": "<|eot_id|>", "qwen3": "<|im_end|>", "smollm2": "<|im_end|>"} {
		files := map[string]string{"tokenizer.json": string(unzip(t, filepath.Join(shared, name, "tokenizer.json.gz")))}
		if name == "smollm2" { // the token that ends a text is not the one that ends a turn
			files["tokenizer_config.json"] = `{"eos_token":"<|endoftext|>"}`
			files["chat_template.jinja"] = string(mustRead(t, "..", "chat", "testdata", "smollm2.jinja"))
		} else if raw, err := os.ReadFile(filepath.Join(shared, name, "tokenizer_config.json")); err == nil {
			files["tokenizer_config.json"] = string(raw)
		} else {
			files["tokenizer_config.json"] = string(unzip(t, filepath.Join(shared, name, "tokenizer_config.json.gz")))
		}
		m := texts(t, files)
		c, err := m.Chat(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := m.Tokenizer.Token(c.End); got != end {
			t.Errorf("%s: an answer ends with %q, want %q", name, got, end)
		}
		compared := 0
		for _, want := range families[name].Cases {
			text, err := c.Template.Render(t.Context(), want.Messages, want.Prompt)
			if want.Error != "" {
				continue
			}
			compared++
			if ids := m.Tokenizer.Encode(text); err != nil || !slices.Equal(ids, want.IDs) {
				t.Errorf("%s: %s: ids %v, want %v (%v)", name, want.Title, ids, want.IDs, err)
			}
		}
		if compared < 15 {
			t.Errorf("%s: %d conversations compared", name, compared)
		}
	}
}

// tinyTokenizer has a vocabulary of letters, with special tokens.
const tinyTokenizer = `{"added_tokens":[{"id":0,"content":"<s>","special":true},{"id":1,"content":"</s>","special":true},{"id":2,"content":"<end>","special":true}],
	"model":{"type":"BPE","vocab":{"<s>":0,"</s>":1,"<end>":2,"a":3,"b":4},"merges":[]},"decoder":{"type":"Fuse"}}`

func TestChatTemplates(t *testing.T) {
	render := func(files map[string]string) (string, *Chat, error) {
		files["tokenizer.json"] = tinyTokenizer
		c, err := texts(t, files).Chat(t.Context())
		if c == nil || err != nil {
			return "", c, err
		}
		text, err := c.Template.Render(t.Context(), []chat.Message{{Role: "user", Content: "a"}}, true)
		return text, c, err
	}
	const turn = `{{ bos_token }}{% for m in messages %}{{ m.content }}<end>{% endfor %}`
	quoted := `"` + turn + `"`
	for name, c := range map[string]struct {
		files        map[string]string
		text, source string
		end          int32
	}{
		"no file":   {map[string]string{}, "", "", 0},
		"none":      {map[string]string{"tokenizer_config.json": `{}`}, "", "", 0},
		"null":      {map[string]string{"tokenizer_config.json": `{"chat_template":null}`}, "", "", 0},
		"text":      {map[string]string{"tokenizer_config.json": `{"chat_template":` + quoted + `,"bos_token":"<s>","eos_token":"</s>"}`}, "<s>a<end>", "folder/tokenizer_config.json: chat_template", 2},
		"object":    {map[string]string{"tokenizer_config.json": `{"chat_template":` + quoted + `,"bos_token":{"content":"<s>"}}`}, "<s>a<end>", "folder/tokenizer_config.json: chat_template", 2},
		"no bos":    {map[string]string{"tokenizer_config.json": `{"chat_template":` + quoted + `,"bos_token":null}`, "special_tokens_map.json": `{"bos_token":"<s>"}`}, "a<end>", "folder/tokenizer_config.json: chat_template", 2},
		"map":       {map[string]string{"tokenizer_config.json": `{"chat_template":` + quoted + `}`, "special_tokens_map.json": `{"bos_token":"<s>"}`}, "<s>a<end>", "folder/tokenizer_config.json: chat_template", 2},
		"several":   {map[string]string{"tokenizer_config.json": `{"chat_template":[{"name":"tool_use","template":"x"},{"name":"default","template":` + quoted + `}]}`}, "a<end>", "folder/tokenizer_config.json: chat_template[1]", 2},
		"file":      {map[string]string{"chat_template.jinja": "{{ messages[0].content }}b\n", "tokenizer_config.json": `{"chat_template":"no","eos_token":"</s>"}`}, "ab", "folder/chat_template.jinja", 1},
		"no ending": {map[string]string{"chat_template.jinja": "b{{ messages[0].content }}"}, "ba", "folder/chat_template.jinja", -1},
	} {
		text, got, err := render(c.files)
		if err != nil || text != c.text {
			t.Errorf("%s: %q, %v, want %q", name, text, err, c.text)
		}
		if c.text == "" != (got == nil) || got != nil && (got.Source != c.source || got.End != c.end) {
			t.Errorf("%s: %+v, want %+v", name, got, c)
		}
	}
	for name, c := range map[string]struct {
		files map[string]string
		parts []string
	}{
		"syntax":     {map[string]string{"tokenizer_config.json": `{"chat_template":"a\n{% if %}"}`}, []string{"folder/tokenizer_config.json: chat_template:2: "}},
		"file":       {map[string]string{"chat_template.jinja": "\n\n{{ x | nope }}"}, []string{"folder/chat_template.jinja:3: ", `"nope"`}},
		"kind":       {map[string]string{"tokenizer_config.json": `{"chat_template":7}`}, []string{"folder/tokenizer_config.json: chat_template: 7"}},
		"no default": {map[string]string{"tokenizer_config.json": `{"chat_template":[{"name":"rag","template":"x"}]}`}, []string{`"rag"`, `"default"`}},
		"map":        {map[string]string{"chat_template.jinja": "x", "special_tokens_map.json": "[]"}, []string{"folder/special_tokens_map.json"}},
		"token":      {map[string]string{"chat_template.jinja": "x", "special_tokens_map.json": `{"bos_token":[]}`}, []string{"folder/special_tokens_map.json: bos_token"}},
	} {
		_, _, err := render(c.files)
		var template *chat.Error
		var file *FileError
		if !errors.As(err, &template) && !errors.As(err, &file) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, part := range c.parts {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want %q", name, err, part)
			}
		}
	}
}
