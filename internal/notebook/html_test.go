package notebook

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// hostile is a notebook whose every part tries to run a script or to add an element.
func hostile() *Notebook {
	const script = `<script>evil()</script><img src=x onerror=evil()><b>bold</b>`
	show := func(mime, content string) Output {
		return Output{Kind: "display_data", Data: map[string]any{mime: content}}
	}
	return &Notebook{Cells: []*Cell{
		{ID: "m", Kind: "markdown", Source: "# head\n" + script + "\n\n[link](javascript:evil()) ![p](attachment:a.png)\n",
			Attachments: map[string]map[string]any{"a.png": {"image/png": "aGk="}}},
		{ID: "c", Kind: "code", Source: "</pre>" + script, Count: 1, Outputs: []Output{
			{Kind: "stream", Name: `stdout"><script>`, Text: "</pre>" + script},
			{Kind: "error", ErrorName: script, Error: script, Traceback: []string{script}},
			show("text/html", `"></iframe>`+script),
			show("application/javascript", "evil()"),
			show("image/svg+xml", `<svg onload="evil()">`+script+`</svg>`),
			show("image/png", `x" onerror="evil()`),
			show("text/markdown", script),
			show("text/plain", script),
		}},
		{ID: "r", Kind: "raw", Source: script},
	}}
}

// elements counts elements of a page, and fails on what would run a script.
func elements(t *testing.T, page string) map[string]int {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		count[n.Data]++
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") {
				count["handler"]++
			}
			if strings.HasPrefix(a.Val, "javascript:") {
				count["javascript:"]++
			}
			if n.Data == "img" && a.Key == "src" && !strings.HasPrefix(a.Val, "data:image/") {
				count["img from elsewhere"]++
			}
			if n.Data == "iframe" && a.Key == "sandbox" && a.Val == "" {
				count["sandbox"]++
			}
		}
	}
	return count
}

func TestHTMLUntrusted(t *testing.T) {
	var b bytes.Buffer
	if err := hostile().WriteHTML(&b, `</title><script>`, nil); err != nil {
		t.Fatal(err)
	}
	got := elements(t, b.String())
	for _, bad := range []string{"script", "handler", "javascript:", "svg", "b", "img from elsewhere"} {
		if got[bad] != 0 {
			t.Errorf("%d × %s:\n%s", got[bad], bad, b.String())
		}
	}
	if got["img"] != 2 || got["iframe"] != 1 || got["sandbox"] != 1 || got["h1"] != 1 || got["section"] != 3 {
		t.Errorf("%v", got)
	}
	for _, want := range []string{"script-src &#39;none&#39;", "base-uri &#39;none&#39;", "form-action &#39;none&#39;"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in the policy", want)
		}
	}
}

func TestHTMLTrusted(t *testing.T) {
	nb := &Notebook{Cells: []*Cell{
		{ID: "m", Kind: "markdown", Source: "| a | b |\n|-|-|\n| 1 | 2 |\n\n<b>raw</b>"},
		{ID: "c", Kind: "code", Source: "x < y", Count: 3, Outputs: []Output{
			{Kind: "display_data", Data: map[string]any{"text/html": `<div id="chart"></div><script>draw()</script>`}},
			{Kind: "stream", Name: "stdout", Text: "\x1b[1mbold\x1b[0m <b>"},
		}},
	}}
	left := hostile().Cells[1] // by an earlier run
	left.ID = "left"
	nb.Cells = append(nb.Cells, left)
	var b bytes.Buffer
	if err := nb.WriteHTML(&b, "Tour", map[string]bool{"c": true}); err != nil {
		t.Fatal(err)
	}
	got := elements(t, b.String())
	if got["script"] != 1 || got["table"] != 1 || got["b"] != 1 || got["handler"] != 0 || got["iframe"] != 1 || got["sandbox"] != 1 {
		t.Errorf("%v", got)
	}
	for _, want := range []string{"default-src &#39;none&#39;", "<title>Tour</title>", "[3]", "bold &lt;b&gt;</pre>", "x &lt; y</pre>"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "http") && strings.Contains(strings.ReplaceAll(b.String(), "http-equiv", ""), "http") {
		t.Error("the page names an address")
	}
}
