package plots

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestSharePoints wants a point for each step as long as there are few, so that the last one is there.
func TestSharePoints(t *testing.T) {
	for n, want := range map[int]int{1: 1, 26: 26, 250: 250, 251: 126, 500: 250, 5000: 250} {
		c := Curve{Name: "a", Y: slices.Repeat([]float64{1}, n)}
		raw, err := LossShares("t", c, c).JSON()
		check(t, err)
		var option struct {
			Series []struct{ Data [][]float64 }
		}
		check(t, json.Unmarshal(raw, &option))
		if got := len(option.Series[0].Data); got != want {
			t.Errorf("%d steps: %d points, want %d", n, got, want)
		}
	}
}

// TestLogMarks wants these marks on a logarithmic axis, of which there are neither few nor many.
func TestLogMarks(t *testing.T) {
	mark := regexp.MustCompile(`>([0-9][0-9.,]*)</text>`)
	for name, c := range map[string]struct {
		losses []float64
		want   []string
	}{
		"little":          {[]float64{0.69, 0.6, 0.65}, []string{"0.6", "0.65", "0.7"}},
		"within a decade": {[]float64{8.7, 4.1, 3, 2.5}, []string{"2", "4", "6", "8", "10"}},
		"two decades":     {[]float64{11.4, 3, 0.45}, []string{"0.2", "0.5", "1", "2", "5", "10", "20"}},
		"many decades":    {[]float64{200, 6, 0.03}, []string{"0.02", "0.1", "1", "10", "100", "500"}},
		"a constant":      {[]float64{3, 3}, []string{"1", "2", "5", "10"}},
		"very many":       {[]float64{3e12, 2e-9}, []string{"0.00001", "10", "10,000,000"}},
	} {
		svg, err := Loss("t", "nats", Curve{Name: "a", X: []float64{1000, 2000, 3000, 4000}[:len(c.losses)], Y: c.losses}).SVG(Light)
		check(t, err)
		var got []string
		for _, m := range mark.FindAllSubmatch(svg, -1) {
			got = append(got, string(m[1]))
		}
		for _, want := range c.want {
			if !slices.Contains(got, want) {
				t.Errorf("%s: marks %q, want %s among them", name, got, want)
			}
		}
	}
}

// TestEqualCurves wants a line that others lie on to be wider than they are, and no other.
func TestEqualCurves(t *testing.T) {
	a := Curve{Name: "a", Y: []float64{1, 2, 3, 2}}
	cross := Curve{Name: "cross", Y: []float64{1, 3, 3, 1}} // meets a in points alone
	end := Curve{Name: "end", Y: []float64{4, 5, 3, 2}}     // the last stretch is a's
	raw, err := Lines("t", "x", "y", LineOptions{}, a, cross, a, end).JSON()
	check(t, err)
	var option struct {
		Series []struct{ LineStyle struct{ Width float64 } }
	}
	check(t, json.Unmarshal(raw, &option))
	var got []float64
	for _, s := range option.Series {
		got = append(got, s.LineStyle.Width)
	}
	if want := []float64{10, 2, 6, 2}; !slices.Equal(got, want) {
		t.Errorf("widths %v, want %v", got, want)
	}
}

// TestTrainings wants each training after the first at the column where its steps begin, also where columns are left out.
func TestTrainings(t *testing.T) {
	steps := []int{1, 25, 50, 1, 25, 1}
	for _, c := range []struct{ kept, want []int }{
		{[]int{0, 1, 2, 3, 4, 5}, []int{3, 5}},
		{[]int{0, 2, 4, 5}, []int{2, 3}},
	} {
		if got := trainings(steps, c.kept); !slices.Equal(got, c.want) {
			t.Errorf("of %v: columns %v, want %v", c.kept, got, c.want)
		}
	}
	h, err := NewHistogram(nil, -1, 1, 4)
	check(t, err)
	for want, steps := range [][]int{{1, 2, 3}, {1, 2, 1}} {
		raw, err := LatentOverTime("x", steps, []Histogram{h, h, h}).JSON()
		check(t, err)
		if got := strings.Count(string(raw), "next training\""); got != want {
			t.Errorf("steps %v: %d lines at a training's beginning, want %d", steps, got, want)
		}
	}
}
