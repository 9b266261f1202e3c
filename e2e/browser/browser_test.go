package browser

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/plots"
)

func startBrowser(t *testing.T) *Browser {
	b, err := Start(t.Context())
	switch {
	case errors.Is(err, ErrNone) && os.Getenv("BITDISTILL_NO_SKIP") != "1":
		t.Skipf("NOT TESTED: %v", err)
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// serve opens what is written as a page.
func serve(t *testing.T, b *Browser, theme plots.Theme, html string) *Page {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, html)
	}))
	t.Cleanup(server.Close)
	p, err := b.Open(server.URL, theme)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// TestBadCharts shows charts that must not pass for live ones.
func TestBadCharts(t *testing.T) {
	b := startBrowser(t)
	const icon = `<link rel="icon" href="data:,">`
	draw := func(script string) string {
		return icon + `<div role="img" aria-label="bad"><canvas width="800" height="400"></canvas></div><script>
			var c = document.querySelector("canvas").getContext("2d"); ` + script + `</script>`
	}
	ground := `c.fillStyle = "#fff"; c.fillRect(0, 0, 800, 400); `
	axes := `c.fillStyle = "#222"; c.font = "16px sans-serif"; c.fillRect(70, 350, 700, 2); c.fillRect(70, 50, 2, 300);
		for (var i = 0; i < 40; i++) c.fillText("some label, %", 20 * (i % 36), 20 + 9 * i); `
	curve := `c.strokeStyle = "#0072b2"; c.lineWidth = 3; c.beginPath(); c.moveTo(70, 300); c.bezierCurveTo(300, 20, 400, 390, 770, 80); c.stroke();`
	cases := map[string]struct{ html, want string }{
		"no canvas":   {icon + `<div role="img" aria-label="bad"></div>`, "has no canvas"},
		"picture":     {icon + `<div role="img" aria-label="bad"><img src="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/%3E"></div>`, "static picture"},
		"untouched":   {draw(""), "looks empty"},
		"blank":       {draw(ground), "looks empty"},
		"axes alone":  {draw(ground + axes), "looks empty"},
		"transparent": {draw(axes + curve), "transparent"},
		"wrong theme": {strings.ReplaceAll(draw(ground+axes+curve), "#fff", "#16181d"), "has the ground"},
		"good":        {draw(ground + axes + curve), ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := serve(t, b, plots.Light, c.html)
			charts, err := p.Charts()
			if err != nil || len(charts) != 1 {
				t.Fatalf("%d charts, %v", len(charts), err)
			}
			err = charts[0].Check(plots.Light)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v: %v, want %q", charts[0], err, c.want)
			}
			if complaints := p.Complaints(); len(complaints) > 0 {
				t.Errorf("complaints: %q", complaints)
			}
			if name != "good" {
				return
			}
			if text, err := p.Tooltip(0); err == nil {
				t.Errorf("has the tooltip %q", text)
			}
		})
	}
}

// TestEmptyChart draws a chart without data by the library itself: axes and texts alone must not pass.
func TestEmptyChart(t *testing.T) {
	b := startBrowser(t)
	page := plots.Page{Title: "empty"}
	if err := page.Add(plots.Lines("No data", "step", "loss", plots.LineOptions{}, plots.Curve{Name: "nothing"})); err != nil {
		t.Fatal(err)
	}
	var html strings.Builder
	if err := page.Write(&html); err != nil {
		t.Fatal(err)
	}
	for _, theme := range []plots.Theme{plots.Light, plots.Dark} {
		charts, err := serve(t, b, theme, html.String()).Charts()
		if err != nil || len(charts) != 1 {
			t.Fatalf("%d charts, %v", len(charts), err)
		}
		if err := charts[0].Check(theme); err == nil || !strings.Contains(err.Error(), "looks empty") {
			t.Errorf("%s: %+v: %v", theme, charts[0], err)
		}
	}
}

// TestNoise opens pages that complain, or ask for what they should not.
func TestNoise(t *testing.T) {
	b := startBrowser(t)
	complaints := map[string]string{
		`<script>console.error("something", 1)</script>`:                                             "something",
		`<script>noSuchFunction()</script>`:                                                          "noSuchFunction",
		`<script>Promise.reject(new Error("unheard"))</script>`:                                      "unheard",
		`<img src="missing.png">`:                                                                    "404",
		`<meta http-equiv="Content-Security-Policy" content="default-src 'none'"><script>1</script>`: "Content Security Policy",
		`<script src="https://example.org/echarts.min.js"></script>`:                                 "ERR_NAME_NOT_RESOLVED",
	}
	for html, want := range complaints {
		p := serve(t, b, plots.Light, html)
		if err := p.WaitFor(`document.readyState === "complete"`, evaluateTime); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(p.Complaints(), "\n"); !strings.Contains(got, want) {
			t.Errorf("%s: complaints %q, want %q", html, got, want)
		}
	}
	p := serve(t, b, plots.Light, `<img src="https://example.org/a.png"><script>new WebSocket("wss://example.com/socket")</script>`)
	if err := p.WaitFor(`document.readyState === "complete"`, evaluateTime); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(p.Requests(), "\n")
	for _, want := range []string{"https://example.org/a.png", "wss://example.com/socket", "http://127.0.0.1:"} {
		if !strings.Contains(got, want) {
			t.Errorf("requests %q, want %s", got, want)
		}
	}
}
