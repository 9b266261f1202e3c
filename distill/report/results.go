package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/plots"
)

// state tells how far the run has come.
func (r *Run) state() string {
	var there []string
	for _, name := range []string{distill.TeacherDir, distill.FullDir, distill.BitNetDir, distill.Stage1Dir, distill.Stage2Dir, distill.StudentDir} {
		if r.models[name] {
			there = append(there, name)
		}
	}
	models := "no model is finished"
	if len(there) > 0 {
		models = "finished: " + strings.Join(there, ", ")
	}
	if r.Results == nil {
		return "not evaluated yet; " + models
	}
	return fmt.Sprintf("evaluated at %s; %s", r.Results.Environment.Time.Format("2006-01-02 15:04 UTC"), models)
}

// resultHeader names the columns of resultRows.
func (r *Run) resultHeader() []string {
	measures := []string{"accuracy, %"}
	if r.generation() {
		measures = append([]string{"perplexity"}, distill.OverlapColumns...)
	}
	return slices.Concat([]string{"model"}, measures, []string{"linears", "whole model", "training, tokens/s", "training, s"})
}

// generation reports whether the results are those of a task that generates text.
func (r *Run) generation() bool {
	return r.Results != nil && len(r.Results.Rows) > 0 && r.Results.Rows[0].Perplexity > 0
}

// resultRows are the models compared, in the columns of resultHeader.
func (r *Run) resultRows() [][]string {
	var rows [][]string
	if r.Results == nil {
		return nil
	}
	var full distill.Row
	for _, row := range r.Results.Rows {
		if row.Name == distill.FullLabel {
			full = row
		}
	}
	for _, row := range r.Results.Rows {
		result := []string{fmt.Sprintf("%.2f ± %.2f", 100*row.Accuracy, 100*row.Stderr)}
		if row.Perplexity > 0 {
			result = append([]string{fmt.Sprintf("%.3f", row.Perplexity)}, row.Overlap.Cells()...)
		}
		rows = append(rows, slices.Concat([]string{row.Name}, result, []string{
			sizeWithRatio(row.LinearBytes, full.LinearBytes),
			sizeWithRatio(row.ModelBytes, full.ModelBytes), fmt.Sprintf("%.0f", row.TrainTokensPer), fmt.Sprintf("%.0f", row.Seconds),
		}))
	}
	return rows
}

// compared tells what BLEU and ROUGE were measured on.
func (r *Run) compared() string {
	o := r.Results.Rows[0].Overlap
	if o == nil {
		return "The results are of a version that did not generate text."
	}
	return fmt.Sprintf("BLEU and ROUGE (F measures) from 0 to 100, of what the models write greedily behind %d of the prompts.", o.Generated)
}

// heldOut tells what the accuracies were measured on.
func (r *Run) heldOut() string {
	n := 0
	for _, row := range r.Results.Rows {
		n = max(n, row.N)
	}
	return fmt.Sprintf("On %d held-out examples", n)
}

// sizeWithRatio is a size, and how often it is in that of the full-precision model.
func sizeWithRatio(bytes, full int64) string {
	if bytes <= 0 || full <= 0 || bytes == full {
		return sizeText(bytes)
	}
	return fmt.Sprintf("%s (1/%.1f)", sizeText(bytes), float64(full)/float64(bytes))
}

func (b *builder) results(r *Run) {
	b.section("results", "Results")
	if r.Results != nil {
		b.table(r.heldOut(), r.resultHeader(), r.resultRows())
		measured := "Accuracy with its standard error."
		if r.generation() {
			measured = "Perplexity of the completions, each token given those before it. " + r.compared()
		}
		b.text("%s Sizes at 2 bits a ternary weight and 4 bytes a scale, all else at 16 bits; in brackets, compared with the full-precision model. Seconds of BitDistill are those of stages 2 and 3.", measured)
	}
	if s := r.Stage2; s != nil {
		b.table("Stage 2: perplexity on text set aside", []string{"before", "after"}, [][]string{{number(s.PerplexityBefore), number(s.PerplexityAfter)}})
	}
	if r.Results == nil {
		return
	}
	var accuracies []plots.Bar
	var models, linears []int64
	for _, row := range r.Results.Rows {
		accuracies = append(accuracies, plots.Bar{Name: row.Name, Value: row.Accuracy, Err: row.Stderr})
		models, linears = append(models, row.ModelBytes), append(linears, row.LinearBytes)
	}
	chart := plots.Accuracy("Accuracy on held-out data", accuracies...)
	if r.generation() {
		for i, row := range r.Results.Rows {
			accuracies[i].Value = row.Perplexity
		}
		chart = plots.Bars("Perplexity of held-out completions", "perplexity", accuracies...)
	}
	b.charts(chart)
	b.charts(speeds(r.Results.Rows)...)
	b.charts(sizes("Memory of the linears", accuracies, linears),
		sizes("Memory of the whole model", accuracies, models))
}

// speeds draws how fast the models were trained that this run has trained.
func speeds(rows []distill.Row) []*plots.Chart {
	var bars []plots.Bar
	for _, row := range rows {
		if row.TrainTokensPer > 0 {
			bars = append(bars, plots.Bar{Name: row.Name, Value: row.TrainTokensPer})
		}
	}
	if len(bars) == 0 {
		return nil
	}
	return []*plots.Chart{plots.Speed("Training speed", bars...).Resized(800, 320)}
}

// sizes draws bytes in the decimal unit that the table has.
func sizes(title string, names []plots.Bar, bytes []int64) *plots.Chart {
	unit, name := 1.0, "bytes"
	for _, u := range []string{"kB", "MB", "GB"} {
		if len(bytes) > 0 && float64(slices.Max(bytes)) >= 1000*unit {
			unit, name = 1000*unit, u
		}
	}
	bars := make([]plots.Bar, len(bytes))
	for i, n := range bytes {
		bars[i] = plots.Bar{Name: names[i].Name, Value: float64(n) / unit}
	}
	return plots.Bars(title, "memory, "+name, bars...).Resized(800, 320)
}

func (b *builder) settings(r *Run) {
	b.section("settings", "Settings")
	if preset, err := distill.Preset(r.Config.Preset); err != nil {
		b.text("The run names no preset that is known.")
	} else if changed := preset.Differences(r.Config); len(changed) == 0 {
		b.text("All settings are those of the preset %q.", r.Config.Preset)
	} else {
		var rows [][]string
		for _, d := range changed {
			rows = append(rows, []string{d.Setting, cmp.Or(d.This, "–"), cmp.Or(d.Other, "–")})
		}
		b.table(fmt.Sprintf("What differs from the preset %q", r.Config.Preset), []string{"setting", "preset", "this run"}, rows)
	}
	raw, err := json.MarshalIndent(r.Config, "", "  ")
	if err != nil && b.err == nil {
		b.err = fmt.Errorf("%s: %w", r.path("config.json"), err)
	}
	b.fold("All settings", string(raw))
}

func (b *builder) environment(r *Run) {
	b.section("environment", "Environment")
	if r.Results == nil {
		return
	}
	e := r.Results.Environment
	rows := [][]string{
		{"time", e.Time.Format("2006-01-02 15:04:05 UTC")}, {"backend", e.Backend}, {"bitdistill", e.Version}, {"Go", e.Go},
		{"system", e.OS + "/" + e.Arch}, {"cores", fmt.Sprint(e.Cores)}, {"SIMD kernels", fmt.Sprint(e.SIMD)},
	}
	for _, path := range slices.Sorted(maps.Keys(e.Modules)) {
		rows = append(rows, []string{path, cmp.Or(e.Modules[path], "–")})
	}
	b.table("Of the evaluation", []string{"", ""}, rows)
	if path, err := filepath.Abs(r.Dir); err == nil {
		b.text("Run folder: %s", path)
	}
}
