package report

import (
	"fmt"
	"strings"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/plots"
)

// shownRows is how many of the judged rows are shown at most of each kind.
const shownRows = 4

func (b *builder) samples(f *findings) {
	b.section("samples", "Samples")
	switch {
	case f.unread != "":
		b.text("Held-out rows, activations and relations are not shown, since the data cannot be read: %s", f.unread)
		return
	case len(f.written) > 0:
		b.written(f.written)
		return
	case f.examples == nil || len(f.judged) == 0:
		return
	}
	header := []string{"line", "prompt", "right answer"}
	for _, m := range f.judged {
		header = append(header, m.name)
	}
	for _, kind := range f.kinds() {
		if len(kind.rows) == 0 {
			continue
		}
		var rows [][]string
		for _, i := range kind.rows[:min(shownRows, len(kind.rows))] {
			rows = append(rows, f.row(i))
		}
		b.prose(fmt.Sprintf("%s (%d of the first %d held-out rows)", kind.title, len(kind.rows), f.examples.Len()), header, rows)
	}
	b.text("Of each model its answer, ✓ right or ✗ wrong, and the log-probabilities of all answers behind the prompt.")
}

// written shows what the models write behind the first held-out prompts.
func (b *builder) written(samples []distill.Sample) {
	header := []string{"line", "prompt", "reference"}
	var names []string
	for _, name := range []string{distill.FullLabel, distill.BitNetLabel, distill.StudentLabel} {
		if _, ok := samples[0].Outputs[name]; ok {
			names = append(names, name)
		}
	}
	var rows [][]string
	for _, s := range samples {
		row := []string{fmt.Sprint(s.Line), s.Prompt, s.Reference}
		for _, name := range names {
			row = append(row, s.Outputs[name])
		}
		rows = append(rows, row)
	}
	b.prose("What the models write, greedily, behind held-out prompts", append(header, names...), rows)
	b.text("The first rows of samples.jsonl in the run folder.")
}

type kind struct {
	title string
	rows  []int
}

// kinds sorts the examples by who is right: the last model judged, which is the student once there is one, and the others.
func (f *findings) kinds() []kind {
	last := f.judged[len(f.judged)-1]
	kinds := []kind{{title: last.name + " is wrong"}, {title: last.name + " is right, another is wrong"}, {title: "All are right"}}
	for i := range f.examples.Len() {
		k := 2
		for _, m := range f.judged {
			if !f.right(m, i) {
				k = 1
			}
		}
		if !f.right(last, i) {
			k = 0
		}
		kinds[k].rows = append(kinds[k].rows, i)
	}
	if len(f.judged) == 1 {
		return []kind{kinds[0], kinds[2]}
	}
	return kinds
}

func (f *findings) right(m judged, i int) bool {
	return m.accuracy.Predictions[i] == f.examples.Label(i)
}

// row is an example with what each model says.
func (f *findings) row(i int) []string {
	cells := []string{fmt.Sprint(f.examples.Line(i)), f.texts[i], f.answer(f.examples.Label(i))}
	for _, m := range f.judged {
		mark := "✗"
		if f.right(m, i) {
			mark = "✓"
		}
		var scores []string
		for label, s := range m.accuracy.Scores[i] {
			scores = append(scores, fmt.Sprintf("%s\u00a0%.2f", f.answer(label), s))
		}
		cells = append(cells, fmt.Sprintf("%s\u00a0%s (%s)", mark, f.answer(m.accuracy.Predictions[i]), strings.Join(scores, ", ")))
	}
	return cells
}

func (f *findings) answer(label int) string {
	return strings.TrimSpace(f.examples.Task.Labels[label].Answer)
}

// seen draws what the sample makes of activations and relations.
func (b *builder) seen(r *Run, f *findings) {
	b.section("sample", "Activations and attention relations")
	if f.examples == nil {
		return
	}
	student := r.newest()
	if len(f.states) > 0 {
		b.text("Of line %d of %s, which is %d tokens: “%s”", f.examples.Line(f.sample), f.examples.File, len(f.examples.Prompt(f.sample)), f.texts[f.sample])
	}
	for _, a := range f.activations {
		b.charts(plots.ActivationHistogram(a).Resized(800, 340))
	}
	teachers, okT := f.states[distill.TeacherDir]
	students, okS := f.states[student]
	if !okT || !okS {
		return
	}
	settings := f.split(r.Config.Loss.Relations, student, distill.TeacherDir)
	n := len(f.examples.Prompt(f.sample))
	relations := make([]plots.Relation, 3)
	for i, name := range []string{"Q", "K", "V"} {
		relations[i] = plots.Relation{Name: name, Teacher: relation(teachers[i], n, settings), Student: relation(students[i], n, settings)}
	}
	b.charts(plots.Relations(fmt.Sprintf("Relations of layers.%d, mean of %d relation heads", f.layer, settings.SplitHeads), relations...))
}
