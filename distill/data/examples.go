package data

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
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
	Truncate       Overlong = "truncate"        // cut the end of the columns' values; the default
	TruncatePrompt Overlong = "truncate-prompt" // another name of Truncate: completions and answers are never cut to be trained on
	TruncateLeft   Overlong = "truncate-left"   // cut their beginning
	Drop           Overlong = "drop"            // leave the row out; in an evaluation that changes what is measured
	Fail           Overlong = "fail"            // refuse the file
)

// Overlongs are all of them.
var Overlongs = []Overlong{Truncate, TruncatePrompt, TruncateLeft, Drop, Fail}

// TokenizeOptions says how rows become token ids.
type TokenizeOptions struct {
	MaxLength int                   // tokens of prompt and longest answer together, with the token in front
	Overlong  Overlong              // "" is Truncate
	Training  bool                  // Task.MinChars applies, and completions that are too long are left out
	Progress  func(done, total int) // rows so far; may be nil

	// Chat is how the model reads conversations, for tasks of messages. nil is PlainChat, with a space in front of the answer.
	Chat *Chat
}

// Chat is a model's chat template.
type Chat struct {
	// Prompt renders the messages in front of an answer, up to where the answer begins, with the token in front of a text, if the
	// model has one. It is called by several goroutines at once, and ends when ctx does.
	Prompt func(ctx context.Context, messages []Message) (string, error)
	End    int32 // the token behind an answer, which is learned like the others; -1 is the tokenizer's EOS
}

// Examples is a tokenized dataset: for every row its prompt, and either the number of its label, with the answers once for all
// rows, or its completion. A sequence is prompt + answer, or prompt + completion.
type Examples struct {
	Task    Task
	File    string
	Answers [][]int32 // token ids of each label's answer, one or more; none in a generation
	Counts  ExampleCounts

	pad     int32
	end     int32   // of completions
	ids     []int32 // prompts end to end
	ends    []int   // ids[ends[i-1]:ends[i]] is prompt i
	labels  []int32
	lines   []int32
	width   int // tokens of the longest answer or completion
	longest int // tokens of the longest sequence
	limit   int // TokenizeOptions.MaxLength

	completions    []int32 // of a generation, end to end
	completionEnds []int
	references     []string // texts of the completions; kept for evaluations
}

// ExampleCounts tells what became of the rows of a file.
type ExampleCounts struct {
	Rows      int `json:"rows"`            // in the file
	Short     int `json:"short"`           // skipped for Task.MinChars
	Truncated int `json:"truncated"`       // cut to fit
	Dropped   int `json:"dropped"`         // left out because too long
	Examples  int `json:"examples"`        // what is left
	Tokens    int `json:"tokens"`          // of all prompts, with the token in front
	Blank     int `json:"blank,omitempty"` // rows beside these that Task.Read left out

	CompletionTokens int `json:"completion_tokens,omitempty"` // of all completions, with the end token
	LongCompletions  int `json:"long_completions,omitempty"`  // rows left out because the completion is over Task.MaxCompletion
	CutCompletions   int `json:"cut_completions,omitempty"`   // of an evaluation: cut where a loss is computed, not in the reference
}

func (c ExampleCounts) String() string {
	text := fmt.Sprintf("%d of %d rows (%d too short, %d too long and dropped), %d cut to fit, %d prompt tokens",
		c.Examples, c.Rows, c.Short, c.Dropped, c.Truncated, c.Tokens)
	if c.CompletionTokens > 0 {
		text += fmt.Sprintf(", %d completion tokens (%d completions too long and dropped, %d cut)", c.CompletionTokens, c.LongCompletions, c.CutCompletions)
	}
	if c.Blank > 0 {
		text += fmt.Sprintf("; %d more are blank and left out", c.Blank)
	}
	return text
}

// Load reads and tokenizes a table: [Task.Read], then [Task.Tokenize].
func (t Task) Load(ctx context.Context, path string, tok Tokenizer, o TokenizeOptions) (*Examples, error) {
	d, err := t.Read(OnDisk(path))
	if err != nil {
		return nil, err
	}
	return t.Tokenize(ctx, d, tok, o)
}

// Check finds what Tokenize would refuse whatever the rows are: answers that the tokenizer cannot tell apart, a length that leaves
// no room, a generation without an end token.
func (t Task) Check(tok Tokenizer, o TokenizeOptions) error {
	if err := t.Validate(); err != nil {
		return fmt.Errorf("task %q: %w", t.Name, err)
	}
	_, err := newPromptWriter(t, tok, o)
	return err
}

// Tokenize makes examples of the rows, in their order. A sequence is the token in front (if there is one), the ids of
// the rendered prompt, then those of an answer. A prompt that does not fit is cut inside its columns' values, the
// longest first, so that the text around them always survives. Answers are tokenized behind a prompt, since some
// tokenizers encode the first word of a text differently.
//
// A completion ends with the end-of-text token, or in a conversation the one of its [Chat], which is learned like the others. Task.MaxCompletion tokens are kept free for it,
// whatever its length, so that prompts are cut alike in training and evaluation. A longer one is left out of training, since what
// is cut does not end; in an evaluation its first tokens stay.
//
// Errors: an answer without tokens or with those of another, an answer that melts into the prompt's end, a prompt
// whose own text does not fit, a tokenizer without an end token, a row too long under Fail, nothing left, ctx done.
func (t Task) Tokenize(ctx context.Context, d *Dataset, tok Tokenizer, o TokenizeOptions) (*Examples, error) {
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("task %q: %w", t.Name, err)
	}
	if o.Overlong != "" && !slices.Contains(Overlongs, o.Overlong) {
		return nil, fmt.Errorf("overlong: %q is none of %v", o.Overlong, Overlongs)
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
	e := &Examples{Task: t, File: d.File, Answers: w.answers, pad: tok.Pad(), end: w.end, limit: o.MaxLength}
	for _, a := range w.answers {
		e.width = max(e.width, len(a))
	}
	e.longest = e.width
	e.Counts.Rows, e.Counts.Short = len(d.Rows), len(d.Rows)-len(rows)
	e.Counts.Blank = d.Blank
	done := 0
	for block := range slices.Chunk(rows, 1024) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		prompts := make([]prompt, len(block))
		parallel(len(block), func(i int) { prompts[i] = w.write(ctx, block[i]) })
		for i, p := range prompts {
			if err := e.add(block[i], p, w); err != nil {
				return nil, err
			}
		}
		done += len(block)
		if o.Progress != nil {
			o.Progress(done, len(rows))
		}
	}
	if e.Len() == 0 {
		return nil, e.noneLeft()
	}
	return e, nil
}

// noneLeft says where all rows went, and what to do about it.
func (e *Examples) noneLeft() error {
	c := e.Counts
	var reasons, remedies []string
	for _, r := range []struct {
		n              int
		reason, remedy string
	}{
		{c.Short, fmt.Sprintf("%d under min_chars (%d)", c.Short, e.Task.MinChars), "lower the task's min_chars"},
		{c.Dropped, fmt.Sprintf("%d over max_length (%d tokens)", c.Dropped, e.limit), "raise max_length"},
		{c.LongCompletions, fmt.Sprintf("%d completions over max_completion (%d tokens)", c.LongCompletions, e.MaxCompletion()), "raise the task's max_completion"},
	} {
		if r.n > 0 {
			reasons, remedies = append(reasons, r.reason), append(remedies, r.remedy)
		}
	}
	if len(reasons) == 0 {
		return fmt.Errorf("%s: no rows", e.File)
	}
	return fmt.Errorf("%s: none of %d rows is left: %s; %s", e.File, c.Rows, strings.Join(reasons, ", "), strings.Join(remedies, ", or "))
}

// add appends one row under the policy for long ones.
func (e *Examples) add(r Row, p prompt, w *promptWriter) error {
	o := w.options
	switch {
	case p.err != nil:
		return fmt.Errorf("%s:%d: %w", e.File, r.Line, p.err)
	case p.overlong > 0 && o.Overlong == Fail:
		return fmt.Errorf("%s:%d: prompt and answer take %d tokens, max_length is %d", e.File, r.Line, p.overlong, o.MaxLength)
	case p.overlong > 0 && (o.Overlong == Drop || p.stuck):
		e.Counts.Dropped++
		return nil
	case len(p.ids) == 0:
		return fmt.Errorf("%s:%d: the prompt is empty, so nothing can predict the answer; give the prompt words of its own", e.File, r.Line)
	}
	if n := len(p.completion); n > w.reserved {
		if o.Overlong == Fail {
			return fmt.Errorf("%s:%d: the completion takes %d tokens, max_completion is %d; raise it in the task, with max_length", e.File, r.Line, n, w.reserved)
		}
		if o.Training || o.Overlong == Drop {
			e.Counts.LongCompletions++
			return nil
		}
		e.Counts.CutCompletions++
		p.completion = p.completion[:w.reserved]
	}
	if p.overlong > 0 {
		e.Counts.Truncated++
	}
	e.append(r, p, o)
	return nil
}

// append takes a row's tokens.
func (e *Examples) append(r Row, p prompt, o TokenizeOptions) {
	e.ids = append(e.ids, p.ids...)
	e.ends = append(e.ends, len(e.ids))
	e.labels = append(e.labels, int32(r.Label))
	e.lines = append(e.lines, int32(r.Line))
	e.Counts.Examples++
	e.Counts.Tokens += len(p.ids)
	if e.Task.Generates() {
		e.completions = append(e.completions, p.completion...)
		e.completionEnds = append(e.completionEnds, len(e.completions))
		e.Counts.CompletionTokens += len(p.completion)
		e.width = max(e.width, len(p.completion))
		if !o.Training {
			e.references = append(e.references, strings.TrimSpace(r.Completion))
		}
		e.longest = max(e.longest, len(p.ids)+len(p.completion))
	}
	for _, a := range e.Answers {
		e.longest = max(e.longest, len(p.ids)+len(a))
	}
}

// Len is the number of examples.
func (e *Examples) Len() int { return len(e.labels) }

// Prompt is the token ids of prompt i, with the token in front. The caller leaves them as they are.
func (e *Examples) Prompt(i int) []int32 { return listAt(e.ids, e.ends, i) }

// Answer is the token ids that belong behind prompt i: the answer of its label, or its completion with the end token.
func (e *Examples) Answer(i int) []int32 {
	if e.Task.Generates() {
		return listAt(e.completions, e.completionEnds, i)
	}
	return e.Answers[e.labels[i]]
}

// End is the token that every completion of a generation ends with, where generating stops. A classification has none.
func (e *Examples) End() (id int32, ok bool) { return e.end, e.Task.Generates() }

// Reference is the text that a generation for prompt i is compared with, without white space around it. Only examples for an
// evaluation have it.
func (e *Examples) Reference(i int) string { return e.references[i] }

// MaxCompletion is the number of tokens that are kept for a completion, its end token counted; 0 for a classification.
func (e *Examples) MaxCompletion() int {
	if !e.Task.Generates() {
		return 0
	}
	return e.Task.maxCompletion(e.limit)
}

// listAt is list i of those that stand end to end.
func listAt(ids []int32, ends []int, i int) []int32 {
	start := 0
	if i > 0 {
		start = ends[i-1]
	}
	return ids[start:ends[i]:ends[i]]
}

// Label is the right label of example i, an index into Answers and Task.Labels, or Unlabelled.
func (e *Examples) Label(i int) int { return int(e.labels[i]) }

// Line is the line of example i in its file.
func (e *Examples) Line(i int) int { return int(e.lines[i]) }

// Longest is the length in tokens of the longest prompt with the longest answer.
func (e *Examples) Longest() int { return e.longest }

// SingleToken reports whether every answer is one token, so that one row of logits decides between the labels.
func (e *Examples) SingleToken() bool {
	return !e.Task.Generates() && !slices.ContainsFunc(e.Answers, func(a []int32) bool { return len(a) != 1 })
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
		if e.Task.Generates() {
			put(int64(len(e.Answer(i))))
			put(e.Answer(i))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
