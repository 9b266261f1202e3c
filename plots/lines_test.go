package plots

import (
	"encoding/json"
	"regexp"
	"slices"
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

// TestLogMarks wants several marks on a logarithmic axis, also where it spans no power of 10.
func TestLogMarks(t *testing.T) {
	mark := regexp.MustCompile(`>([0-9][0-9.,]*)</text>`)
	for name, c := range map[string]struct {
		losses []float64
		want   []string
	}{
		"within a decade": {[]float64{8.7, 4.1, 3, 2.5}, []string{"2", "4", "8", "16"}},
		"many decades":    {[]float64{200, 6, 0.04}, []string{"0.01", "0.1", "1", "10", "100", "1,000"}},
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
