package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// writeBench writes a report in the format.
func (c *cli) writeBench(format string, b benchReport) error {
	if format == "json" {
		return c.writeJSON(b, "  ")
	}
	var text strings.Builder
	head := b.Rows[0]
	what := fmt.Sprintf("%s of %s, %d blocks, %d x %d tokens", head.Test, head.Shape, head.Layers, head.Batch, head.Length)
	if head.Every {
		what += ", logits of all positions distilled"
	}
	fmt.Fprintf(&text, "%s: %d repetitions of %d steps\n%s, %d threads\n\n", what, b.Repetitions, b.Steps, cmp.Or(b.CPU, "unknown processor"), b.Threads)
	header, rows := b.table()
	if format == "md" {
		writeMarkdown(&text, header, rows)
	} else {
		writeAligned(&text, header, rows)
	}
	for _, r := range b.Rows {
		if r.Problem != "" {
			fmt.Fprintf(&text, "\n%s was not measured: %s\n", r.Engine, r.Problem)
		}
	}
	_, err := io.WriteString(c.out, text.String())
	return err
}

// table is the figures as text; columns that no row has are left out.
func (b *benchReport) table() (header []string, rows [][]string) {
	header = []string{"engine", "tokens/s", "s/step", "MB", "compile s", "MFU", "f32 GFLOP/s", "bf16 GFLOP/s", "compilations", "outside"}
	if len(b.Rows) > 1 {
		header = append(header, "ours/this", "MB ours/this")
	}
	for _, r := range b.Rows {
		if r.Problem != "" {
			continue
		}
		row := []string{
			r.Engine, fmt.Sprintf("%.1f ± %.1f", r.TokensPerS, r.SD), fmt.Sprintf("%.3g", r.SecondsPerStep), known("%.0f", r.RSSMB),
			fmt.Sprintf("%.1f", r.CompileS), fmt.Sprintf("%.1f %%", 100*r.MFU), fmt.Sprintf("%.0f", r.PeakF32), known("%.0f", r.PeakBF16),
			known("%.0f", float64(r.Compilations)), "-",
		}
		if r.Outside != nil {
			row[len(row)-1] = fmt.Sprintf("%.1f %%", 100**r.Outside)
		}
		if len(b.Rows) > 1 {
			ratio := "-"
			if r.Ratio > 0 {
				ratio = fmt.Sprintf("%.2f ± %.2f", r.Ratio, r.RatioSD)
			}
			row = append(row, ratio, known("%.2f", r.RSSRatio))
		}
		rows = append(rows, row)
	}
	return header, rows
}

// known is a number, or a dash where it is not known.
func known(format string, x float64) string {
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf(format, x)
}

func writeMarkdown(w io.Writer, header []string, rows [][]string) {
	line := func(cells []string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }
	line(header)
	fmt.Fprintf(w, "|%s\n", strings.Repeat("---|", len(header)))
	for _, r := range rows {
		line(r)
	}
}

func writeAligned(w io.Writer, header []string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range append([][]string{header}, rows...) {
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	t.Flush() // a strings.Builder takes everything
}
