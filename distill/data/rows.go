package data

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

// Unlabelled is the label of a row that has none.
const Unlabelled = -1

// TableFormats are the values of File.Format.
func TableFormats() []string {
	var names []string
	for extension := range tableFormats {
		names = append(names, extension[1:])
	}
	slices.Sort(names)
	return names
}

// IsTable reports whether a file's name is that of a table.
func IsTable(name string) bool {
	_, ok := tableFormats[tableExtension(name)]
	return ok
}

// Each hands on the rows of a table one after the other, to be classified: as [Task.Read] reads them, but that the label's column may be
// missing, in which case labels are Unlabelled, and that blank rows come too, without values. Nothing is kept: a table may be longer
// than memory. An error of row ends the reading.
func (t Task) Each(f File, row func(Row) error) error {
	if err := t.classification(); err != nil {
		return err
	}
	r := t.reader(f)
	r.unlabelled = true
	return readTable(f, &receiver{stream: true, choose: r.choose, row: func(line int, values []string) error {
		if err := r.row(line, values); err != nil {
			return err
		}
		next := Row{Line: line, Label: Unlabelled}
		if d := r.dataset; len(d.Rows) > 0 {
			next, d.Rows = d.Rows[0], d.Rows[:0]
		}
		return row(next)
	}})
}

// EachLine hands on the lines of a text, each a text to be classified, like Each. The prompt of the task has one column.
func (t Task) EachLine(f File, row func(Row) error) error {
	if err := t.OneText(); err != nil {
		return err
	}
	in, err := f.open()
	if err != nil {
		return err
	}
	defer in.Close()
	return allLines(in, f.Name, func(number int, line []byte) error {
		if !utf8.Valid(line) {
			return fmt.Errorf("%s:%d: the text is not UTF-8", f.Name, number)
		}
		return row(NewRow(number, string(line)))
	})
}

// NewRow is a text to be classified, or a row without values if it is blank.
func NewRow(line int, text string) Row {
	r := Row{Line: line, Label: Unlabelled}
	if values := []string{text}; !isBlank(values) {
		r.Values = trimmed(values)
	}
	return r
}

// OneText refuses tasks that do not classify a single text.
func (t Task) OneText() error {
	if err := t.classification(); err != nil {
		return err
	}
	if prompt, _ := parseTemplate(t.Prompt); len(prompt.columns) != 1 {
		return fmt.Errorf("task %s has a prompt of several columns (%s), so a text alone is not enough; name a table with them", t.Name, quotedList(prompt.columns, ", "))
	}
	return nil
}

func (t Task) classification() error {
	if err := t.Validate(); err != nil {
		return fmt.Errorf("task %q: %w", t.Name, err)
	}
	if t.Generates() {
		return fmt.Errorf("task %s writes text, and has no labels to choose from", t.Name)
	}
	return nil
}
