package plots

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
)

// Bar is a named value with its standard error, or 0 without one.
type Bar struct {
	Name  string
	Value float64
	Err   float64
}

// Accuracy draws accuracies with their standard errors in percent, both given from 0 to 1, such as of FP16-SFT, BitNet-SFT and
// BitDistill.
func Accuracy(title string, bars ...Bar) *Chart {
	percent := make([]Bar, len(bars))
	for i, b := range bars {
		percent[i] = Bar{b.Name, 100 * b.Value, 100 * b.Err}
	}
	return upright(title, "accuracy, % (± standard error)", tenths, 100, percent)
}

// Memory draws sizes, given in bytes.
func Memory(title string, bars ...Bar) *Chart {
	most := 0.0
	for _, b := range bars {
		if finite(b.Value) {
			most = max(most, b.Value)
		}
	}
	unit, name := 1.0, "bytes"
	for _, u := range []string{"KiB", "MiB", "GiB"} {
		if most >= 1024*unit {
			unit, name = 1024*unit, u
		}
	}
	scaled := make([]Bar, len(bars))
	for i, b := range bars {
		scaled[i] = Bar{b.Name, b.Value / unit, b.Err / unit}
	}
	return Bars(title, "memory, "+name, scaled...)
}

// Speed draws rates, in tokens per second.
func Speed(title string, bars ...Bar) *Chart { return Bars(title, "speed, tokens/s", bars...) }

// Bars draws values from zero up, with error bars where they have an error. axis is the name of the values, with the unit.
func Bars(title, axis string, bars ...Bar) *Chart { return upright(title, axis, significant, 0, bars) }

func upright(title, axis string, format func(float64) string, top float64, bars []Bar) *Chart {
	y := yAxis(axis)
	if top > 0 {
		y.Max = num(top)
	}
	o := newOption(title, "", xCategories("", names(bars)), y)
	o.Grid[0].Bottom = "48"
	addBars(o, format, bars, false)
	return newChart(title, o)
}

// Ablation draws variants below each other, the first one being what the others are compared with, as a line down from it. axis is
// the name of the values, with the unit.
func Ablation(title, axis string, variants ...Bar) *Chart {
	y := yCategories("", names(variants))
	y.Inverse = opts.Bool(true)
	o := newOption(title, "", xAxis(axis), y)
	o.XAxis[0].SplitLine = &opts.SplitLine{Show: opts.Bool(true)}
	o.Grid[0].Left, o.Grid[0].Right, o.Grid[0].Bottom = "200", "96", "56"
	addBars(o, significant, variants, true)
	if len(variants) > 0 && finite(variants[0].Value) {
		o.Series[1].Mark = &markLine{
			Symbol: []string{"none", "none"}, Silent: true, Z: 1, // below the bars and the values
			Data: []any{map[string]any{"xAxis": num(variants[0].Value)}},
			MarkLineStyle: opts.MarkLineStyle{
				Label: &opts.Label{Show: opts.Bool(false)}, LineStyle: &opts.LineStyle{Type: "dashed", Width: 1, Color: mutedColor},
			},
		}
	}
	return newChart(title, o).Resized(defaultWidth, max(200, 140+36*len(variants)))
}

func names(bars []Bar) []string {
	out := make([]string, len(bars))
	for i, b := range bars {
		out[i] = b.Name
	}
	return out
}

// barMarks is what is drawn of bars, each by its place along the axis.
type barMarks struct {
	bars, labels, whiskers []any
	caps                   []point // ends of the whiskers
	bad                    int     // values that are not finite
}

// marksOf gives vertical bars a colour each; lying ones are variants of the first, which alone has another.
func marksOf(format func(float64) string, bars []Bar, lying bool) barMarks {
	m := barMarks{[]any{}, []any{}, []any{}, []point{}, 0} // lists, not null, in the page
	at := func(i int, v float64) point {
		p := point{num(i), num(v)}
		if lying {
			slices.Reverse(p)
		}
		return p
	}
	for i, b := range bars {
		text, end := format(b.Value), b.Value
		if !finite(b.Value) {
			text, end = "not finite", 0
			m.bad++
		} else if b.Err > 0 && finite(b.Err) {
			text += " ± " + asExact(b.Err, text)
			end += b.Err
			lo, hi := at(i, b.Value-b.Err), at(i, end)
			m.caps = append(m.caps, lo, hi)
			m.whiskers = append(m.whiskers, []any{map[string]any{"coord": lo}, map[string]any{"coord": hi}})
		}
		color := palette(i)
		if lying && i == 0 {
			color = palette(1)
		} else if lying {
			color = palette(0)
		}
		m.bars = append(m.bars, map[string]any{"value": num(b.Value), "itemStyle": map[string]any{"color": color}})
		m.labels = append(m.labels, map[string]any{"value": at(i, end), "label": map[string]any{"formatter": text}})
	}
	return m
}

// addBars adds the bars with their values beside, and error bars: lines with caps at both ends. echarts has none of its own but
// by a function, which an option does not hold.
func addBars(o *option, format func(float64) string, bars []Bar, lying bool) {
	m := marksOf(format, bars, lying)
	position, size, axis := "top", []float64{14, 1.5}, o.YAxis[0].Name
	if lying {
		position, size, axis = "right", []float64{1.5, 14}, o.XAxis[0].Name
	}
	solid := &opts.ItemStyle{Opacity: opts.Float(1)}
	o.Tooltip.Trigger = "item"
	o.Series = []series{
		{
			SingleSeries: charts.SingleSeries{Name: axis, Type: "bar", Data: m.bars, BarMaxWidth: "90"},
			Mark: &markLine{Symbol: []string{"none", "none"}, Silent: true, Data: m.whiskers, MarkLineStyle: opts.MarkLineStyle{
				Label: &opts.Label{Show: opts.Bool(false)}, LineStyle: &opts.LineStyle{Type: "solid", Width: 1.5, Color: textColor},
			}},
		},
		{Silent: true, Z: 6, Tooltip: &noTooltip{}, SingleSeries: charts.SingleSeries{
			Name: "standard error", Type: "scatter", Data: m.caps, Symbol: "rect", SymbolSize: size, Color: textColor, ItemStyle: solid,
		}},
		{ // points too small to be seen, for the labels beyond the error bars
			Silent: true, Z: 6, Tooltip: &noTooltip{},
			SingleSeries: charts.SingleSeries{Name: "label", Type: "scatter", Data: m.labels, SymbolSize: 0.01, Color: textColor, ItemStyle: solid},
			Label:        &opts.Label{Show: opts.Bool(true), Position: position, Color: textColor, BackgroundColor: background},
		},
	}
	var notes []string
	if m.bad > 0 {
		notes = append(notes, fmt.Sprintf("%d values are not finite", m.bad))
	}
	if o.Title[0].Subtitle = subtitle(len(bars) == 0, notes...); o.Title[0].Subtitle != "" {
		o.Grid[0].Top = "72"
	}
}

func tenths(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

// significant has three significant digits, or all of a whole number's up to seven.
func significant(v float64) string {
	if abs := math.Abs(v); abs >= 1000 && abs < 1e7 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return fmt.Sprintf("%.3g", v)
}

// asExact is an error with as many decimals as the value's text, or with more if it would be zero there.
func asExact(err float64, value string) string {
	_, decimals, _ := strings.Cut(value, ".")
	text := strconv.FormatFloat(err, 'f', len(decimals), 64)
	if strings.Trim(text, "0.") == "" || strings.Contains(value, "e") {
		return fmt.Sprintf("%.2g", err)
	}
	return text
}
