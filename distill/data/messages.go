package data

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"` // system, user, assistant, or what else the data call it
	Content string `json:"content"`
}

// roleAssistant is the role whose last message is the completion.
const roleAssistant = "assistant"

// PlainChat renders the messages in front of an answer without a model's chat template: a line "role: content" each, and
// "assistant:" behind them. A completion follows after a space.
func PlainChat(messages []Message) string {
	var b strings.Builder
	for _, m := range messages {
		fmt.Fprintf(&b, "%s: %s\n", m.Role, m.Content)
	}
	b.WriteString(roleAssistant + ":")
	return b.String()
}

// conversation takes a JSON list of messages apart: those before the last answer, which are the prompt, and that answer. What stands
// behind it is left out.
func conversation(raw string) (roles, contents []string, answer string, err error) {
	var messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	}
	if err := json.Unmarshal([]byte(raw), &messages); err != nil {
		return nil, nil, "", fmt.Errorf("not a list of {\"role\": …, \"content\": …}: %w", err)
	}
	last := len(messages) - 1
	for last >= 0 && messages[last].Role != roleAssistant {
		last--
	}
	switch {
	case last < 0:
		return nil, nil, "", fmt.Errorf("has no message of role %q, which is what is learned; give it one, or take the row out", roleAssistant)
	case last == 0:
		return nil, nil, "", errors.New("begins with the answer; there has to be a message before it")
	}
	for i, m := range messages[:last+1] {
		var content string
		switch {
		case m.Role == "":
			return nil, nil, "", fmt.Errorf("[%d].role: missing", i)
		case json.Unmarshal(m.Content, &content) != nil || string(m.Content) == "null":
			return nil, nil, "", fmt.Errorf("[%d].content: want text; calls of tools and parts that are not text are not read", i)
		}
		roles, contents = append(roles, m.Role), append(contents, content)
	}
	return roles[:last], contents[:last], contents[last], nil
}
