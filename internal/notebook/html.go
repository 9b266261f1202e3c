package notebook

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html"
	"html/template"
	"io"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	unsafehtml "github.com/yuin/goldmark/renderer/html"
)

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Parse(pageSource))

// pageCell is what the template shows of a cell.
type pageCell struct {
	ID, Kind, Source string
	Count            int
	Parts            []template.HTML // of markdown the text, of code the outputs
}

// WriteHTML writes the notebook as one page that needs no other file and asks no network.
//
// HTML and scripts in the outputs of the cells whose ids are trusted are part of the page; in those of all other cells they are
// not: HTML outputs stand in frames in which no script runs, and scripts are left out; charts show the pictures that are in them.
// HTML in texts is part of the page when any cell is trusted, and left out otherwise. Formulas are shown as the TeX they are.
func (nb *Notebook) WriteHTML(w io.Writer, title string, trusted map[string]bool) error {
	plain := renderer{markdown: goldmark.New(goldmark.WithExtensions(extension.GFM, formulas{}))}
	texts, script := plain, "'none'"
	rich := renderer{true, goldmark.New(goldmark.WithExtensions(extension.GFM, formulas{}), goldmark.WithRendererOptions(unsafehtml.WithUnsafe()))}
	if len(trusted) > 0 {
		texts, script = rich, "'unsafe-inline'"
	}
	var cells []pageCell
	for _, c := range nb.Cells {
		cell := pageCell{ID: c.ID, Kind: c.Kind, Source: c.Source, Count: c.Count}
		switch c.Kind {
		case "markdown":
			cell.Parts = []template.HTML{texts.text(c.Source, c.Attachments)}
		case "code":
			r := plain
			if trusted[c.ID] {
				r = rich
			}
			for _, out := range c.Outputs {
				cell.Parts = append(cell.Parts, r.output(out))
			}
		}
		cells = append(cells, cell)
	}
	policy := "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'; script-src " + script
	return page.Execute(w, map[string]any{"Title": title, "Policy": policy, "Cells": cells})
}

// renderer makes HTML of what cells hold. What it returns is safe as far as trusted asks for it.
type renderer struct {
	trusted  bool
	markdown goldmark.Markdown
}

func (r renderer) text(source string, attachments map[string]map[string]any) template.HTML {
	for name, data := range attachments {
		if kind, content := picture(data); content != "" {
			source = strings.ReplaceAll(source, "(attachment:"+name+")", "("+dataURI(kind, content)+")")
		}
	}
	var b bytes.Buffer
	if r.markdown.Convert([]byte(source), &b) != nil { // it never fails on a buffer
		return pre("", source)
	}
	return template.HTML(b.String())
}

func (r renderer) output(out Output) template.HTML {
	switch out.Kind {
	case "stream":
		return pre(out.Name, out.Text)
	case "error":
		text := strings.Join(out.Traceback, "\n")
		if text == "" {
			text = out.ErrorName + ": " + out.Error
		}
		return pre("stderr", text)
	}
	return r.display(out.Data)
}

// display shows the richest form that a page can show.
func (r renderer) display(data map[string]any) template.HTML {
	if s, ok := data["text/html"].(string); ok {
		if r.trusted {
			return template.HTML(`<div class="shown">` + s + `</div>`)
		}
		return template.HTML(`<iframe class="shown" sandbox="" title="output" srcdoc="` + html.EscapeString(s) + `"></iframe>`)
	}
	if s, ok := data["application/javascript"].(string); ok && r.trusted {
		return template.HTML("<script>" + strings.ReplaceAll(s, "</", `<\/`) + "</script>")
	}
	if kind, content := picture(data); content != "" {
		alt, _ := data["text/plain"].(string)
		return template.HTML(fmt.Sprintf(`<img class="shown" src="%s" alt="%s">`, dataURI(kind, content), html.EscapeString(alt)))
	}
	if s, ok := data["text/markdown"].(string); ok {
		return r.text(s, nil)
	}
	for _, kind := range []string{"text/latex", "text/plain"} {
		if s, ok := data[kind].(string); ok {
			return pre("stdout", s)
		}
	}
	return ""
}

// pictures are the types that a page shows as images, in which no script runs, not even in SVG.
var pictures = []string{"image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp"}

// picture finds a picture among forms of an output, and its content in base64.
func picture(data map[string]any) (kind, content string) {
	for _, kind := range pictures {
		s, ok := data[kind].(string)
		switch {
		case !ok:
		case kind == "image/svg+xml":
			return kind, base64.StdEncoding.EncodeToString([]byte(s))
		default:
			s = strings.Join(strings.Fields(s), "")
			if _, err := base64.StdEncoding.DecodeString(s); err == nil {
				return kind, s
			}
		}
	}
	return "", ""
}

func dataURI(kind, content string) string { return "data:" + kind + ";base64," + content }

func pre(class, s string) template.HTML {
	return template.HTML(`<pre class="` + html.EscapeString(class) + `">` + html.EscapeString(terminal.ReplaceAllString(s, "")) + `</pre>`)
}
