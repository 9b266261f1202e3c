package plots

import (
	"html/template"
	"strconv"
	"strings"
)

var table = template.Must(template.New("table").Funcs(template.FuncMap{"class": cellClass}).Parse(
	`<table><caption>{{.Caption}}</caption><thead><tr>{{range .Header}}<th scope="col" class="{{.Class}}">{{.Text}}</th>{{end}}</tr></thead><tbody>` +
		`{{range .Rows}}<tr>{{range .}}<td class="{{class .}}">{{.}}</td>{{end}}</tr>{{end}}</tbody></table>`))

// Table is a table in HTML, such as of ablations. Cells are text; those that are numbers, with or without an error after ±, stand
// on the right, and so do the headers of columns of them.
func Table(caption string, header []string, rows [][]string) template.HTML {
	var b strings.Builder
	err := table.Execute(&b, struct {
		Caption string
		Header  []columnHead
		Rows    [][]string
	}{caption, columnHeads(header, rows), rows})
	if err != nil { // the template is fixed and a Builder takes everything
		return template.HTML(template.HTMLEscapeString(err.Error()))
	}
	return template.HTML(b.String())
}

type columnHead struct{ Text, Class string }

func columnHeads(header []string, rows [][]string) []columnHead {
	heads := make([]columnHead, len(header))
	for i, text := range header {
		heads[i] = columnHead{text, "text"}
		for _, row := range rows {
			if i < len(row) && cellClass(row[i]) == "number" {
				heads[i].Class = "number"
				break
			}
		}
	}
	return heads
}

func cellClass(cell string) string {
	value, _, _ := strings.Cut(strings.TrimRight(cell, " %"), "±")
	if _, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
		return "number"
	}
	return "text"
}
