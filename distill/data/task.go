package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// Task is a classification task put as a prompt whose continuation is the answer. It is built in ([LookupTask]) or a
// JSON file with these fields:
//
//	{
//	  "name": "sst2",
//	  "prompt": "{sentence} It was",
//	  "label_column": "label",
//	  "labels": [{"value": "0", "answer": " bad"}, {"value": "1", "answer": " good"}],
//	  "min_chars": 0
//	}
//
// A prompt in braces names columns of the TSV file; "{{" and "}}" stand for braces. An answer continues the prompt,
// so it begins with the space that stands between them; it may be several tokens long, and of another number of tokens
// with another tokenizer.
type Task struct {
	Name        string  `json:"name"`
	Prompt      string  `json:"prompt"`       // template with {column} fields
	LabelColumn string  `json:"label_column"` // column that holds the label
	Labels      []Label `json:"labels"`       // two or more; their order numbers the labels
	MinChars    int     `json:"min_chars"`    // training rows whose columns hold fewer characters together are skipped
}

// Label is one class: what stands in the file, and what the model should say.
type Label struct {
	Value  string `json:"value"`
	Answer string `json:"answer"`
}

// builtin holds the tasks known by name, with words that are one token in the vocabularies of large models. The
// columns are those of the GLUE files.
var builtin = []Task{
	{
		Name:        "mnli",
		Prompt:      "{sentence1} Question: {sentence2} True, False or Neither? Answer:",
		LabelColumn: "gold_label",
		Labels:      []Label{{"entailment", " True"}, {"neutral", " Neither"}, {"contradiction", " False"}},
	},
	{
		Name:        "qnli",
		Prompt:      "{sentence} Question: {question} Does the text answer it? Answer:",
		LabelColumn: "label",
		Labels:      []Label{{"entailment", " yes"}, {"not_entailment", " no"}},
	},
	{
		Name:        "sst2",
		Prompt:      "{sentence} It was",
		LabelColumn: "label",
		Labels:      []Label{{"0", " bad"}, {"1", " good"}},
	},
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

// LookupTask returns the built-in task of that name (mnli, qnli, sst2), else reads the JSON file at that path. The
// task returned is valid.
func LookupTask(nameOrFile string) (Task, error) {
	for _, t := range builtin {
		if t.Name == nameOrFile {
			t.Labels = slices.Clone(t.Labels)
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
	t, err := parseTask(content)
	if err != nil {
		return Task{}, fmt.Errorf("%s: %w", nameOrFile, err)
	}
	return t, nil
}

func parseTask(content []byte) (Task, error) {
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

// Validate returns all faults at once, each with the field's JSON name.
func (t Task) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if t.Name == "" {
		fault("name: missing")
	}
	if _, err := parseTemplate(t.Prompt); t.Prompt == "" {
		fault("prompt: missing")
	} else if err != nil {
		fault("prompt: %w", err)
	}
	if t.LabelColumn == "" {
		fault("label_column: missing")
	}
	if len(t.Labels) < 2 {
		fault("labels: %d given, a task has at least two", len(t.Labels))
	}
	values, answers := map[string]int{}, map[string]int{}
	for i, l := range t.Labels {
		if l.Answer == "" {
			fault("labels[%d].answer: missing", i)
		} else if j, twice := answers[l.Answer]; twice {
			fault("labels[%d].answer: %q, the same as labels[%d].answer", i, l.Answer, j)
		}
		if j, twice := values[l.Value]; twice {
			fault("labels[%d].value: %q, the same as labels[%d].value", i, l.Value, j)
		}
		values[l.Value], answers[l.Answer] = i, i
	}
	if t.MinChars < 0 {
		fault("min_chars: %d is negative", t.MinChars)
	}
	return errors.Join(faults...)
}

// Dataset is the rows of a task file as text. It can be split and cut before it is tokenized.
type Dataset struct {
	File    string   // where the rows come from
	Columns []string // the prompt's columns, in order of first use
	Rows    []Row
}

// Row is one row of a task file.
type Row struct {
	Line   int      // line in the file; the header is 1
	Values []string // one per column of the dataset
	Label  int      // index into Task.Labels
}

// chars is the number of characters (code points) in the row's columns.
func (r Row) chars() int {
	n := 0
	for _, v := range r.Values {
		n += utf8.RuneCountInString(v)
	}
	return n
}

// Read reads a TSV file, packed with gzip or not: a header line with column names, fields split on tabs alone,
// no quoting. Columns that the task does not name are ignored. Errors name file, line and what is wrong: an empty or
// truncated file, no rows, a missing column, a row with another number of columns than the header, an unknown label.
func (t Task) Read(f File) (*Dataset, error) {
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("task %q: %w", t.Name, err)
	}
	table, err := readTSV(f)
	if err != nil {
		return nil, err
	}
	prompt, _ := parseTemplate(t.Prompt)
	at := make([]int, 0, len(prompt.columns))
	for _, column := range append(slices.Clone(prompt.columns), t.LabelColumn) {
		i := slices.Index(table.columns, column)
		if i < 0 {
			return nil, fmt.Errorf("%s: no column %q, which task %s needs; the header has %s", f.Name, column, t.Name, strings.Join(table.columns, ", "))
		}
		at = append(at, i)
	}
	labels := map[string]int{}
	for i, l := range t.Labels {
		labels[l.Value] = i
	}
	d := &Dataset{File: f.Name, Columns: prompt.columns, Rows: make([]Row, 0, len(table.rows))}
	for _, r := range table.rows {
		value := r.fields[at[len(prompt.columns)]]
		label, ok := labels[value]
		if !ok {
			return nil, fmt.Errorf("%s:%d: unknown label %q in column %q; task %s has %s", f.Name, r.line, value, t.LabelColumn, t.Name, t.values())
		}
		row := Row{Line: r.line, Label: label, Values: make([]string, len(prompt.columns))}
		for i := range row.Values {
			row.Values[i] = r.fields[at[i]]
		}
		d.Rows = append(d.Rows, row)
	}
	return d, nil
}

// values lists the labels for messages.
func (t Task) values() string {
	var quoted []string
	for _, l := range t.Labels {
		quoted = append(quoted, fmt.Sprintf("%q", l.Value))
	}
	return strings.Join(quoted, ", ")
}
