package distill

import (
	"fmt"

	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/bitnet/hf/chat"
	"github.com/bitdistill/bitdistill/distill/data"
)

// ChatOf is how a model reads the conversations of a task: its chat template. It is nil for a task without conversations and for a
// model without a template, which reads them as [data.PlainChat] has them. Errors wrap [ErrInput].
func ChatOf(m *hf.Model, t data.Task) (*data.Chat, error) {
	c, err := templateOf(m, t)
	if c == nil || err != nil {
		return nil, err
	}
	prompt := func(messages []data.Message) (string, error) {
		turns := make([]chat.Message, len(messages))
		for i, m := range messages {
			turns[i] = chat.Message(m)
		}
		return c.Template.Render(turns, true)
	}
	return &data.Chat{Prompt: prompt, End: c.End}, nil
}

// chatNote says what the conversations of a task become, "" for a task without.
func chatNote(m *hf.Model, t data.Task) string {
	c, err := templateOf(m, t)
	switch {
	case t.Messages == "" || err != nil: // which ChatOf tells
		return ""
	case c == nil:
		return `conversations: the model has no chat template; messages become lines "role: content"`
	}
	end, _ := m.Tokenizer.Token(c.End)
	return fmt.Sprintf("conversations: rendered by %s; answers end with %s", c.Source, end)
}

func templateOf(m *hf.Model, t data.Task) (*hf.Chat, error) {
	if t.Messages == "" {
		return nil, nil
	}
	c, err := m.Chat()
	if err != nil {
		return nil, inputError{err}
	}
	return c, nil
}
