package plots

import (
	"math"
	"strconv"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
)

// num is a number as echarts wants it: six significant digits, which is more than a chart shows, and null for what is not
// finite, which leaves a gap.
type num float64

// MarshalJSON writes the number.
func (n num) MarshalJSON() ([]byte, error) {
	if !finite(float64(n)) {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(n), 'g', 6, 64), nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// point is [x, y], and with a third number the value of a cell of a heat map.
type point []num

// option is an echarts option. Its parts are go-echarts', widened where that lacks a field. It holds no functions.
type option struct {
	Title     []opts.Title  `json:"title"`
	Legend    *opts.Legend  `json:"legend,omitempty"`
	Tooltip   tooltip       `json:"tooltip"`
	Toolbox   *opts.Toolbox `json:"toolbox,omitempty"`
	Grid      []grid        `json:"grid"`
	XAxis     []opts.XAxis  `json:"xAxis"`
	YAxis     []opts.YAxis  `json:"yAxis"`
	VisualMap []visualMap   `json:"visualMap,omitempty"`
	Series    []series      `json:"series"`
	Animation bool          `json:"animation"`
}

type tooltip struct {
	opts.Tooltip
	// RenderMode "richText" draws tooltips on the canvas. Those in HTML would be the only way for a label to become an element.
	RenderMode string `json:"renderMode"`
	Confine    bool   `json:"confine"`
}

type grid struct {
	opts.Grid
	// OuterBoundsMode "none" keeps the grid where it is put; otherwise echarts makes room for labels that would leave the chart, which
	// takes time.
	OuterBoundsMode string `json:"outerBoundsMode,omitempty"`
}

type visualMap struct {
	opts.VisualMap
	Min         num     `json:"min"`
	Max         num     `json:"max"`
	SeriesIndex []int   `json:"seriesIndex"`
	ItemHeight  float64 `json:"itemHeight,omitempty"`
	ItemWidth   float64 `json:"itemWidth,omitempty"`
	Precision   int     `json:"precision"`
	InRange     colors  `json:"inRange"`
}

type colors struct {
	Color []string `json:"color"`
}

type series struct {
	charts.SingleSeries
	Silent  bool        `json:"silent,omitempty"`
	Z       int         `json:"z,omitempty"`
	Tooltip *noTooltip  `json:"tooltip,omitempty"`
	Mark    *markLine   `json:"markLine,omitempty"`
	Label   *opts.Label `json:"label,omitempty"`
	*cells
}

// cells name the three numbers of a cell of a heat map, so that a tooltip shows all of them.
type cells struct {
	Dimensions []string `json:"dimensions"`
	Encode     encode   `json:"encode"`
}

type encode struct {
	X       int   `json:"x"`
	Y       int   `json:"y"`
	Value   int   `json:"value"`
	Tooltip []int `json:"tooltip"`
}

// named are cells whose numbers have these names.
func named(x, y, value string) *cells {
	return &cells{[]string{x, y, value}, encode{0, 1, 2, []int{0, 1, 2}}}
}

type noTooltip struct {
	Show bool `json:"show"`
}

type markLine struct {
	opts.MarkLineStyle
	Data      []any    `json:"data"`
	Symbol    []string `json:"symbol"`
	Silent    bool     `json:"silent"`
	Animation bool     `json:"animation"`
	Z         int      `json:"z,omitempty"`
}

// Colour names that chart.js replaces by those of the theme.
const (
	textColor  = "@text"
	mutedColor = "@muted"
	background = "@background"
)

func palette(i int) string { return "@" + strconv.Itoa(i) }

// px is a length in pixels, as go-echarts has it.
func px(n int) string { return strconv.Itoa(n) }

// newOption is an option with a title, a legend below and one pair of axes, which may be changed.
func newOption(title, subtitle string, x opts.XAxis, y opts.YAxis) *option {
	top := "56"
	if subtitle != "" {
		top = "72"
	}
	return &option{
		Title:   []opts.Title{{Title: title, Subtitle: subtitle, Left: "12", Top: "8"}},
		Tooltip: tooltip{Tooltip: opts.Tooltip{Trigger: "axis"}, RenderMode: "richText", Confine: true},
		Toolbox: &opts.Toolbox{Right: "12", Top: "6", Feature: &opts.ToolBoxFeature{
			SaveAsImage: &opts.ToolBoxFeatureSaveAsImage{Title: "save as PNG"},
		}},
		Grid:  []grid{{Grid: opts.Grid{Left: "76", Right: "32", Top: top, Bottom: "84"}}},
		XAxis: []opts.XAxis{x},
		YAxis: []opts.YAxis{y},
	}
}

// withLegend shows a legend at the bottom, of the named series.
func (o *option) withLegend(names []string) {
	o.Legend = &opts.Legend{Type: "scroll", Bottom: "8", Left: "center", Data: names, Icon: "roundRect", ItemWidth: 16, ItemHeight: 10}
}

// xAxis is a horizontal axis of numbers; name has the unit.
func xAxis(name string) opts.XAxis {
	return opts.XAxis{Type: "value", Name: name, NameLocation: "middle", NameGap: 30, SplitLine: &opts.SplitLine{Show: opts.Bool(false)}}
}

// yAxis is a vertical axis of numbers; name has the unit.
func yAxis(name string) opts.YAxis {
	return opts.YAxis{Type: "value", Name: name, NameLocation: "middle", NameGap: 52}
}

// xCategories is a horizontal axis of names.
func xCategories(name string, labels []string) opts.XAxis {
	x := xAxis(name)
	x.Type, x.Data = "category", labels
	x.AxisLabel = &opts.AxisLabel{HideOverlap: opts.Bool(true), Width: 140, Overflow: "truncate"}
	return x
}

// yCategories is a vertical axis of names.
func yCategories(name string, labels []string) opts.YAxis {
	y := yAxis(name)
	y.Type, y.Data = "category", labels
	y.AxisLabel = &opts.AxisLabel{HideOverlap: opts.Bool(true), Width: 170, Overflow: "truncate"}
	return y
}
