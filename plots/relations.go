package plots

import (
	"fmt"
	"strconv"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
)

// Viridis, and blue to red through a light grey: both grow darker or lighter evenly, for the colour-blind too.
var (
	sequential = []string{"#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#fde725"}
	diverging  = []string{"#2166ac", "#67a9cf", "#f2f2f2", "#ef8a62", "#b2182b"}
)

// colorScale maps the values of some series to colours, with its legend on the right.
func colorScale(unit string, lo, hi float64, scale []string, of ...int) visualMap {
	if !(lo < hi) {
		hi = lo + 1
	}
	return visualMap{
		VisualMap: opts.VisualMap{
			Type: "continuous", Calculable: opts.Bool(false), Dimension: "2", Right: "16", Top: "middle",
			Text: []string{fmt.Sprintf("%.3g%s", hi, unit), fmt.Sprintf("%.3g%s", lo, unit)},
		},
		Min: num(lo), Max: num(hi), SeriesIndex: of, InRange: colors{scale}, ItemHeight: 120, ItemWidth: 14, Precision: 3,
	}
}

// Relation is the relation matrices of teacher and student for one of Q, K and V: from the row's token to the column's, both
// n by n with the same n.
type Relation struct {
	Name             string // such as "Q"
	Teacher, Student [][]float32
}

// relationSide is the most rows that are drawn of a matrix. Of a larger one each cell is the mean of a block.
const relationSide = 24

// Relations draws, a row for each of Q, K and V, the relation matrices of teacher and student and their difference. Teacher and
// student share a scale, so do the differences.
func Relations(title string, relations ...Relation) *Chart {
	o := &option{
		Title:   []opts.Title{{Title: title, Left: "12", Top: "8"}},
		Tooltip: tooltip{Tooltip: opts.Tooltip{Trigger: "item"}, RenderMode: "richText", Confine: true},
		Series:  []series{}, Grid: []grid{}, XAxis: []opts.XAxis{}, YAxis: []opts.YAxis{},
	}
	p := relationPanels{o: o, rows: max(1, len(relations))}
	for i, r := range relations {
		if err := r.check(); err != nil {
			return failed(title, "relation %q: %w", r.Name, err)
		}
		teacher, student := pool(r.Teacher, relationSide), pool(r.Student, relationSide)
		p.add(r.Name+": teacher", i, 0, teacher)
		p.add(r.Name+": student", i, 1, student)
		p.add(r.Name+": student − teacher", i, 2, minus(student, teacher))
	}
	o.Title[0].Subtitle = p.subtitle(relations)
	if len(o.Series) > 0 {
		values := colorScale("", p.low, p.high, sequential, p.values...)
		values.Top = "90"
		differences := colorScale("", -p.most, p.most, diverging, p.differences...)
		differences.Top = "290"
		o.VisualMap = []visualMap{values, differences}
	}
	return newChart(title, o).Resized(defaultWidth, 110+panelHeight*p.rows)
}

func (r Relation) check() error {
	n := len(r.Teacher)
	if len(r.Student) != n {
		return fmt.Errorf("the teacher's matrix has %d rows, the student's %d; they must be of the same tokens", n, len(r.Student))
	}
	for i := range n {
		if len(r.Teacher[i]) != n || len(r.Student[i]) != n {
			return fmt.Errorf("row %d has %d and %d columns, want %d", i, len(r.Teacher[i]), len(r.Student[i]), n)
		}
	}
	return nil
}

// pool takes means of blocks, so that there are at most side rows. Cells at the end may be of smaller blocks.
func pool(m [][]float32, side int) [][]float64 {
	block := max(1, (len(m)+side-1)/side)
	rows := (len(m) + block - 1) / block
	out := make([][]float64, rows)
	for i := range out {
		out[i] = make([]float64, rows)
		for j := range out[i] {
			sum, n := 0.0, 0
			for _, row := range m[i*block : min(len(m), (i+1)*block)] {
				for _, v := range row[j*block : min(len(m), (j+1)*block)] {
					sum, n = sum+float64(v), n+1
				}
			}
			out[i][j] = sum / float64(n)
		}
	}
	return out
}

func minus(a, b [][]float64) [][]float64 {
	out := make([][]float64, len(a))
	for i := range a {
		out[i] = make([]float64, len(a[i]))
		for j := range a[i] {
			out[i][j] = a[i][j] - b[i][j]
		}
	}
	return out
}

// relationPanels lays matrices out in three columns.
type relationPanels struct {
	o                   *option
	rows                int
	low, high, most     float64 // of the values; the largest difference
	values, differences []int   // series
	bad                 int
}

const panelHeight = 180

func (p *relationPanels) add(name string, row, column int, m [][]float64) {
	k := len(p.o.Series)
	cells := []point{}
	for i := range m {
		for j, v := range m[i] {
			if !finite(v) {
				p.bad++
				continue
			}
			cells = append(cells, point{num(j), num(i), num(v)})
			if column == 2 {
				p.most = max(p.most, v, -v)
			} else if len(p.values) == 0 && len(cells) == 1 {
				p.low, p.high = v, v
			} else {
				p.low, p.high = min(p.low, v), max(p.high, v)
			}
		}
	}
	if column == 2 {
		p.differences = append(p.differences, k)
	} else {
		p.values = append(p.values, k)
	}
	left, top := ofWidth(7.5+26.5*float64(column)), 96+row*panelHeight // the width follows the page's
	p.o.Title = append(p.o.Title, opts.Title{
		Title: name, Left: left, Top: px(top - 26), TitleStyle: &opts.TextStyle{FontSize: 12, FontWeight: "normal"},
	})
	p.o.Grid = append(p.o.Grid, grid{opts.Grid{Left: left, Top: px(top), Width: ofWidth(22.5), Height: px(panelHeight - 46)}, "none"})
	x, y := xCategories("", nil), yCategories("", nil)
	x.Data, y.Data = positions(len(m)), positions(len(m))
	x.AxisLabel, y.AxisLabel = nil, nil // numbers, some of which are left out evenly
	x.GridIndex, y.GridIndex, y.Inverse = k, k, opts.Bool(true)
	if row == p.rows-1 { // labels are for the whole column and row
		x.Name, x.NameGap = "to token", 24
	} else {
		x.AxisLabel = &opts.AxisLabel{Show: opts.Bool(false)}
	}
	if column == 0 {
		y.Name, y.NameGap = "from token", 30
	} else {
		y.AxisLabel = &opts.AxisLabel{Show: opts.Bool(false)}
	}
	p.o.XAxis, p.o.YAxis = append(p.o.XAxis, x), append(p.o.YAxis, y)
	p.o.Series = append(p.o.Series, series{cells: named("to token", "from token", "relation"), SingleSeries: charts.SingleSeries{
		Name: name, Type: "heatmap", Data: cells, XAxisIndex: k, YAxisIndex: k,
	}})
}

// ofWidth is a part of the chart's width, as echarts has it.
func ofWidth(percent float64) string { return strconv.FormatFloat(percent, 'g', -1, 64) + "%" }

func positions(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	return names
}

func (p *relationPanels) subtitle(relations []Relation) string {
	var notes []string
	for _, r := range relations {
		if n := len(r.Teacher); n > relationSide {
			block := (n + relationSide - 1) / relationSide
			notes = append(notes, fmt.Sprintf("a cell is the mean of %d × %d tokens", block, block))
			break
		}
	}
	if p.bad > 0 {
		notes = append(notes, fmt.Sprintf("%d cells are not finite", p.bad))
	}
	empty := true
	for _, s := range p.o.Series {
		empty = empty && len(s.Data.([]point)) == 0
	}
	return subtitle(empty, notes...)
}
