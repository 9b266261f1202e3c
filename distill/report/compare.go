package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/plots"
)

// Compare sets runs, two or more, side by side: their results, the settings in which they differ, and their losses.
func Compare(runs ...*Run) (*plots.Page, error) {
	names := distinct(runs)
	b := &builder{title: fmt.Sprintf("%d runs", len(runs)), from: strings.Join(names, ", ")}
	b.text("Runs: %s", strings.Join(names, ", "))
	b.compareResults(runs, names)
	b.compareSettings(runs, names)
	b.compareLosses(runs, names)
	return b.page()
}

// distinct are the runs' folders, by their base names where these tell them apart.
func distinct(runs []*Run) []string {
	count := map[string]int{}
	for _, r := range runs {
		count[r.name()]++
	}
	names := make([]string, len(runs))
	for i, r := range runs {
		if names[i] = r.name(); count[names[i]] > 1 {
			names[i] = r.Dir
		}
	}
	return names
}

// results are rows of a table.
type results struct {
	header []string
	rows   [][]string
}

func (b *builder) compareResults(runs []*Run, names []string) {
	b.section("results", "Results")
	var perplexities [][]string
	var accurate, generated results // classifications and generations have other columns
	byModel := map[string][]plots.Bar{}
	var models []string
	for i, r := range runs {
		if r.Results == nil {
			b.text("%s: %s.", names[i], r.state())
		} else {
			table := &accurate
			if r.generation() {
				table = &generated
			}
			table.header = r.resultHeader()
			for k, cells := range r.resultRows() {
				row := r.Results.Rows[k]
				table.rows = append(table.rows, append([]string{names[i]}, cells...))
				if row.Perplexity > 0 {
					continue // is in the table
				}
				if byModel[row.Name] == nil {
					models = append(models, row.Name)
				}
				byModel[row.Name] = append(byModel[row.Name], plots.Bar{Name: names[i], Value: row.Accuracy, Err: row.Stderr})
			}
		}
		if s := r.Stage2; s != nil {
			perplexities = append(perplexities, []string{names[i], number(s.PerplexityBefore), number(s.PerplexityAfter)})
		}
	}
	for _, table := range []results{accurate, generated} {
		if len(table.rows) > 0 {
			b.table("On held-out data", append([]string{"run"}, table.header...), table.rows)
		}
	}
	if len(perplexities) > 0 {
		b.table("Stage 2: perplexity on text set aside", []string{"run", "before", "after"}, perplexities)
	}
	for _, m := range models {
		if m == distill.StudentLabel && byModel[m][0].Name == names[0] {
			b.charts(ablation(byModel[m]))
			continue
		}
		b.charts(plots.Accuracy("Accuracy of "+m, byModel[m]...).Resized(800, 340))
	}
}

// ablation draws the student's accuracies in all runs beside that in the first one.
func ablation(accuracies []plots.Bar) *plots.Chart {
	percent := make([]plots.Bar, len(accuracies))
	for i, a := range accuracies {
		percent[i] = plots.Bar{Name: a.Name, Value: 100 * a.Value, Err: 100 * a.Err}
	}
	return plots.Ablation("Accuracy of "+distill.StudentLabel+", compared with the first run", "accuracy, % (± standard error)", percent...)
}

func (b *builder) compareSettings(runs []*Run, names []string) {
	b.section("settings", "Settings")
	first := runs[0].Config
	values := map[string][]string{} // of the settings in which any differs from the first
	for i, r := range runs {
		for _, d := range first.Differences(r.Config) {
			if values[d.Setting] == nil {
				values[d.Setting] = slices.Repeat([]string{cmp.Or(d.This, "–")}, len(runs))
			}
			values[d.Setting][i] = cmp.Or(d.Other, "–")
		}
	}
	if len(values) == 0 {
		b.text("All settings are the same.")
		return
	}
	var rows [][]string
	for _, setting := range slices.Sorted(maps.Keys(values)) {
		rows = append(rows, append([]string{setting}, values[setting]...))
	}
	b.table("What differs", append([]string{"setting"}, names...), rows)
}

func (b *builder) compareLosses(runs []*Run, names []string) {
	b.section("losses", "Losses")
	curves := map[string][]plots.Curve{}
	var stages []string
	for i, r := range runs {
		for _, stage := range r.stages() {
			if curves[stage] == nil {
				stages = append(stages, stage)
			}
			curves[stage] = append(curves[stage], curve(names[i], r.of(stage), total))
		}
	}
	for _, stage := range stages {
		title, unit := "Loss of "+stage, whatIsLost(stage)
		if stage == distill.Stage3Label {
			title, unit = title+" (total, each with its own weights)", ""
			b.charts(plots.Loss("Cross entropy of "+stage, "nats per answer token", termOf(runs, names, stage, func(s distill.Step) float64 { return s.CE })...).Resized(800, 340))
		}
		b.charts(plots.Loss(title, unit, curves[stage]...).Resized(800, 340))
	}
}

// termOf is one term of a stage's loss in each of the runs that have the stage.
func termOf(runs []*Run, names []string, stage string, value func(distill.Step) float64) []plots.Curve {
	var all []plots.Curve
	for i, r := range runs {
		if steps := r.of(stage); len(steps) > 0 {
			all = append(all, curve(names[i], steps, value))
		}
	}
	return all
}
