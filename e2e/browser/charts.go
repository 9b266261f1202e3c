package browser

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/bitdistill/bitdistill/plots"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

//go:embed charts.js
var chartsJS string

// Chart is what is to be seen of one chart of a page.
type Chart struct {
	Title    string  `json:"title"`
	Canvas   bool    `json:"canvas"`   // it is live
	Picture  bool    `json:"picture"`  // a static picture stands in its place, and is shown
	Ground   []int   `json:"ground"`   // red, green, blue and opacity of the canvas's corner, to 255
	Drawn    float64 `json:"drawn"`    // share of pixels that are not as the corner
	Coloured float64 `json:"coloured"` // share of pixels that are not grey: axes and texts are
	Colors   int     `json:"colors"`   // how many different ones there are
}

// Charts are the charts of the page, from top to bottom.
func (p *Page) Charts() ([]Chart, error) {
	if _, err := Evaluate[chromedp.Void](p, chartsJS); err != nil {
		return nil, err
	}
	return Evaluate[[]Chart](p, "e2e.charts()")
}

// The least that a chart with data shows. Axes and texts alone have neither the share of coloured pixels nor, without the smooth
// edges of lines and letters, the number of colours.
const (
	leastDrawn    = 0.01
	leastColoured = 0.001
	leastColors   = 20
)

// Check tells what is wrong with a chart that should be live in that theme.
func (c Chart) Check(theme plots.Theme) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("chart %q: "+format, append([]any{c.Title}, args...)...)
	}
	switch {
	case !c.Canvas && c.Picture:
		return fail("is a static picture, and not live")
	case !c.Canvas:
		return fail("has no canvas")
	case c.Drawn < leastDrawn || c.Coloured < leastColoured || c.Colors < leastColors:
		return fail("looks empty: %.2f %% of the pixels are drawn, %.2f %% in colour, in %d colours", 100*c.Drawn, 100*c.Coloured, c.Colors)
	case c.Ground[3] != 255:
		return fail("is transparent")
	}
	if dark := c.Ground[0]+c.Ground[1]+c.Ground[2] < 3*128; dark != (theme == plots.Dark) {
		return fail("has the ground %v in a page that is %s", c.Ground, theme)
	}
	return nil
}

// Tooltip moves the mouse over a chart, counted from 0 among Charts, until a tooltip is drawn, and returns its text. It starts
// where data most often are and tries some fifty places.
func (p *Page) Tooltip(chart int) (string, error) {
	if err := p.moveTo(1, 1); err != nil {
		return "", err
	}
	box, err := Evaluate[[4]float64](p, fmt.Sprintf("e2e.aim(%d)", chart))
	if err != nil {
		return "", err
	}
	for _, y := range []float64{0.7, 0.5, 0.3, 0.8} {
		for x := 0.12; x < 0.95; x += 0.06 {
			if err := p.moveTo(box[0]+x*box[2], box[1]+y*box[3]); err != nil {
				return "", err
			}
			tip, err := Evaluate[tooltip](p, fmt.Sprintf("e2e.seen(%d)", chart))
			if err != nil {
				return "", err
			}
			if tip.Text != "" {
				return tip.Text, tip.check()
			}
		}
	}
	return "", errors.New("shows no tooltip anywhere")
}

// tooltip is what there is of one.
type tooltip struct {
	Text    string `json:"text"`
	Changed int    `json:"changed"` // pixels, since the mouse was elsewhere
}

func (t tooltip) check() error {
	const least = 300 // that a box with some letters changes
	if t.Changed < least || !strings.ContainsAny(t.Text, "0123456789") {
		return fmt.Errorf("tooltip %q: has no number, or is not drawn: %d pixels have changed", t.Text, t.Changed)
	}
	return nil
}

func (p *Page) moveTo(x, y float64) error {
	ctx, stop := context.WithTimeout(p.ctx, evaluateTime)
	defer stop()
	return chromedp.Do(ctx, chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, x, y))
}

// Screenshot is a PNG of a chart, counted from 0 among Charts, as it is seen on the page.
func (p *Page) Screenshot(chart int) ([]byte, error) {
	box, err := Evaluate[[4]float64](p, fmt.Sprintf("e2e.box(%d)", chart))
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithTimeout(p.ctx, evaluateTime)
	defer stop()
	shot, err := chromedp.Call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{
		Clip:                  &page.Viewport{X: box[0], Y: box[1], Width: box[2], Height: box[3], Scale: 1},
		CaptureBeyondViewport: new(true),
	})
	return shot.Data, err
}
