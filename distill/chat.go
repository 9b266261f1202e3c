package distill

import (
	"context"
	"fmt"

	"github.com/bitdistill/bitdistill/bitnet/hf/chat"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/distill/data"
)

// ChatOf is how a model reads the conversations of a task: its chat template. It is nil for a task without conversations and for a
// model without a template, which reads them as [data.PlainChat] has them. Errors wrap [ErrInput], or are those of ctx.
func ChatOf(ctx context.Context, m *files.Model, t data.Task) (*data.Chat, error) {
	c, err := templateOf(ctx, m, t)
	if c == nil || err != nil {
		return nil, err
	}
	prompt := func(ctx context.Context, messages []data.Message) (string, error) {
		turns := make([]chat.Message, len(messages))
		for i, m := range messages {
			turns[i] = chat.Message(m)
		}
		return c.Template.Render(ctx, turns, true)
	}
	return &data.Chat{Prompt: prompt, End: c.End}, nil
}

// chatNote says what the conversations of a task become, "" for a task without.
func chatNote(ctx context.Context, m *files.Model, t data.Task) string {
	c, err := templateOf(ctx, m, t)
	switch {
	case t.Messages == "" || err != nil: // which ChatOf tells
		return ""
	case c == nil:
		return `conversations: the model has no chat template; messages become lines "role: content"`
	}
	end, _ := m.Tokenizer.Token(c.End)
	return fmt.Sprintf("conversations: rendered by %s; answers end with %s", c.Source, end)
}

func templateOf(ctx context.Context, m *files.Model, t data.Task) (*files.Chat, error) {
	if t.Messages == "" {
		return nil, nil
	}
	c, err := m.Chat(ctx)
	if err != nil && ctx.Err() == nil {
		err = inputError{err}
	}
	return c, err
}
