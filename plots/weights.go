package plots

import (
	"fmt"
	"math"
	"slices"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
)

// codeNames and codeColors are those of the ternary codes, in order.
var (
	codeNames  = []string{"−1", "0", "+1"}
	codeColors = []string{palette(1), palette(6), palette(0)}
)

// WeightHistogram draws a layer's weights before ternarisation, in units of the scale D and coloured by the code that they
// get, with the thresholds ±D/2, and beside it the shares of the codes that are left.
func WeightHistogram(t Ternary) *Chart {
	title := "Ternary weights: " + t.Name
	if err := t.Latent.check(); err != nil {
		return failed(title, "%w", err)
	}
	total := t.Codes[0] + t.Codes[1] + t.Codes[2]
	notes := []string{fmt.Sprintf("Δ = %.4g, %d weights", t.Scale, total)}
	if out := t.Latent.Below + t.Latent.Above; out > 0 {
		notes = append(notes, fmt.Sprintf("%.2g %% beyond ±%gΔ", share(out, total), t.Latent.Hi))
	}
	if t.Latent.NotFinite > 0 {
		notes = append(notes, fmt.Sprintf("%d not finite", t.Latent.NotFinite))
	}
	x := xAxis("latent weight, in units of Δ")
	x.Min, x.Max = num(t.Latent.Lo), num(t.Latent.Hi)
	o := newOption(title, subtitle(total == 0, notes...), x, yAxis("share of weights, %"))
	o.Series = latentBars(t.Latent)
	o.Series[1].Mark = &markLine{
		Symbol: []string{"none", "none"}, Silent: true,
		MarkLineStyle: opts.MarkLineStyle{
			Label:     &opts.Label{Show: opts.Bool(true), Formatter: "{b}", Color: textColor},
			LineStyle: &opts.LineStyle{Type: "dashed", Color: textColor, Width: 1.5},
		},
		Data: []any{opts.MarkLineNameXAxisItem{Name: "−Δ/2", XAxis: -0.5}, opts.MarkLineNameXAxisItem{Name: "Δ/2", XAxis: 0.5}},
	}
	beside(o, xCategories("ternary weight", codeNames), yAxis("share of weights, %"))
	o.Series = append(o.Series, codeBars(t.Codes))
	return newChart(title, o)
}

// beside makes room for a second pair of axes to the right of the first one.
func beside(o *option, x opts.XAxis, y opts.YAxis) {
	o.Grid[0].Top = "84" // labels of the thresholds stand above
	right := o.Grid[0]
	o.Grid[0].Right, right.Left = "42%", "68%"
	x.GridIndex, y.GridIndex = 1, 1
	o.Grid = append(o.Grid, right)
	o.XAxis, o.YAxis = append(o.XAxis, x), append(o.YAxis, y)
	o.Grid[0].Bottom, o.Grid[1].Bottom = "64", "64"
}

// latentBars is the histogram as steps over filled areas, one for each code: bars on an axis of numbers are placed by echarts as if
// they were categories.
func latentBars(h Histogram) []series {
	total := h.Total()
	all := make([]series, 3)
	for code := range all {
		var bins []int
		for i := range h.Counts {
			if code == 1+int(max(-1, min(1, math.RoundToEven(h.Center(i))))) {
				bins = append(bins, i)
			}
		}
		all[code] = steps("becomes "+codeNames[code], codeColors[code], bins, h.edge, func(i int) float64 { return share(h.Counts[i], total) })
	}
	return all
}

// steps draws the heights of bins, which follow each other, from edge to edge.
func steps(name, color string, bins []int, edge, height func(bin int) float64) series {
	data := []point{}
	for _, i := range bins {
		data = append(data, point{num(edge(i)), num(height(i))})
	}
	if n := len(bins); n > 0 { // the last one ends too
		data = append(data, point{num(edge(bins[n-1] + 1)), num(height(bins[n-1]))})
	}
	return series{SingleSeries: charts.SingleSeries{
		Name: name, Type: "line", Step: "end", Data: data, ShowSymbol: opts.Bool(false), Color: color,
		LineStyle: &opts.LineStyle{Width: 1, Color: color},
		AreaStyle: &opts.AreaStyle{Color: color, Opacity: opts.Float(0.75), Origin: "start"},
	}}
}

func codeBars(codes [3]int) series {
	total := codes[0] + codes[1] + codes[2]
	items := make([]any, 3)
	for i, n := range codes {
		s := share(n, total)
		items[i] = map[string]any{
			"value":     num(s),
			"itemStyle": map[string]any{"color": codeColors[i]},
			"label":     map[string]any{"formatter": fmt.Sprintf("%.1f %%", s)},
		}
	}
	return series{
		SingleSeries: charts.SingleSeries{Name: "ternary", Type: "bar", Data: items, XAxisIndex: 1, YAxisIndex: 1, BarWidth: "60%"},
		Label:        &opts.Label{Show: opts.Bool(true), Position: "top", Color: textColor, BackgroundColor: background},
	}
}

// LatentOverTime draws how the histogram of a layer's latent weights moves while it is trained: steps to the right, weights
// (in units of the scale D, as those of Ternary) upwards, the share in colours, and the thresholds ±D/2 as lines. Where a step is not
// above the one before, the next training begins, and an upright line marks it. All histograms must have the same bins. Of more than
// 100 steps it draws 100.
func LatentOverTime(name string, steps []int, latent []Histogram) *Chart {
	title := "Latent weights over training: " + name
	if len(steps) != len(latent) {
		return failed(title, "%d steps and %d histograms; give as many", len(steps), len(latent))
	}
	for i, h := range latent {
		if err := h.check(); err != nil {
			return failed(title, "step %d: %w", steps[i], err)
		}
		if first := latent[0]; len(h.Counts) != len(first.Counts) || h.Lo != first.Lo || h.Hi != first.Hi {
			return failed(title, "step %d has %d bins from %g to %g, step %d has %d from %g to %g; give all the same", steps[i], len(h.Counts), h.Lo, h.Hi, steps[0], len(first.Counts), first.Lo, first.Hi)
		}
	}
	kept := spread(len(steps), 100)
	var labels, bins []string
	cells, most := []point{}, 0.0
	for column, k := range kept {
		labels = append(labels, fmt.Sprint(steps[k]))
		for i, n := range latent[k].Counts {
			if n > 0 {
				s := share(n, latent[k].Total())
				cells, most = append(cells, point{num(column), num(i), num(s)}), max(most, s)
			}
		}
	}
	lo, hi := -1.0, 1.0
	if len(latent) > 0 {
		lo, hi = latent[0].Lo, latent[0].Hi
		for i := range latent[0].Counts {
			bins = append(bins, fmt.Sprintf("%.3g", latent[0].Center(i)))
		}
	}
	begins := trainings(steps, kept)
	note := "share of weights in each bin; dashed: the thresholds ±Δ/2"
	if len(begins) > 0 {
		note += "; upright: the next training, whose steps begin anew"
	}
	x, y := xCategories("step", labels), yCategories("", bins)
	x.AxisLabel, y.Show = nil, opts.Bool(false)
	scale := yAxis("latent weight, in units of Δ")
	scale.Min, scale.Max, scale.Position = num(lo), num(hi), "left"
	scale.SplitLine = &opts.SplitLine{Show: opts.Bool(false)}
	o := newOption(title, subtitle(len(cells) == 0, note), x, y)
	columns := opts.XAxis{Type: "value", Min: num(0), Max: num(max(1, len(kept))), Show: opts.Bool(false)}
	o.XAxis, o.YAxis = append(o.XAxis, columns), append(o.YAxis, scale)
	o.Grid[0].Right, o.Grid[0].Bottom = "110", "64"
	o.Tooltip.Trigger = "item"
	o.VisualMap = []visualMap{colorScale(" %", 0, most, sequential, 0)}
	o.Series = []series{{cells: named("step", "weight, in units of Δ", "share, %"), SingleSeries: charts.SingleSeries{Name: "latent weights", Type: "heatmap", Data: cells}}}
	for _, threshold := range []num{-0.5, 0.5} {
		o.Series = append(o.Series, across("threshold", "dashed", point{0, threshold}, point{num(len(kept)), threshold}))
	}
	for _, column := range begins {
		o.Series = append(o.Series, across("next training", "solid", point{num(column), num(lo)}, point{num(column), num(hi)}))
	}
	return newChart(title, o)
}

// across is a line over a heat map, on the second pair of axes. It is black, since most weights are where cells are bright.
func across(name, kind string, from, to point) series {
	return series{Silent: true, Z: 5, Tooltip: &noTooltip{}, SingleSeries: charts.SingleSeries{
		Name: name, Type: "line", Data: []point{from, to}, XAxisIndex: 1, YAxisIndex: 1, ShowSymbol: opts.Bool(false),
		LineStyle: &opts.LineStyle{Type: kind, Width: 1.5, Color: "#000000"},
	}}
}

// trainings are the columns, of those kept, with which a training after the first begins.
func trainings(steps, kept []int) []int {
	var begins []int
	for i := 1; i < len(steps); i++ {
		if steps[i] <= steps[i-1] {
			column, _ := slices.BinarySearch(kept, i)
			begins = append(begins, column)
		}
	}
	return begins
}

// spread chooses at most most of n indices, evenly, with the first and the last.
func spread(n, most int) []int {
	var kept []int
	for i := range min(n, most) {
		k := i
		if n > most {
			k = int(math.Round(float64(i) * float64(n-1) / float64(most-1)))
		}
		kept = append(kept, k)
	}
	return kept
}

// ActivationHistogram draws which int8 codes the inputs of a layer become, on a logarithmic axis, and says which share was
// clipped.
func ActivationHistogram(a Activations) *Chart {
	title := "Activations as int8: " + a.Name
	total := a.Total()
	used, rarest := 0, total
	for _, n := range a.Codes {
		if n > 0 {
			used, rarest = used+1, min(rarest, n)
		}
	}
	bottom := math.Pow(10, math.Floor(math.Log10(max(1e-9, 0.99*share(rarest, total))))) // below the rarest code
	notes := []string{fmt.Sprintf("%d of 256 codes used, %.3g %% zero, %.3g %% clipped", used, share(a.Codes[128], total), share(a.Clipped, total))}
	if a.NotFinite > 0 {
		notes = append(notes, fmt.Sprintf("%d not finite", a.NotFinite))
	}
	x := xAxis("int8 code")
	x.Min, x.Max, x.MinInterval, x.MaxInterval = -128, 128, 32, 32
	y := yAxis("share of activations, %")
	y.Type, y.Min = "log", num(bottom)
	o := newOption(title, subtitle(total == 0, notes...), x, y)
	o.Grid[0].Bottom = "64"
	var codes []int
	if total > 0 {
		for i := range a.Codes {
			codes = append(codes, i)
		}
	}
	o.Series = []series{steps("share, %", palette(0), codes,
		func(i int) float64 { return float64(i - 128) },
		func(i int) float64 { return max(bottom, share(a.Codes[i], total)) })} // no count has no logarithm
	return newChart(title, o)
}

// Layer is what ternarisation makes of one linear layer.
type Layer struct {
	Name  string
	Scale float64 // D
	Zeros float64 // share of weights that become 0, from 0 to 1
}

// Layers draws the scale and the sparsity of each ternary layer of a model.
func Layers(title string, layers ...Layer) *Chart {
	names := make([]string, len(layers))
	scales, zeros := make([]point, len(layers)), make([]point, len(layers))
	bad := 0
	for i, l := range layers {
		names[i] = l.Name
		scales[i], zeros[i] = point{num(i), num(l.Scale)}, point{num(i), num(100 * l.Zeros)}
		if !finite(l.Scale) || !finite(l.Zeros) {
			bad++
		}
	}
	var notes []string
	if bad > 0 {
		notes = append(notes, fmt.Sprintf("%d layers cannot be shown", bad))
	}
	above, below := xCategories("", names), xCategories("", names)
	above.AxisLabel = &opts.AxisLabel{Show: opts.Bool(false)}
	below.AxisLabel.Rotate = 40
	below.GridIndex = 1
	share := yAxis("zeros, %")
	share.GridIndex, share.Max, share.Min = 1, 100, "0"
	o := newOption(title, subtitle(len(layers) == 0, notes...), above, yAxis("scale Δ"))
	o.Grid = []grid{
		{Grid: opts.Grid{Left: "76", Right: "32", Top: "72", Height: "120"}},
		{Grid: opts.Grid{Left: "76", Right: "32", Top: "216", Bottom: "96"}},
	}
	o.XAxis, o.YAxis = append(o.XAxis, below), append(o.YAxis, share)
	o.Series = []series{
		{SingleSeries: charts.SingleSeries{Name: "scale Δ", Type: "bar", Data: scales, Color: palette(0)}},
		{SingleSeries: charts.SingleSeries{Name: "zeros, %", Type: "bar", Data: zeros, Color: palette(1), XAxisIndex: 1, YAxisIndex: 1}},
	}
	return newChart(title, o)
}
