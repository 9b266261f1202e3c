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

// Curve is a line through points (X[i], Y[i]), X ascending. Without X it is 0, 1, 2, ... Y that is not finite is a gap.
type Curve struct {
	Name string
	X, Y []float64
}

// LineOptions say how lines are drawn.
type LineOptions struct {
	Log bool // a logarithmic y axis, without the values that are not positive
	// Smooth > 1 draws the exponential moving average over that many points, with the raw line pale behind. 0 chooses a fiftieth
	// of the points; below that many it is not smoothed, nor with a negative Smooth.
	Smooth float64
	Points int // at most so many are drawn of a line, chosen by LTTB; default 500, less if there are more than 8 curves
}

const defaultPoints = 500

// Loss draws the losses of a stage by step, such as total, CE, LD and AD, on a logarithmic axis, smoothed. unit is that of
// the losses, such as "nats per token".
func Loss(title, unit string, curves ...Curve) *Chart {
	return Lines(title, "step", with("loss", unit), LineOptions{Log: true}, curves...)
}

// Flips draws by step which share of a model's ternary weights changed its code since the last step that was logged, in
// percent.
func Flips(title string, curves ...Curve) *Chart {
	return Lines(title, "step", "weights with a new code, %", LineOptions{Smooth: -1}, curves...)
}

// Lines draws curves over the axes of those names, which have the units.
func Lines(title, xName, yName string, o LineOptions, curves ...Curve) *Chart {
	if o.Points < 3 {
		o.Points = max(50, min(defaultPoints, 8*defaultPoints/max(1, len(curves))))
	}
	y := yAxis(yName)
	y.Scale = opts.Bool(true)
	if o.Log {
		y.Type = "log"
	}
	var all []series
	var names, notes []string
	seen := stretches{}
	for i, c := range curves {
		if c.X != nil && len(c.X) != len(c.Y) {
			return failed(title, "curve %q: %d x and %d y values; give as many", c.Name, len(c.X), len(c.Y))
		}
		drawn, left := o.draw(c, i)
		if n := len(drawn); n > 0 {
			seen.add(drawn[n-1])
		}
		all = append(all, drawn...)
		names = append(names, c.Name)
		if left > 0 {
			notes = append(notes, fmt.Sprintf("%s: %d of %d values cannot be shown", c.Name, left, len(c.Y)))
		}
	}
	chart := newOption(title, subtitle(len(all) == 0, notes...), xAxis(xName), y)
	chart.Series = all
	chart.withLegend(names)
	return newChart(title, chart)
}

// draw gives the line of a curve, and how many of its values are not in it. A curve without a value that can be shown gives none.
func (o LineOptions) draw(c Curve, color int) (lines []series, left int) {
	shown, left := o.visible(c)
	if len(shown.Y) == 0 {
		return nil, left
	}
	smooth := o.Smooth
	if smooth == 0 {
		smooth = float64(len(shown.Y)) / 50
	}
	if smooth <= 1 {
		return []series{o.line(c.Name, o.gaps(c, shown), color, false)}, left
	}
	average := Curve{X: shown.X, Y: movingAverage(shown.Y, smooth)}
	return []series{
		o.line(c.Name, o.points(shown), color, true),
		o.line(c.Name, o.points(average), color, false),
	}, left
}

// visible is the curve without the values that cannot be shown.
func (o LineOptions) visible(c Curve) (shown Curve, left int) {
	for i, y := range c.Y {
		x := float64(i)
		if c.X != nil {
			x = c.X[i]
		}
		if !finite(x) || !finite(y) || o.Log && y <= 0 {
			left++
			continue
		}
		shown.X, shown.Y = append(shown.X, x), append(shown.Y, y)
	}
	return shown, left
}

// points are those of the line that are drawn. On a logarithmic axis what matters is the look there.
func (o LineOptions) points(c Curve) []point {
	look := c.Y
	if o.Log {
		look = make([]float64, len(c.Y))
		for i, y := range c.Y {
			look[i] = math.Log(y)
		}
	}
	chosen := lttb(c.X, look, o.Points)
	points := make([]point, len(chosen))
	for i, k := range chosen {
		points[i] = point{num(c.X[k]), num(c.Y[k])}
	}
	return points
}

// gaps are the points with null where one is missing, as far as that is to be seen.
func (o LineOptions) gaps(c, shown Curve) []point {
	if len(c.Y) > o.Points || len(shown.Y) == len(c.Y) {
		return o.points(shown)
	}
	points := make([]point, 0, len(c.Y))
	for i, y := range c.Y {
		x := float64(i)
		if c.X != nil {
			x = c.X[i]
		}
		if o.Log && y <= 0 {
			y = math.NaN()
		}
		if finite(x) {
			points = append(points, point{num(x), num(y)})
		}
	}
	return points
}

// stretches are by both points' x and y which lines go from one point to the next.
type stretches map[[4]string][]*opts.LineStyle

// add takes a line in. Those that it lies on for a stretch become wider, so that they are seen on both sides of it.
func (s stretches) add(line series) {
	points, _ := line.Data.([]point)
	covered := map[*opts.LineStyle]bool{}
	for i := range max(0, len(points)-1) {
		var key [4]string
		for k, v := range append(slices.Clone(points[i]), points[i+1]...) {
			key[k] = strconv.FormatFloat(float64(v), 'g', 3, 64) // closer than a line is wide
		}
		for _, below := range s[key] {
			covered[below] = true
		}
		s[key] = append(s[key], line.LineStyle)
	}
	for below := range covered {
		below.Width = min(below.Width+4, widest)
	}
}

// widest is the width of a line below three others.
const widest = 14

func (o LineOptions) line(name string, points []point, color int, behind bool) series {
	few := len(points) <= 30 // a single point is no line
	s := series{SingleSeries: charts.SingleSeries{
		Name: name, Type: "line", Data: points, Color: palette(color),
		ShowSymbol: opts.Bool(few), Symbol: "circle", SymbolSize: 5,
		LineStyle: &opts.LineStyle{Width: 2, Color: palette(color)},
	}, Z: 3}
	if behind {
		s.LineStyle = &opts.LineStyle{Width: 1, Color: palette(color), Opacity: opts.Float(0.3)}
		s.ShowSymbol = opts.Bool(false)
		s.Silent, s.Z, s.Tooltip = true, 2, &noTooltip{}
	}
	return s
}

// movingAverage is the exponential one with weight 1/span for each new value, corrected for its start.
func movingAverage(v []float64, span float64) []float64 {
	out := make([]float64, len(v))
	keep, sum, weight := 1-1/span, 0.0, 0.0
	for i, x := range v {
		sum, weight = keep*sum+(1-keep)*x, keep*weight+(1-keep)
		out[i] = sum / weight
	}
	return out
}

// LossShares draws, stacked to 100 %, which share of the total each weighted part of a loss has by step, such as CE,
// 10*LD and 100000*AD. All parts must have the same X. A step where one is negative or not finite is left out.
func LossShares(title string, parts ...Curve) *Chart {
	y := yAxis("share of the weighted loss, %")
	y.Max = 100
	n := 0
	for i, p := range parts {
		if len(p.Y) != len(parts[0].Y) || p.X != nil && len(p.X) != len(p.Y) {
			return failed(title, "part %q: %d x and %d y values where %q has %d; give as many", p.Name, len(p.X), len(p.Y), parts[0].Name, len(parts[0].Y))
		}
		if i == 0 {
			n = len(p.Y)
		}
	}
	const points = defaultPoints / 2
	every := (n + points - 1) / points // steps in a point: their parts are added
	data := make([][]point, len(parts))
	left := 0
	for from := 0; from < n; from += every {
		to := min(from+every, n)
		sums, total, bad := sumParts(parts, from, to)
		left += bad
		if !(total > 0) {
			continue
		}
		x := num(from)
		if parts[0].X != nil {
			x = num(parts[0].X[from])
		}
		for p, s := range sums {
			data[p] = append(data[p], point{x, num(100 * s / total)})
		}
	}
	var notes []string
	if left > 0 {
		notes = append(notes, fmt.Sprintf("%d of %d steps cannot be shown", left, n))
	}
	o := newOption(title, subtitle(len(parts) == 0 || len(data[0]) == 0, notes...), xAxis("step"), y)
	var names []string
	for i, p := range parts {
		s := LineOptions{}.line(p.Name, data[i], i, false)
		s.Stack, s.AreaStyle = "share", &opts.AreaStyle{Opacity: opts.Float(0.7), Color: palette(i)}
		if data[i] == nil {
			s.Data = []point{}
		}
		o.Series = append(o.Series, s)
		names = append(names, p.Name)
	}
	o.withLegend(names)
	return newChart(title, o)
}

// sumParts adds up each part over some steps, without those where a part cannot be a share.
func sumParts(parts []Curve, from, to int) (sums []float64, total float64, bad int) {
	sums = make([]float64, len(parts))
steps:
	for i := from; i < to; i++ {
		for _, p := range parts {
			if !(p.Y[i] >= 0) || !finite(p.Y[i]) {
				bad++
				continue steps
			}
		}
		for p := range parts {
			sums[p] += parts[p].Y[i]
			total += parts[p].Y[i]
		}
	}
	return sums, total, bad
}

// subtitle tells what is missing.
func subtitle(empty bool, notes ...string) string {
	if empty {
		notes = append([]string{"no data"}, notes...)
	}
	return strings.Join(notes, " · ")
}

// with joins a name and its unit.
func with(name, unit string) string {
	if unit == "" {
		return name
	}
	return name + ", " + unit
}
