package data

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Generates reports whether the task is to generate text; else it is to classify.
func (t Task) Generates() bool { return t.Kind == Generation }

// CountedTokens is the largest number of tokens of a row of this many that a loss counts: those of a completion, or the one that a
// label's answer mostly is.
func (t Task) CountedTokens(length int) int {
	if t.Generates() {
		return t.maxCompletion(length)
	}
	return 1
}

// maxCompletion is the number of tokens kept for a completion in sequences of a length.
func (t Task) maxCompletion(length int) int {
	if t.MaxCompletion > 0 {
		return t.MaxCompletion
	}
	return max(2, length/4)
}

// Validate returns all faults at once, each with the field's JSON name.
func (t Task) Validate() error {
	f := &taskFaults{}
	f.check(t.Name != "", "name: missing")
	switch t.Kind {
	case "", Classification:
		f.template("prompt", t.Prompt)
		f.check(t.LabelColumn != "", "label_column: missing")
		f.labels(t.Labels)
		f.check(t.Completion == "" && t.Messages == "" && t.MaxCompletion == 0,
			"completion, messages, max_completion: belong to kind %q", Generation)
	case Generation:
		if t.Messages == "" {
			f.template("prompt", t.Prompt)
			f.template("completion", t.Completion)
		} else {
			f.check(t.Prompt == "" && t.Completion == "", "messages: takes the place of prompt and completion, which are given too")
		}
		f.check(t.LabelColumn == "" && len(t.Labels) == 0, "label_column, labels: belong to kind %q", Classification)
		f.check(t.MaxCompletion == 0 || t.MaxCompletion > 1, "max_completion: %d, want at least 2: a token and the end token", t.MaxCompletion)
	default:
		f.check(false, "kind: %q is neither %s nor %s", t.Kind, Classification, Generation)
	}
	f.columns(t)
	f.check(t.MinChars >= 0, "min_chars: %d is negative", t.MinChars)
	return errors.Join(f.all...)
}

type taskFaults struct{ all []error }

func (f *taskFaults) check(ok bool, format string, args ...any) {
	if !ok {
		f.all = append(f.all, fmt.Errorf(format, args...))
	}
}

func (f *taskFaults) template(field, text string) {
	f.check(text != "", "%s: missing", field)
	if text != "" {
		_, err := parseTemplate(text)
		f.check(err == nil, "%s: %w", field, err)
	}
}

func (f *taskFaults) labels(labels []Label) {
	f.check(len(labels) >= 2, "labels: %d given, a task has at least two", len(labels))
	values, answers := map[string]int{}, map[string]int{}
	for i, l := range labels {
		j, twice := answers[l.Answer]
		f.check(l.Answer != "", "labels[%d].answer: missing", i)
		f.check(l.Answer == "" || !twice, "labels[%d].answer: %q, the same as labels[%d].answer", i, l.Answer, j)
		answers[l.Answer] = i
		for _, value := range append([]string{l.Value}, l.Also...) {
			j, twice := values[value]
			f.check(!twice, "labels[%d].value: %q, the same as labels[%d].value", i, value, j)
			values[value] = i
		}
	}
}

// columns refuses other names for columns that the task does not use, which would change nothing.
func (f *taskFaults) columns(t Task) {
	used := t.columns()
	for _, name := range slices.Sorted(maps.Keys(t.Columns)) {
		f.check(slices.Contains(used, name), "columns: the task names no column %q; it names %q", name, used)
		f.check(len(t.Columns[name]) > 0 && !slices.Contains(t.Columns[name], ""), "columns.%s: a name is missing", name)
	}
}

// columns are the names of all columns that the task uses. A template that is wrong has none.
func (t Task) columns() []string {
	var names []string
	for _, text := range []string{t.Prompt, t.Completion} {
		if tpl, err := parseTemplate(text); err == nil {
			names = append(names, tpl.columns...)
		}
	}
	for _, name := range []string{t.LabelColumn, t.Messages} {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}
