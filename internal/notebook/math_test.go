package notebook

import (
	"bytes"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// rendered is the page of one text, and of that the formulas and all other text.
func rendered(t *testing.T, source string, trusted map[string]bool) (page string, formulas []string, rest string) {
	t.Helper()
	nb := &Notebook{Cells: []*Cell{{ID: "m", Kind: "markdown", Source: source}}}
	var b bytes.Buffer
	if err := nb.WriteHTML(&b, "t", trusted); err != nil {
		t.Fatal(err)
	}
	root, err := html.Parse(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	var read func(n *html.Node, formula bool)
	read = func(n *html.Node, formula bool) {
		for _, a := range n.Attr {
			if n.Data == "code" && a.Key == "class" && slices.Contains(strings.Fields(a.Val), "math") {
				formula = true
				formulas = append(formulas, a.Val+": ")
			}
		}
		switch {
		case n.Type == html.TextNode && formula:
			formulas[len(formulas)-1] += n.Data
		case n.Type == html.TextNode:
			rest += n.Data
		}
		for c := range n.ChildNodes() {
			read(c, formula)
		}
	}
	read(root, false)
	return b.String(), formulas, rest
}

// TestFormulasOfTheNotebooks finds the formulas by a regular expression, which is enough for these texts, and wants each of them
// on the page, to the letter.
func TestFormulasOfTheNotebooks(t *testing.T) {
	formula := regexp.MustCompile(`(?s)\$\$(.+?)\$\$|\$([^$\n]+)\$`)
	files, err := filepath.Glob("../../notebooks/0[0-9]-*[a-z0-9].ipynb")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d notebooks: %v", len(files), err)
	}
	spaces := 0
	for _, file := range files {
		nb, err := ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range nb.Cells {
			if c.Kind != "markdown" {
				continue
			}
			var want []string
			for _, m := range formula.FindAllStringSubmatch(c.Source, -1) {
				class := "math: "
				if m[1] != "" {
					class = "math display: "
				}
				want = append(want, class+strings.ReplaceAll(strings.TrimSpace(m[1]+m[2]), "\n", " "))
				spaces += strings.Count(m[0], `\,`) + strings.Count(m[0], `\;`)
			}
			_, got, rest := rendered(t, c.Source, nil)
			if !slices.Equal(got, want) || strings.Contains(rest, "$") {
				t.Errorf("%s [%s]:\n%q, want\n%q", file, c.ID, got, want)
			}
		}
	}
	if spaces < 10 {
		t.Errorf("only %d spaces by hand in the formulas, which this test is about", spaces)
	}
}

func TestFormulas(t *testing.T) {
	for _, c := range []struct {
		source string
		want   []string
		rest   string // of the text, among others
	}{
		{"a $x_1 * y_2$ b $*z*$", []string{"math: x_1 * y_2", "math: *z*"}, "a  b "},
		{"costs $5 and $6, $ 7 $ or $8$9", nil, "costs $5 and $6, $ 7 $ or $8$9"},
		{"`$HOME` and \\$x$ and $$ $$", nil, "$HOME and $x$ and $$ $$"},
		{"```\n$x$\n```", nil, "$x$"},
		{"$a\\$b$", []string{`math: a\$b`}, ""},
		{"$a\nb$ $$c\n\\,d$$ e", []string{"math: a b", `math display: c \,d`}, "e"},
		{"text\n$$\na\n=\n- b\n# c\n$$\n## head", []string{"math display: a = - b # c"}, "head"},
		{"- item\n  $$x\n  > y$$\n\n> $$\n> a\n> $$\n> b", []string{"math display: x > y", "math display: a"}, "b"},
		{"$$\na\n\nb $c$\n", []string{"math: c"}, "$$\na"},
		{"-\tx\n\n\t$$\n\t\ta\\,b$$\n\n\ty", []string{`math display: a\,b`}, "y"},
		{"$$ a", nil, "$$ a"},
		{"| $a$ | b |\n|-|-|\n| $\\,c$ | $d$ |", []string{"math: a", `math: \,c`, "math: d"}, "b"},
	} {
		page, got, rest := rendered(t, c.source, nil)
		if !slices.Equal(got, c.want) || !strings.Contains(rest, c.rest) {
			t.Errorf("%q: %q, and %q in\n%s", c.source, got, c.rest, page[strings.Index(page, "<section"):])
		}
	}
}

func TestHostileFormulas(t *testing.T) {
	const evil = `<script>evil()</script><img src=x onerror=evil()><b>`
	for _, trusted := range []map[string]bool{nil, {"m": true}} {
		page, got, _ := rendered(t, "$"+evil+"$\n\n$$\n"+evil+"</code>\n$$\n", trusted)
		count := elements(t, page)
		if count["script"]+count["img"]+count["b"]+count["handler"] != 0 || len(got) != 2 || !strings.Contains(got[0], evil) {
			t.Errorf("trusted %v: %v %q", trusted, count, got)
		}
	}
}
