package plots

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/go-echarts/go-echarts/v2/charts"
)

// Theme is the colours of a chart that cannot follow the page it is on.
type Theme string

// The themes.
const (
	Light Theme = "light"
	Dark  Theme = "dark"
)

// Chart is a picture of numbers that is yet to be drawn: live in a page or a notebook, or as SVG or PNG. The constructors
// keep what they are given only as far as the picture needs it, so a chart of a million points is small.
//
// A constructor that is given what it cannot draw, such as more x than y values, makes a chart with an error, which Err and
// everything that draws return.
type Chart struct {
	title         string
	width, height int
	option        any // marshals to an echarts option
	err           error
}

// The size of a chart unless Resized, in pixels of CSS.
const (
	defaultWidth  = 800
	defaultHeight = 420
)

func newChart(title string, o *option) *Chart {
	return &Chart{title: title, width: defaultWidth, height: defaultHeight, option: o}
}

func failed(title, format string, args ...any) *Chart {
	return &Chart{title: title, width: defaultWidth, height: defaultHeight, err: fmt.Errorf("chart %q: "+format, append([]any{title}, args...)...)}
}

// ECharts is what the charts of go-echarts have in common.
type ECharts interface {
	Validate()
	JSON() map[string]any
}

// From wraps a chart made with go-echarts, in our colours unless it has its own. Functions in its options are not run: they stay text. Its tooltips are drawn on the
// canvas, so that labels cannot become HTML.
func From(title string, chart ECharts) *Chart {
	chart.Validate()
	o := chart.JSON()
	raw, err := json.Marshal(o["tooltip"])
	tip := map[string]any{}
	if err == nil {
		err = json.Unmarshal(raw, &tip)
	}
	if err != nil {
		return failed(title, "tooltip: %w", err)
	}
	tip["renderMode"] = "richText"
	o["tooltip"] = tip
	delete(o, "toolbox")
	if c, ok := o["color"].([]string); ok && slices.Equal(c, charts.NewBar().Colors) {
		delete(o, "color") // go-echarts' default
	}
	return &Chart{title: title, width: defaultWidth, height: defaultHeight, option: o}
}

// Title is the chart's title as it was given.
func (c *Chart) Title() string { return c.title }

// Err says why the chart cannot be drawn, or is nil.
func (c *Chart) Err() error { return c.err }

// Resized is the chart at another size, in pixels of CSS. A live chart takes the width of the page it is on and this height.
func (c *Chart) Resized(width, height int) *Chart {
	r := *c
	r.width, r.height = width, height
	if r.err == nil && (width < 1 || height < 1 || width > maxSide || height > maxSide) {
		r.err = fmt.Errorf("chart %q: size %d x %d, each side must be 1 to %d pixels", c.title, width, height, maxSide)
	}
	return &r
}

// maxSide keeps a picture below 256 MiB.
const maxSide = 4000

// JSON is the option that echarts draws. It contains no '<', '>' or '&', so that it can stand in HTML.
func (c *Chart) JSON() ([]byte, error) {
	if c.err != nil {
		return nil, c.err
	}
	raw, err := json.Marshal(c.option)
	if err != nil {
		return nil, fmt.Errorf("chart %q: %w", c.title, err)
	}
	return raw, nil
}

// id names the chart by what is in it, so that a notebook that is run again stays the same.
func id(option []byte) string {
	sum := sha256.Sum256(option)
	return fmt.Sprintf("chart-%x", sum[:6])
}
