package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// Task is a prompt and what should follow it: the answer of a class, or a text. It is built in ([LookupTask]) or a JSON
// file. A classification has these fields:
//
//	{
//	  "name": "sst2",
//	  "prompt": "{sentence} It was",
//	  "label_column": "label",
//	  "labels": [{"value": "0", "also": ["negative"], "answer": " bad"}, {"value": "1", "answer": " good"}],
//	  "columns": {"sentence": "text"},
//	  "min_chars": 0
//	}
//
// and the generation of a text these, or "messages" with the column of a conversation in place of prompt and completion:
//
//	{
//	  "name": "news",
//	  "kind": "generation",
//	  "prompt": "{article}\nSummary:",
//	  "completion": " {highlights}",
//	  "max_completion": 128
//	}
//
// What stands in braces names columns of the table; "{{" and "}}" stand for braces. An answer continues the prompt,
// so it begins with the space that stands between them; it may be several tokens long, and of another number of tokens
// with another tokenizer. A column that is called otherwise in the table is named in "columns": one name, or a list of those
// that it may have, the first that is there being taken.
type Task struct {
	Name   string `json:"name"`
	Kind   Kind   `json:"kind,omitempty"`   // "" is Classification
	Prompt string `json:"prompt,omitempty"` // template with {column} fields

	LabelColumn string  `json:"label_column,omitempty"` // classification: column that holds the label
	Labels      []Label `json:"labels,omitempty"`       // two or more; their order numbers the labels

	Completion    string `json:"completion,omitempty"`     // generation: template of the text to generate
	Messages      string `json:"messages,omitempty"`       // generation: column of conversations, instead of Prompt and Completion
	MaxCompletion int    `json:"max_completion,omitempty"` // generation: tokens of a completion, the end token included; 0 is a quarter of the length

	Columns  map[string]Spellings `json:"columns,omitempty"` // the table's names of columns, where they are others
	MinChars int                  `json:"min_chars"`         // training rows whose prompt's columns hold fewer characters together are skipped
}

// Kind says what a task wants of a model.
type Kind string

const (
	Classification Kind = "classification"
	Generation     Kind = "generation"
)

// Label is one class: what stands in the table, and what the model should say.
type Label struct {
	Value  string   `json:"value"`
	Also   []string `json:"also,omitempty"` // other spellings of Value
	Answer string   `json:"answer"`
}

// Spellings are the names that a column may have, in order of preference. In JSON, one name may stand alone.
type Spellings []string

// UnmarshalJSON reads a name or a list of them.
func (s *Spellings) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*s = Spellings{one}
		return nil
	}
	var many []string
	err := json.Unmarshal(raw, &many)
	*s = many
	return err
}

// BuiltinTasks are the names that [LookupTask] knows, sorted.
func BuiltinTasks() []string {
	var names []string
	for _, t := range builtin {
		names = append(names, t.Name)
	}
	return names
}

// maxTaskFile bounds a task file; a task is a few lines.
const maxTaskFile = 1 << 20

// LookupTask returns the built-in task of that name ([BuiltinTasks]), else reads the JSON file at that path. The
// task returned is valid.
func LookupTask(nameOrFile string) (Task, error) {
	for _, t := range builtin {
		if t.Name == nameOrFile {
			t.Labels, t.Columns = slices.Clone(t.Labels), maps.Clone(t.Columns)
			return t, nil
		}
	}
	f, err := os.Open(nameOrFile)
	if errors.Is(err, os.ErrNotExist) {
		return Task{}, fmt.Errorf("task %q: not built in (%s) and no such file: %w", nameOrFile, strings.Join(BuiltinTasks(), ", "), err)
	} else if err != nil {
		return Task{}, fmt.Errorf("task: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxTaskFile+1))
	switch {
	case err != nil:
		return Task{}, fmt.Errorf("task: %w", err)
	case len(content) > maxTaskFile:
		return Task{}, fmt.Errorf("%s: larger than %d bytes; not a task file", nameOrFile, maxTaskFile)
	case len(bytes.TrimSpace(content)) == 0:
		return Task{}, fmt.Errorf("%s: the task file is empty", nameOrFile)
	}
	t, err := ParseTask(content)
	if err != nil {
		return Task{}, fmt.Errorf("%s: %w", nameOrFile, err)
	}
	return t, nil
}

// ParseTask reads the JSON of a task. The task returned is valid.
func ParseTask(content []byte) (Task, error) {
	var t Task
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields() // a misspelt field would be a silent default
	if err := d.Decode(&t); err != nil {
		return Task{}, fmt.Errorf("offset %d: %w", d.InputOffset(), err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Task{}, fmt.Errorf("offset %d: something follows the task", d.InputOffset())
	}
	return t, t.Validate()
}
