package data

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// Tokenizer turns text into token ids. Encode is called from several goroutines at once.
type Tokenizer interface {
	Encode(text string) []int32 // adds no special tokens
	BOS() (id int32, ok bool)   // the token in front of every sequence, if the model has one
	EOS() (id int32, ok bool)   // the token after a text, if the model has one
	Pad() int32                 // any valid id; what it says is never seen
}

// Overlong says what becomes of a prompt that does not fit.
type Overlong string

const (
	Truncate     Overlong = "truncate"      // cut the end of the columns' values; the default
	TruncateLeft Overlong = "truncate-left" // cut their beginning
	Drop         Overlong = "drop"          // leave the row out; in an evaluation that changes what is measured
	Fail         Overlong = "fail"          // refuse the file
)

// TokenizeOptions says how rows become token ids.
type TokenizeOptions struct {
	MaxLength int                   // tokens of prompt and longest answer together, with the token in front
	Overlong  Overlong              // "" is Truncate
	Training  bool                  // Task.MinChars applies
	Progress  func(done, total int) // rows so far; may be nil
}

// Examples is a tokenized dataset: for every row its prompt and the number of its label, and once for all rows the
// answers. A sequence is prompt + answer.
type Examples struct {
	Task    Task
	File    string
	Answers [][]int32 // token ids of each label's answer, one or more
	Counts  ExampleCounts

	pad     int32
	ids     []int32 // prompts end to end
	ends    []int   // ids[ends[i-1]:ends[i]] is prompt i
	labels  []int32
	lines   []int32
	longest int // tokens of the longest sequence
	limit   int // TokenizeOptions.MaxLength
}

// ExampleCounts tells what became of the rows of a file.
type ExampleCounts struct {
	Rows      int `json:"rows"`      // in the file
	Short     int `json:"short"`     // skipped for Task.MinChars
	Truncated int `json:"truncated"` // cut to fit
	Dropped   int `json:"dropped"`   // left out because too long
	Examples  int `json:"examples"`  // what is left
	Tokens    int `json:"tokens"`    // of all prompts, with the token in front
}

func (c ExampleCounts) String() string {
	return fmt.Sprintf("%d of %d rows (%d too short, %d too long and dropped), %d cut to fit, %d prompt tokens",
		c.Examples, c.Rows, c.Short, c.Dropped, c.Truncated, c.Tokens)
}

// Load reads and tokenizes a TSV file: [Task.Read], then [Task.Tokenize].
func (t Task) Load(ctx context.Context, path string, tok Tokenizer, o TokenizeOptions) (*Examples, error) {
	d, err := t.Read(OnDisk(path))
	if err != nil {
		return nil, err
	}
	return t.Tokenize(ctx, d, tok, o)
}

// Tokenize makes examples of the rows, in their order. A sequence is the token in front (if there is one), the ids of
// the rendered prompt, then those of an answer. A prompt that does not fit is cut inside its columns' values, the
// longest first, so that the text around them always survives. Answers are tokenized behind a prompt, since some
// tokenizers encode the first word of a text differently.
//
// Errors: an answer without tokens or with those of another, an answer that melts into the prompt's end, a prompt
// whose own text does not fit, a row too long under Fail, nothing left, ctx done.
func (t Task) Tokenize(ctx context.Context, d *Dataset, tok Tokenizer, o TokenizeOptions) (*Examples, error) {
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("task %q: %w", t.Name, err)
	}
	switch o.Overlong {
	case "", Truncate, TruncateLeft, Drop, Fail:
	default:
		return nil, fmt.Errorf("overlong: %q is none of %s, %s, %s, %s", o.Overlong, Truncate, TruncateLeft, Drop, Fail)
	}
	w, err := newPromptWriter(t, tok, o)
	if err != nil {
		return nil, err
	}
	rows := make([]Row, 0, len(d.Rows))
	for _, r := range d.Rows {
		if !o.Training || r.chars() >= t.MinChars {
			rows = append(rows, r)
		}
	}
	e := &Examples{Task: t, File: d.File, Answers: w.answers, pad: tok.Pad(), longest: w.longestAnswer, limit: o.MaxLength}
	e.Counts.Rows, e.Counts.Short = len(d.Rows), len(d.Rows)-len(rows)
	for block := range slices.Chunk(rows, 1024) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		prompts := make([]prompt, len(block))
		parallel(len(block), func(i int) { prompts[i] = w.write(block[i].Values) })
		for i, p := range prompts {
			if err := e.add(block[i], p, o); err != nil {
				return nil, err
			}
		}
		if o.Progress != nil {
			o.Progress(len(e.labels)+e.Counts.Dropped, len(rows))
		}
	}
	if e.Len() == 0 {
		return nil, fmt.Errorf("%s: no row is left: %v", d.File, e.Counts)
	}
	return e, nil
}

// add appends one row under the policy for long ones.
func (e *Examples) add(r Row, p prompt, o TokenizeOptions) error {
	if p.overlong > 0 {
		switch o.Overlong {
		case Fail:
			return fmt.Errorf("%s:%d: prompt and answer take %d tokens, max_length is %d", e.File, r.Line, p.overlong, o.MaxLength)
		case Drop:
			e.Counts.Dropped++
			return nil
		}
		e.Counts.Truncated++
	}
	if len(p.ids) == 0 {
		return fmt.Errorf("%s:%d: the prompt is empty, so nothing can predict the answer; give the prompt words of its own", e.File, r.Line)
	}
	e.ids = append(e.ids, p.ids...)
	e.ends = append(e.ends, len(e.ids))
	e.labels = append(e.labels, int32(r.Label))
	e.lines = append(e.lines, int32(r.Line))
	e.Counts.Examples++
	e.Counts.Tokens += len(p.ids)
	for _, a := range e.Answers {
		e.longest = max(e.longest, len(p.ids)+len(a))
	}
	return nil
}

// Len is the number of examples.
func (e *Examples) Len() int { return len(e.labels) }

// Prompt is the token ids of prompt i, with the token in front. The caller leaves them as they are.
func (e *Examples) Prompt(i int) []int32 {
	start := 0
	if i > 0 {
		start = e.ends[i-1]
	}
	return e.ids[start:e.ends[i]:e.ends[i]]
}

// Label is the right label of example i, an index into Answers and Task.Labels.
func (e *Examples) Label(i int) int { return int(e.labels[i]) }

// Line is the line of example i in its file.
func (e *Examples) Line(i int) int { return int(e.lines[i]) }

// Longest is the length in tokens of the longest prompt with the longest answer.
func (e *Examples) Longest() int { return e.longest }

// SingleToken reports whether every answer is one token, so that one row of logits decides between the labels.
func (e *Examples) SingleToken() bool {
	return !slices.ContainsFunc(e.Answers, func(a []int32) bool { return len(a) != 1 })
}

// answerWidth is the length in tokens of the longest answer.
func (e *Examples) answerWidth() int {
	n := 0
	for _, a := range e.Answers {
		n = max(n, len(a))
	}
	return n
}

// Fingerprint is a hash of everything that batches are made of: equal for equal data, task and tokenization.
func (e *Examples) Fingerprint() string {
	h := sha256.New()
	put := func(values any) { binary.Write(h, binary.LittleEndian, values) } // a hash never fails to write
	for _, a := range e.Answers {
		put(int64(len(a)))
		put(a)
	}
	for i := range e.Len() {
		put([]int64{int64(len(e.Prompt(i))), int64(e.Label(i))})
		put(e.Prompt(i))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// promptWriter renders, cuts and tokenizes prompts. It does not change after it is made.
type promptWriter struct {
	template      template
	tok           Tokenizer
	options       TokenizeOptions
	answers       [][]int32
	longestAnswer int
	room          int // tokens for the prompt, with the token in front
}

// prompt is one tokenized prompt; overlong is what the whole sequence would have taken, where that was too much.
type prompt struct {
	ids      []int32
	overlong int
}

func newPromptWriter(t Task, tok Tokenizer, o TokenizeOptions) (*promptWriter, error) {
	template, err := parseTemplate(t.Prompt)
	if err != nil {
		return nil, err
	}
	w := &promptWriter{template: template, tok: tok, options: o}
	if w.answers, err = answers(t, template, tok); err != nil {
		return nil, fmt.Errorf("task %s: %w", t.Name, err)
	}
	for _, a := range w.answers {
		w.longestAnswer = max(w.longestAnswer, len(a))
	}
	w.room = o.MaxLength - w.longestAnswer
	if own := len(w.encode(make([]string, len(template.columns)))); own > w.room || w.room < 1 {
		return nil, fmt.Errorf("max_length %d is too small: the prompt of task %s takes %d tokens without its columns, the longest answer %d",
			o.MaxLength, t.Name, own, w.longestAnswer)
	}
	return w, nil
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

// encode gives the ids of a prompt with these values, with the token in front.
func (w *promptWriter) encode(values []string) []int32 {
	var ids []int32
	if bos, ok := w.tok.BOS(); ok {
		ids = append(ids, bos)
	}
	return append(ids, w.tok.Encode(w.template.render(values))...)
}

// write tokenizes one prompt, cut to fit. All values are cut to one common number of characters, the largest that
// fits: the longest values lose first. Characters rather than tokens, so that the prompt is tokenized as a whole.
func (w *promptWriter) write(values []string) prompt {
	ids := w.encode(values)
	if len(ids) <= w.room {
		return prompt{ids: ids}
	}
	p := prompt{overlong: len(ids) + w.longestAnswer}
	longest := 0
	for _, v := range values {
		longest = max(longest, utf8.RuneCountInString(v))
	}
	cut := make([]string, len(values))
	at := func(chars int) []int32 {
		for i, v := range values {
			cut[i] = shorten(v, chars, w.options.Overlong == TruncateLeft)
		}
		return w.encode(cut)
	}
	// Nothing of the values fits always (newPromptWriter); the search ends between a cut that fits and one that does not.
	p.ids = at(sort.Search(longest, func(n int) bool { return len(at(n+1)) > w.room }))
	return p
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
