package files

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet/hf/chat"
)

const (
	chatTemplateName = "chat_template.jinja"
	specialMapName   = "special_tokens_map.json"
	defaultTemplate  = "default" // of several in tokenizer_config.json
)

// Chat is how a model reads conversations.
type Chat struct {
	Template *chat.Template
	// Source says where the template stands: a file, or a field of one.
	Source string
	// End is the token that ends an answer: what the template puts behind one, where that is a special token, else the one that ends
	// a text. -1 if there is neither.
	End int32
}

// Chat parses the model's chat template: chat_template.jinja, else chat_template of tokenizer_config.json, of several the one named
// "default"; of a GGUF file tokenizer.chat_template. It is nil if the model has none. What the template renders begins with the token
// in front of a text where the model wants one, and special tokens are spelled in it, so that its ids are those of
// Tokenizer.Encode alone.
//
// It is an error if the template is not one that package chat can render, or ctx is done before it has rendered a first answer.
func (m *Model) Chat(ctx context.Context) (*Chat, error) {
	source, text, err := m.chatTemplate()
	if err != nil || text == "" || m.Tokenizer == nil {
		return nil, err
	}
	tokens, err := m.specialNames()
	if err != nil {
		return nil, err
	}
	c := &Chat{Source: source, End: -1}
	if c.Template, err = chat.New(source, text, tokens); err != nil {
		return nil, err
	}
	if id, ok := m.Tokenizer.EOS(); ok {
		c.End = id
	}
	if id, ok := m.turnEnd(ctx, c.Template); ok {
		c.End = id
	}
	return c, ctx.Err()
}

// chatTemplate finds the template and says where it stands.
func (m *Model) chatTemplate() (source, text string, err error) {
	if data, ok := m.files[chatTemplateName]; ok {
		return filepath.Join(m.path, chatTemplateName), string(data), nil
	}
	var c struct {
		Template json.RawMessage `json:"chat_template"`
	}
	path := filepath.Join(m.path, tokenizerConfigName)
	if data, ok := m.files[tokenizerConfigName]; ok {
		if err := json.Unmarshal(data, &c); err != nil {
			return "", "", fileErrorf(path, "%w%s", err, offset(err))
		}
	}
	source = path + ": chat_template"
	if m.gguf {
		source = m.path + ": tokenizer.chat_template"
	}
	if c.Template == nil || string(c.Template) == "null" {
		return source, "", nil
	}
	if json.Unmarshal(c.Template, &text) == nil {
		return source, text, nil
	}
	var several []struct{ Name, Template string }
	if err := json.Unmarshal(c.Template, &several); err != nil {
		return "", "", fileErrorf(path, "chat_template: %s, want text, or a list of {\"name\": …, \"template\": …}", brief(c.Template))
	}
	var names []string
	for i, t := range several {
		if t.Name == defaultTemplate {
			return fmt.Sprintf("%s[%d]", source, i), t.Template, nil
		}
		names = append(names, t.Name)
	}
	return "", "", fileErrorf(path, "chat_template: none of the templates %q is named %q", names, defaultTemplate)
}

// specialNames are the special tokens that templates know by name.
func (m *Model) specialNames() (map[string]string, error) {
	names := map[string]string{}
	for _, file := range []string{specialMapName, tokenizerConfigName} { // what the second says goes
		data, ok := m.files[file]
		if !ok {
			continue
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(data, &fields); err != nil {
			return nil, fileErrorf(filepath.Join(m.path, file), "%w%s", err, offset(err))
		}
		for _, field := range []string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"} {
			value, ok := fields[field]
			if !ok {
				continue
			}
			var n name
			if err := json.Unmarshal(value, &n); err != nil {
				return nil, fileErrorf(filepath.Join(m.path, file), "%s: %s, want a token", field, brief(value))
			}
			if delete(names, field); n != "" {
				names[field] = string(n)
			}
		}
	}
	return names, nil
}

// turnEnd finds the special token that the template puts behind an answer, by having it render one.
func (m *Model) turnEnd(ctx context.Context, t *chat.Template) (int32, bool) {
	const answer = "zyxwv"
	text, err := t.Render(ctx, []chat.Message{{Role: "user", Content: "a"}, {Role: "assistant", Content: answer}}, false)
	i := strings.LastIndex(text, answer)
	if err != nil || i < 0 {
		return 0, false
	}
	ids := m.Tokenizer.Encode(text[i+len(answer):])
	if len(ids) == 0 || !m.Tokenizer.special(ids[0]) {
		return 0, false
	}
	return ids[0], true
}

// special reports whether an id is that of a token that stands for no text.
func (t *Tokenizer) special(id int32) bool {
	token, ok := t.Token(id)
	return ok && token != "" && t.Decode([]int32{id}) == "" && slices.Equal(t.Encode(token), []int32{id})
}
