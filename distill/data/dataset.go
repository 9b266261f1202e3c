package data

import (
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

	Blank      int // rows that Read left out, since there is nothing to classify or to say in them
	FirstBlank int // line of the first of them
}

// BlankNote says which rows Read left out, "" for none.
func (d *Dataset) BlankNote() string {
	if d.Blank == 0 {
		return ""
	}
	return fmt.Sprintf("%d blank rows left out, the first in line %d", d.Blank, d.FirstBlank)
}

// Row is one row of a task file.
type Row struct {
	Line       int      // line in the file, the header being 1; in Parquet the number of the row, from 1
	Values     []string // one per column of the dataset, or per message in front of the answer
	Roles      []string // of the messages; nil where the prompt is a template
	Label      int      // index into Task.Labels, or Unlabelled
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
// or truncated file, no rows, a missing column, a row with another number of columns than the header, an unknown label, which one that
// is missing is too.
//
// Rows whose columns are all blank, in a generation those of the completion or the answer of the conversation, are left out and
// counted. It is an error if no other is left.
func (t Task) Read(f File) (*Dataset, error) {
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("task %q: %w", t.Name, err)
	}
	r := t.reader(f)
	if err := readTable(f, &receiver{choose: r.choose, row: r.row}); err != nil {
		return nil, err
	}
	if d := r.dataset; len(d.Rows) == 0 {
		return nil, fmt.Errorf("%s:%d: %s empty, here and in all other rows (%d in all); name the right column, or another file", d.File, d.FirstBlank, t.blank(), d.Blank)
	}
	return r.dataset, nil
}

// reader reads rows into a dataset. The task is valid.
func (t Task) reader(f File) *taskReader {
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
	return r
}

// blank says what is missing in a row that is left out.
func (t Task) blank() string {
	switch {
	case t.Messages != "":
		return "the answer is"
	case t.Generates():
		return "the completion is"
	}
	return "the text is"
}

// isBlank reports whether none of the values has anything but white space.
func isBlank(values []string) bool {
	return !slices.ContainsFunc(values, func(v string) bool { return strings.TrimSpace(v) != "" })
}

// trimmed takes white space off around values: GLUE's sentences end with a space; texts to be classified do not.
func trimmed(values []string) []string {
	for i, v := range values {
		values[i] = strings.TrimSpace(v)
	}
	return values
}

// taskReader turns the rows of a table into those of a task. Their values are in the order of names: the prompt's columns, then
// those of completion, label or messages.
type taskReader struct {
	task       Task
	names      []string
	labels     map[string]int
	completion template
	dataset    *Dataset

	unlabelled bool // the label's column may be missing
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
		if at < 0 && r.unlabelled && name == r.task.LabelColumn && len(fields) == len(r.dataset.Columns) { // the last of the names
			return fields, nil
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
	blank := false
	switch rest := values[n:]; {
	case r.task.Messages != "":
		row.Roles, row.Values, row.Completion, err = conversation(values[0])
		if err != nil {
			err = fmt.Errorf("%q %w", r.task.Messages, err)
		}
		blank = isBlank([]string{row.Completion})
	case r.task.Generates():
		row.Completion = r.completion.render(rest)
		blank = isBlank(rest)
	case isBlank(row.Values):
		blank = true
	default:
		row.Values = trimmed(row.Values)
		var ok bool
		if len(rest) == 0 {
			row.Label = Unlabelled
		} else if row.Label, ok = r.labels[rest[0]]; !ok {
			err = fmt.Errorf("unknown label %q in column %q; task %s has %s", rest[0], r.task.LabelColumn, r.task.Name, r.task.values())
		}
	}
	switch d := r.dataset; {
	case err != nil:
		return fmt.Errorf("%s:%d: %w", d.File, line, err)
	case blank:
		if d.Blank++; d.Blank == 1 {
			d.FirstBlank = line
		}
	default:
		d.Rows = append(d.Rows, row)
	}
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
