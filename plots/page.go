package plots

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html"
	"html/template"
	"io"
	"strings"
)

//go:embed page.css
var pageCSS string

// Page is an HTML page that holds all that it needs: echarts, charts and whatever else. A Content-Security-Policy in it allows
// no other scripts than its own and no network, so that a text that got in unescaped could still do nothing.
//
// It follows the light or dark mode of the reader's system.
type Page struct {
	Title string
	Body  []template.HTML // in order; charts come from Chart.Figure, own sections from html/template, tables from Table
}

// Add appends charts to the body.
func (p *Page) Add(charts ...*Chart) error {
	for _, c := range charts {
		figure, err := c.Figure()
		if err != nil {
			return err
		}
		p.Body = append(p.Body, figure)
	}
	return nil
}

// Write writes the page.
func (p *Page) Write(w io.Writer) error {
	const run = "bitdistill.page();"
	scripts := []string{echartsJS, chartJS, run}
	policy := "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; script-src"
	for _, s := range scripts {
		sum := sha256.Sum256([]byte(s))
		policy += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<!DOCTYPE html>
<html lang="en" data-theme="auto">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="%s">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>%s</title>
<style>%s</style>
</head>
<body>
<main>
`, html.EscapeString(policy), html.EscapeString(p.Title), pageCSS)
	for _, part := range p.Body {
		b.WriteString(string(part))
		b.WriteByte('\n')
	}
	b.WriteString("</main>\n")
	for _, s := range scripts {
		b.WriteString("<script>" + s + "</script>\n")
	}
	b.WriteString("</body>\n</html>\n")
	_, err := w.Write(b.Bytes())
	return err
}

// Figure is the chart as a part of a Page: the option as data, which the page's script draws.
func (c *Chart) Figure() (template.HTML, error) {
	option, err := c.JSON()
	if err != nil {
		return "", err
	}
	return template.HTML(fmt.Sprintf(
		`<figure><div class="bitdistill-chart" role="img" aria-label="%s" style="height:%dpx"><script type="application/json">%s</script></div></figure>`,
		html.EscapeString(c.title), c.height, option)), nil
}

// Fragment is the chart as the output of a notebook's cell: a picture, which a script replaces by the live chart where scripts run
// and Library has run before. Where they do not, as in a notebook that is not trusted, at a code host or in print, the picture
// stays.
func (c *Chart) Fragment() (template.HTML, error) {
	option, err := c.JSON()
	if err != nil {
		return "", err
	}
	picture, err := c.picture()
	if err != nil {
		return "", err
	}
	return c.fragment(option, fmt.Sprintf(`<img alt="%s" style="max-width:100%%" src="%s">`, html.EscapeString(c.title), picture)), nil
}

// LiveFragment is a Fragment without the picture: small and quick, for a chart that is soon to be replaced.
func (c *Chart) LiveFragment() (template.HTML, error) {
	option, err := c.JSON()
	if err != nil {
		return "", err
	}
	return c.fragment(option, ""), nil
}

func (c *Chart) fragment(option []byte, picture string) template.HTML {
	name := id(option)
	return template.HTML(fmt.Sprintf(
		`<div id="%s" role="img" aria-label="%s" style="width:100%%;max-width:%dpx;height:%dpx">%s</div><script>window.bitdistill&&bitdistill.show("%s",%s)</script>`,
		name, html.EscapeString(c.title), c.width, c.height, picture, name, option))
}

// picture is the chart as a data URL: SVG unless the PNG is smaller, as for heat maps.
func (c *Chart) picture() (string, error) {
	svg, err := c.SVG(Light)
	if err != nil {
		return "", err
	}
	const small = 64 << 10
	if len(svg) <= small {
		return dataURL("image/svg+xml", svg), nil
	}
	png, err := c.PNG(Light)
	if err != nil {
		return "", err
	}
	if len(svg) <= len(png) {
		return dataURL("image/svg+xml", svg), nil
	}
	return dataURL("image/png", png), nil
}

func dataURL(kind string, data []byte) string {
	return "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(data)
}

// Library is the script, about 1.1 MB, that Fragments need to be live. It does nothing where it has run before. In the classic
// notebook RequireJS would take echarts for a module of its own, so its names are hidden; another echarts in the page stays.
func Library() string {
	var b strings.Builder
	b.WriteString("if(!window.bitdistill){(function(define,exports,module){var theirs=window.echarts;\n")
	b.WriteString(echartsJS)
	b.WriteString("\n")
	b.WriteString(chartJS)
	b.WriteString("if(theirs)window.echarts=theirs;}).call(window)}\n")
	return b.String()
}
