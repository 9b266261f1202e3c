package plots

import (
	"html/template"
	"strconv"
	"strings"
)

var table = template.Must(template.New("table").Funcs(template.FuncMap{"class": cellClass}).Parse(
	`<table><caption>{{.Caption}}</caption><thead><tr>{{range .Header}}<th scope="col">{{.}}</th>{{end}}</tr></thead><tbody>` +
		`{{range .Rows}}<tr>{{range .}}<td class="{{class .}}">{{.}}</td>{{end}}</tr>{{end}}</tbody></table>`))

// Table is a table in HTML, such as of ablations. Cells are text; those that are numbers, with or without an error after ±, stand
// on the right.
func Table(caption string, header []string, rows [][]string) template.HTML {
	var b strings.Builder
	err := table.Execute(&b, struct {
		Caption string
		Header  []string
		Rows    [][]string
	}{caption, header, rows})
	if err != nil { // the template is fixed and a Builder takes everything
		return template.HTML(template.HTMLEscapeString(err.Error()))
	}
	return template.HTML(b.String())
}

func cellClass(cell string) string {
	value, _, _ := strings.Cut(strings.TrimRight(cell, " %"), "±")
	if _, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
		return "number"
	}
	return "text"
}
