package data

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Dataset is the rows of a task file as text. It can be split and cut before it is tokenized.
type Dataset struct {
	File    string   // where the rows come from
	Columns []string // the prompt's columns, in order of first use; none where rows are conversations
	Rows    []Row
}

// Row is one row of a task file.
type Row struct {
	Line       int      // line in the file, the header being 1; in Parquet the number of the row, from 1
	Values     []string // one per column of the dataset, or per message in front of the answer
	Roles      []string // of the messages; nil where the prompt is a template
	Label      int      // index into Task.Labels
	Completion string   // of a generation: the text to generate
}

// chars is the number of characters (code points) in the row's columns.
func (r Row) chars() int {
	n := 0
	for _, v := range r.Values {
		n += utf8.RuneCountInString(v)
	}
	return n
}

// Read reads a table: TSV (split on tabs alone, no quoting), CSV, JSONL or Parquet, each also packed with gzip or Zstandard. The
// first line names the columns; those that the task does not name are ignored. Errors name file, line and what is wrong: an empty
// or truncated file, no rows, a missing column, a row with another number of columns than the header, an unknown label, an empty
// completion.
func (t Task) Read(f File) (*Dataset, error) {
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("task %q: %w", t.Name, err)
	}
	r := &taskReader{task: t, names: t.columns(), labels: map[string]int{}, dataset: &Dataset{File: f.Name}}
	for i, l := range t.Labels {
		for _, value := range append([]string{l.Value}, l.Also...) {
			r.labels[value] = i
		}
	}
	if t.Messages == "" {
		prompt, _ := parseTemplate(t.Prompt) // is valid
		r.dataset.Columns = prompt.columns
	}
	if t.Completion != "" {
		r.completion, _ = parseTemplate(t.Completion)
	}
	if err := readTable(f, &receiver{choose: r.choose, row: r.row}); err != nil {
		return nil, err
	}
	return r.dataset, nil
}

// taskReader turns the rows of a table into those of a task. Their values are in the order of names: the prompt's columns, then
// those of completion, label or messages.
type taskReader struct {
	task       Task
	names      []string
	labels     map[string]int
	completion template
	dataset    *Dataset
}

// choose finds the task's columns under one of the names that they may have.
func (r *taskReader) choose(columns []string) ([]field, error) {
	var fields []field
	for _, name := range r.names {
		spellings := r.task.Columns[name]
		if len(spellings) == 0 {
			spellings = Spellings{name}
		}
		at := -1
		for _, s := range spellings {
			if at = slices.Index(columns, s); at >= 0 {
				break
			}
		}
		if at < 0 {
			return nil, fmt.Errorf("%s: no column %s, which task %s needs; the header has %s. A task file says which one it is: \"columns\": {%q: …}",
				r.dataset.File, quotedList(spellings, " or "), r.task.Name, strings.Join(columns, ", "), name)
		}
		fields = append(fields, field{column: at, nested: name == r.task.Messages})
	}
	return fields, nil
}

func (r *taskReader) row(line int, values []string) error {
	n := len(r.dataset.Columns)
	row := Row{Line: line, Values: values[:n:n]}
	var err error
	switch rest := values[n:]; {
	case r.task.Messages != "":
		row.Roles, row.Values, row.Completion, err = conversation(values[0])
		if err != nil {
			err = fmt.Errorf("%q %w", r.task.Messages, err)
		}
	case r.task.Generates():
		row.Completion = r.completion.render(rest)
	default:
		for i, v := range row.Values { // GLUE's sentences end with a space; texts to be classified do not
			row.Values[i] = strings.TrimSpace(v)
		}
		var ok bool
		if row.Label, ok = r.labels[rest[0]]; !ok {
			err = fmt.Errorf("unknown label %q in column %q; task %s has %s", rest[0], r.task.LabelColumn, r.task.Name, r.task.values())
		}
	}
	if err == nil && r.task.Generates() && strings.TrimSpace(row.Completion) == "" {
		err = errors.New("the completion is empty; a model would learn to say nothing. Take the row out")
	}
	if err != nil {
		return fmt.Errorf("%s:%d: %w", r.dataset.File, line, err)
	}
	r.dataset.Rows = append(r.dataset.Rows, row)
	return nil
}

// values lists the labels for messages.
func (t Task) values() string {
	var values []string
	for _, l := range t.Labels {
		values = append(values, l.Value)
	}
	return quotedList(values, ", ")
}

func quotedList(texts []string, between string) string {
	var quoted []string
	for _, text := range texts {
		quoted = append(quoted, fmt.Sprintf("%q", text))
	}
	return strings.Join(quoted, between)
}
