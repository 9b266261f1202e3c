package data

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// promptWriter renders, cuts and tokenizes prompts, and the completions behind them. It does not change after it is made.
type promptWriter struct {
	template template
	tok      Tokenizer
	options  TokenizeOptions
	answers  [][]int32 // of a classification
	reserved int       // tokens kept free for the longest answer, or for a completion
	room     int       // tokens for the prompt, with the token in front
	end      int32     // the token that ends a completion
	chat     *Chat     // of conversations; nil: PlainChat, or no conversations
}

// prompt is one tokenized row.
type prompt struct {
	ids        []int32
	completion []int32 // with the end token; of a generation
	overlong   int     // what the whole sequence would have taken, where that was too much
	stuck      bool    // and cannot be cut to fit
	err        error
}

func newPromptWriter(t Task, tok Tokenizer, o TokenizeOptions) (*promptWriter, error) {
	w := &promptWriter{tok: tok, options: o}
	var err error
	if t.Messages != "" {
		w.chat = o.Chat
	} else {
		if w.template, err = parseTemplate(t.Prompt); err != nil {
			return nil, err
		}
	}
	if t.Generates() {
		err = w.generates(t)
	} else {
		err = w.classifies(t)
	}
	if err != nil {
		return nil, fmt.Errorf("task %s: %w", t.Name, err)
	}
	w.room = o.MaxLength - w.reserved
	if t.Messages != "" {
		if w.room < 1 {
			return nil, fmt.Errorf("max_length %d is too small: %d tokens of it are kept for the completion", o.MaxLength, w.reserved)
		}
		return w, nil
	}
	if own := len(w.encode(w.template.render(make([]string, len(w.template.columns))))); own > w.room || w.room < 1 {
		return nil, fmt.Errorf("max_length %d is too small: the prompt of task %s takes %d tokens without its columns, the longest answer %d",
			o.MaxLength, t.Name, own, w.reserved)
	}
	return w, nil
}

// classifies tokenizes the labels' answers.
func (w *promptWriter) classifies(t Task) (err error) {
	w.answers, err = answers(t, w.template, w.tok)
	for _, a := range w.answers {
		w.reserved = max(w.reserved, len(a))
	}
	return err
}

// generates finds the end token and the room for completions.
func (w *promptWriter) generates(t Task) error {
	if w.reserved = t.maxCompletion(w.options.MaxLength); w.chat != nil && w.chat.End >= 0 {
		w.end = w.chat.End
		return nil
	}
	var ok bool
	if w.end, ok = w.tok.EOS(); !ok {
		return errors.New("the tokenizer names no end-of-text token (eos_token in tokenizer_config.json), without which a model does not learn to stop")
	}
	return nil
}

// answers tokenizes each label's answer behind a filled-in prompt and takes the prompt's ids off again.
func answers(t Task, template template, tok Tokenizer) ([][]int32, error) {
	values := slices.Repeat([]string{"a"}, len(template.columns))
	text := template.render(values)
	prefix := tok.Encode(text)
	var all [][]int32
	var faults []error
	for i, l := range t.Labels {
		whole := tok.Encode(text + l.Answer)
		if len(whole) < len(prefix) || !slices.Equal(whole[:len(prefix)], prefix) {
			faults = append(faults, fmt.Errorf("labels[%d].answer: %q becomes one token with the end of the prompt; begin the answer with a space, and end the prompt without one", i, l.Answer))
			all = append(all, nil)
			continue
		}
		answer := slices.Clone(whole[len(prefix):])
		if len(answer) == 0 {
			faults = append(faults, fmt.Errorf("labels[%d].answer: %q has no tokens in this model's vocabulary", i, l.Answer))
		} else if j := slices.IndexFunc(all, func(a []int32) bool { return slices.Equal(a, answer) }); j >= 0 {
			faults = append(faults, fmt.Errorf("labels[%d].answer: %q has the same tokens as %q, labels[%d].answer", i, l.Answer, t.Labels[j].Answer, j))
		}
		all = append(all, answer)
	}
	return all, errors.Join(faults...)
}

// encode gives the ids of a prompt, with the token in front, which a chat template writes itself.
func (w *promptWriter) encode(text string) []int32 {
	var ids []int32
	if bos, ok := w.tok.BOS(); ok && w.chat == nil {
		ids = append(ids, bos)
	}
	return append(ids, w.tok.Encode(text)...)
}

// render is the text of a row's prompt, with these values in place of its own.
func (w *promptWriter) render(ctx context.Context, r Row, values []string) (string, error) {
	if r.Roles == nil {
		return w.template.render(values), nil
	}
	messages := make([]Message, len(values))
	for i := range values {
		messages[i] = Message{Role: r.Roles[i], Content: values[i]}
	}
	if w.chat != nil {
		return w.chat.Prompt(ctx, messages)
	}
	return PlainChat(messages), nil
}

// write tokenizes one row.
func (w *promptWriter) write(ctx context.Context, r Row) prompt {
	text, err := w.render(ctx, r, r.Values)
	if err != nil {
		return prompt{err: err}
	}
	p := prompt{ids: w.encode(text)}
	if len(p.ids) > w.room {
		p.overlong = len(p.ids) + w.reserved
		if text, p.err = w.cut(ctx, r); p.err != nil {
			return p
		}
		p.ids = w.encode(text)
		p.stuck = len(p.ids) > w.room
	}
	if completion := r.Completion; completion != "" {
		if r.Roles != nil && w.chat == nil {
			completion = " " + completion // behind PlainChat
		}
		p.completion = w.complete(text, completion)
	}
	return p
}

// cut shortens all values to one common number of characters, the largest that fits: the longest values lose first.
// Characters rather than tokens, so that the prompt is tokenized as a whole.
func (w *promptWriter) cut(ctx context.Context, r Row) (text string, err error) {
	longest := 0
	for _, v := range r.Values {
		longest = max(longest, utf8.RuneCountInString(v))
	}
	cut := make([]string, len(r.Values))
	at := func(chars int) string {
		for i, v := range r.Values {
			cut[i] = shorten(v, chars, w.options.Overlong == TruncateLeft)
		}
		text, e := w.render(ctx, r, cut)
		err = errors.Join(err, e)
		return text
	}
	// Nothing of the values fits always (newPromptWriter), conversations of many messages excepted; the search ends between a cut
	// that fits and one that does not.
	text = at(sort.Search(longest, func(n int) bool { return len(w.encode(at(n+1))) > w.room }))
	return text, err
}

// complete gives the ids of a completion behind its prompt, and the end token. They are what a model that is given the prompt has
// to say: where the two would share a token, the completion is tokenized alone.
func (w *promptWriter) complete(prompt, completion string) []int32 {
	const context = 64 // bytes of the prompt that decide how a text behind it begins
	tail := prompt[max(0, len(prompt)-context):]
	for len(tail) > 0 && !utf8.RuneStart(tail[0]) {
		tail = tail[1:]
	}
	before, ids := w.tok.Encode(tail), w.tok.Encode(tail+completion)
	if len(ids) > len(before) && slices.Equal(ids[:len(before)], before) {
		ids = ids[len(before):]
	} else {
		ids = w.tok.Encode(completion)
	}
	if n := len(ids); n > 0 && ids[n-1] == w.end { // the text spells it
		ids = ids[:n-1]
	}
	return append(slices.Clone(ids), w.end)
}

// shorten keeps the first (or last) characters of a text, without spaces at the cut.
func shorten(text string, chars int, left bool) string {
	total := utf8.RuneCountInString(text)
	if total <= chars {
		return text
	}
	runes := []rune(text)
	if left {
		return strings.TrimLeft(string(runes[total-chars:]), " ")
	}
	return strings.TrimRight(string(runes[:chars]), " ")
}
