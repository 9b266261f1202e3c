package main

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/internal/speed"
	"github.com/bitdistill/bitdistill/internal/system"
)

// inferReport is what bench writes as JSON.
type inferReport struct {
	CPU         string     `json:"cpu"`
	Threads     int        `json:"threads"`
	Kernel      string     `json:"kernel"` // of ternary products
	Model       string     `json:"model"`  // shape, or the file's or folder's name
	Layers      int        `json:"layers"`
	SubLN       string     `json:"subln"`
	Head        string     `json:"head,omitempty"` // type of a shape's embedding and head
	Linear      int        `json:"linear_weights"` // in the linears of the blocks
	Bytes       int64      `json:"weight_bytes"`   // read for a token
	Repetitions int        `json:"repetitions"`
	Probes      []probeRow `json:"probes"`
	Rows        []inferRow `json:"rows"`
}

// probeRow is what the machine can do with some threads, over all measurements.
type probeRow struct {
	Threads int     `json:"threads"`
	Read    float64 `json:"read_gb_per_s"` // from memory, 1e9 bytes
	ReadSD  float64 `json:"read_sd"`
	Dot     float64 `json:"dot_gmac_per_s"` // 1e9 int8 multiply-adds, on registers
	DotSD   float64 `json:"dot_sd"`
}

// inferRow is what is said of an engine and a test.
type inferRow struct {
	Engine  string `json:"engine"`
	Test    string `json:"test"`
	Problem string `json:"problem,omitempty"` // why there are no figures

	TokensPerS float64 `json:"tokens_per_s"`
	SD         float64 `json:"sd"`
	RSSMB      float64 `json:"rss_mb"`
	LoadMS     float64 `json:"load_ms,omitempty"`
	FirstMS    float64 `json:"first_token_ms,omitempty"`
	Limit      float64 `json:"limit_tokens_per_s,omitempty"`
	Share      float64 `json:"share_of_limit,omitempty"`
	ShareSD    float64 `json:"share_sd,omitempty"`
	Ratio      float64 `json:"ratio,omitempty"` // of our speed to this one's
	RatioSD    float64 `json:"ratio_sd,omitempty"`
	RSSRatio   float64 `json:"rss_ratio,omitempty"` // of our memory to this one's
}

func (b *inferBench) report() inferReport {
	c := b.model.Config
	r := inferReport{
		CPU: system.CPUModel(), Threads: b.threads, Kernel: b.kernel, Model: cmp.Or(b.shape, filepath.Base(b.path)), Layers: c.Layers,
		SubLN: string(c.Quantization.SubLN), Linear: c.Parameters(arch.Linear), Bytes: b.model.Bytes, Repetitions: b.repetitions,
	}
	if b.shape != "" {
		r.Head = b.head
	}
	for _, rates := range b.rates {
		if len(rates) > 0 {
			r.Probes = append(r.Probes, newProbeRow(rates))
		}
	}
	for _, t := range b.tests {
		for _, e := range b.engines {
			if b.measures(e, t) {
				r.Rows = append(r.Rows, b.row(t, e))
			}
		}
	}
	return r
}

func newProbeRow(rates []speed.Rates) probeRow {
	p := probeRow{Threads: rates[0].Threads}
	p.Read, p.ReadSD = over(rates, func(r speed.Rates) float64 { return r.Read / 1e9 })
	p.Dot, p.DotSD = over(rates, func(r speed.Rates) float64 { return r.Products / 1e9 })
	return p
}

// over is the mean of something of all measurements, and its standard deviation.
func over[T any](all []T, of func(T) float64) (mean, sd float64) {
	var values []float64
	for _, x := range all {
		values = append(values, of(x))
	}
	return distill.MeanAndSD(values)
}

func (b *inferBench) row(t speed.Test, e *engine) inferRow {
	row := inferRow{Engine: e.name, Test: t.String()}
	if e.problem != nil {
		row.Problem = e.problem.Error()
		return row
	}
	samples, tokens := e.samples[t], float64(t.Tokens())
	row.TokensPerS, row.SD = over(samples, func(s sample) float64 { return tokens / s.seconds })
	for _, s := range samples {
		row.RSSMB = max(row.RSSMB, float64(s.rss)/1e6)
	}
	row.LoadMS, _ = over(samples, func(s sample) float64 { return 1e3 * s.load })
	row.FirstMS, _ = over(samples, func(s sample) float64 { return 1e3 * s.first })
	if samples[0].limit > 0 {
		row.Limit, _ = over(samples, func(s sample) float64 { return tokens / s.limit })
		row.Share, row.ShareSD = over(samples, func(s sample) float64 { return s.limit / s.seconds })
	}
	if e == b.engines[0] {
		return row
	}
	ours := b.engines[0].samples[t]
	var ratios []float64
	peak := 0.0
	for i, s := range samples {
		ratios = append(ratios, s.seconds/ours[i].seconds)
		peak = max(peak, float64(ours[i].rss)/1e6)
	}
	row.Ratio, row.RatioSD = distill.MeanAndSD(ratios)
	if row.RSSMB > 0 {
		row.RSSRatio = peak / row.RSSMB
	}
	return row
}

// writeInfer writes a report in the format.
func (c *cli) writeInfer(format string, r inferReport) error {
	if format == "json" {
		return c.writeJSON(r, "  ")
	}
	var text strings.Builder
	head := ""
	if r.Head != "" {
		head = ", head in " + r.Head
	}
	fmt.Fprintf(&text, "%s, %d blocks, SubLN %s%s: %.4g million weights in linears, %.1f MB read a token, %d repetitions\n",
		r.Model, r.Layers, r.SubLN, head, float64(r.Linear)/1e6, float64(r.Bytes)/1e6, r.Repetitions)
	fmt.Fprintf(&text, "%s, %d threads, kernel %s\n", cmp.Or(r.CPU, "unknown processor"), r.Threads, r.Kernel)
	for _, p := range r.Probes {
		fmt.Fprintf(&text, "probes, threads: %d: %.1f ± %.1f GB/s read, %.0f ± %.0f GMAC/s\n", p.Threads, p.Read, p.ReadSD, p.Dot, p.DotSD)
	}
	text.WriteByte('\n')
	header, rows := r.table()
	if format == "md" {
		writeMarkdown(&text, header, rows)
	} else {
		writeAligned(&text, header, rows)
	}
	said := map[string]bool{}
	for _, row := range r.Rows {
		if row.Problem != "" && !said[row.Engine] {
			said[row.Engine] = true
			fmt.Fprintf(&text, "\n%s was not measured: %s\n", row.Engine, row.Problem)
		}
	}
	_, err := io.WriteString(c.out, text.String())
	return err
}

// table is the figures as text.
func (r *inferReport) table() (header []string, rows [][]string) {
	header = []string{"test", "engine", "tokens/s", "MB", "load ms", "first token ms", "limit", "share"}
	compared := false
	for _, row := range r.Rows {
		compared = compared || row.Ratio > 0
	}
	if compared {
		header = append(header, "ours/this", "MB ours/this")
	}
	plusMinus := func(format string, mean, sd float64) string {
		if mean == 0 {
			return "-"
		}
		return fmt.Sprintf(format, mean, sd)
	}
	for _, row := range r.Rows {
		if row.Problem != "" {
			continue
		}
		cells := []string{
			row.Test, row.Engine, fmt.Sprintf("%.1f ± %.1f", row.TokensPerS, row.SD), known("%.0f", row.RSSMB), known("%.1f", row.LoadMS),
			known("%.1f", row.FirstMS), known("%.0f", row.Limit), plusMinus("%.1f ± %.1f %%", 100*row.Share, 100*row.ShareSD),
		}
		if compared {
			cells = append(cells, plusMinus("%.2f ± %.2f", row.Ratio, row.RatioSD), known("%.2f", row.RSSRatio))
		}
		rows = append(rows, cells)
	}
	return header, rows
}
