package report

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"

	"github.com/bitdistill/bitdistill/plots"
)

// builder puts a page together. After an error it does nothing more.
type builder struct {
	title    string
	from     string // where the numbers come from, for errors
	intro    []template.HTML
	sections []section
	err      error
}

type section struct {
	ID, Title string
	Body      []template.HTML
}

var layout = template.Must(template.New("").Parse(`
{{define "title"}}<h1>{{.}}</h1>{{end}}
{{define "text"}}<p>{{.}}</p>{{end}}
{{define "fold"}}<details><summary>{{.Summary}}</summary><pre>{{.Text}}</pre></details>{{end}}
{{define "table"}}<div style="overflow-x:auto{{if not .Wraps}};white-space:nowrap{{end}}">{{.Table}}</div>{{end}}
{{define "contents"}}<nav>{{range $i, $s := .}}{{if $i}} · {{end}}<a style="color:inherit" href="#{{.ID}}">{{.Title}}</a>{{end}}</nav>{{end}}
{{define "section"}}<section id="{{.ID}}"><h2>{{.Title}}</h2>
{{range .Body}}{{.}}
{{end}}</section>{{end}}`))

func (b *builder) render(name string, data any) template.HTML {
	var text strings.Builder
	if err := layout.ExecuteTemplate(&text, name, data); err != nil && b.err == nil {
		b.err = err
	}
	return template.HTML(text.String())
}

// add appends to the section that was begun last, or to what stands above all of them.
func (b *builder) add(part template.HTML) {
	if n := len(b.sections); n > 0 {
		b.sections[n-1].Body = append(b.sections[n-1].Body, part)
		return
	}
	b.intro = append(b.intro, part)
}

func (b *builder) section(id, title string) {
	b.sections = append(b.sections, section{ID: id, Title: title})
}

func (b *builder) text(format string, args ...any) {
	b.add(b.render("text", fmt.Sprintf(format, args...)))
}

func (b *builder) fold(summary, text string) {
	b.add(b.render("fold", struct{ Summary, Text string }{summary, text}))
}

func (b *builder) table(caption string, header []string, rows [][]string) {
	b.add(b.render("table", tablePart{plots.Table(caption, header, rows), false}))
}

// prose is a table with cells of longer text.
func (b *builder) prose(caption string, header []string, rows [][]string) {
	b.add(b.render("table", tablePart{plots.Table(caption, header, rows), true}))
}

type tablePart struct {
	Table template.HTML
	Wraps bool
}

func (b *builder) charts(charts ...*plots.Chart) {
	for _, c := range charts {
		figure, err := c.Figure()
		if err != nil && b.err == nil { // the numbers cannot be drawn: no run writes such
			b.err = inputError{fmt.Errorf("%s: %w", b.from, err)}
		}
		b.add(figure)
	}
}

// page is what was put together. Sections without content are left out.
func (b *builder) page() (*plots.Page, error) {
	var full []section
	for _, s := range b.sections {
		if len(s.Body) > 0 {
			full = append(full, s)
		}
	}
	body := append([]template.HTML{b.render("title", b.title)}, b.intro...)
	body = append(body, b.render("contents", full))
	for _, s := range full {
		body = append(body, b.render("section", s))
	}
	return &plots.Page{Title: titlePrefix + b.title, Body: body}, b.err
}

// sizeText writes bytes in decimal units, as the tables of the command line do.
func sizeText(bytes int64) string {
	x, units := float64(bytes), []string{"B", "kB", "MB", "GB"}
	for x >= 1000 && len(units) > 1 {
		x, units = x/1000, units[1:]
	}
	if units[0] == "B" {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %s", x, units[0])
}

// number is a number as short as it can be read.
func number(x float64) string { return strconv.FormatFloat(x, 'g', 4, 64) }
