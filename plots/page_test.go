package plots

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// hostile texts try to get out of a string, an attribute, a script, a data block, a comment and a chart's templates.
var hostile = []string{
	`<img src=x onerror=alert(1)>`,
	`</script><script>alert(1)</script>`,
	`"><svg onload=alert(1)>`,
	`' onmouseover='alert(1)`,
	`<!--<script>`,
	`]]></title></style></div><b>`,
	"\u2028`${alert(1)}`\\",
	`{a|x}{b}{c}`,
	`__f__function(){alert(1)}__f__`,
	`@text`,
	"\x00\x01\xff",
}

// census counts the elements of a page by name, and fails on attributes that run.
func census(t *testing.T, page []byte) map[string]int {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	check(t, err)
	count := map[string]int{}
	for n := range root.Descendants() {
		if n.Type == html.CommentNode {
			count["comment"]++
		}
		if n.Type != html.ElementNode {
			continue
		}
		count[n.Data]++
		for _, a := range n.Attr {
			if strings.HasPrefix(strings.ToLower(a.Key), "on") || strings.HasPrefix(strings.ToLower(a.Val), "javascript:") {
				t.Errorf("<%s> has the attribute %s=%q", n.Data, a.Key, a.Val)
			}
		}
	}
	return count
}

// everything is a page with all there is, with label put wherever a user's text goes.
func everything(t *testing.T, label func(string) string) []byte {
	page := Page{Title: label("title")}
	all := gallery(t, label)
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		check(t, page.Add(all[name]))
		live, err := all[name].LiveFragment()
		check(t, err)
		page.Body = append(page.Body, live)
	}
	fragment, err := all["accuracy"].Fragment()
	check(t, err)
	page.Body = append(page.Body, fragment)
	page.Body = append(page.Body, Table(label("caption"), []string{label("a"), label("b")}, [][]string{{label("c"), "0.5 ± 0.1"}}))
	return written(t, &page)
}

func written(t *testing.T, p *Page) []byte {
	t.Helper()
	var b bytes.Buffer
	check(t, p.Write(&b))
	return b.Bytes()
}

func TestHostileTextAddsNoElement(t *testing.T) {
	want := census(t, everything(t, same))
	if want["script"] < 20 || want["table"] != 1 {
		t.Fatalf("the page is not whole: %v", want)
	}
	for _, h := range hostile {
		got := census(t, everything(t, func(s string) string { return h + s }))
		for _, name := range append(keys(got), keys(want)...) {
			if got[name] != want[name] {
				t.Errorf("%q: %d <%s>, want %d", h, got[name], name, want[name])
			}
		}
	}
}

func keys(m map[string]int) []string {
	var k []string
	for name := range m {
		k = append(k, name)
	}
	return k
}

func TestHostileTextInSVG(t *testing.T) {
	for i, h := range append([]string{strings.Join(hostile, "")}, hostile...) {
		for name, c := range gallery(t, func(s string) string { return h + s }) {
			if i > 0 && name != "accuracy" { // each text alone in one chart, all together in all
				continue
			}
			svg, err := c.SVG(Light)
			check(t, err)
			if err := wellFormed(svg); err != nil {
				t.Errorf("%s of %q: %v", name, h, err)
				continue
			}
			for element := range census(t, svg) {
				switch element {
				case "html", "head", "body", "svg", "g", "path", "rect", "polygon", "text", "defs", "clippath", "clipPath", "linearGradient", "stop", "style":
				default:
					t.Errorf("%s of %q has an element <%s>", name, h, element)
				}
			}
		}
	}
}

// TestPolicy holds that the page's policy allows each script that is in it, and nothing else.
func TestPolicy(t *testing.T) {
	page := Page{Title: "t", Body: []template.HTML{"<p>own section</p>"}}
	check(t, page.Add(gallery(t, same)["loss"]))
	root, err := html.Parse(bytes.NewReader(written(t, &page)))
	check(t, err)
	var policy string
	var sums []string
	data := 0
	for n := range root.Descendants() {
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
		}
		switch {
		case n.Data == "meta" && attr["http-equiv"] == "Content-Security-Policy":
			policy = attr["content"]
		case n.Data == "script" && attr["type"] == "application/json":
			data++
			if !json.Valid([]byte(n.FirstChild.Data)) {
				t.Error("a chart's data is not JSON")
			}
		case n.Data == "script":
			sum := sha256.Sum256([]byte(n.FirstChild.Data))
			sums = append(sums, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
		case attr["src"] != "" || attr["href"] != "":
			t.Errorf("<%s> loads %q", n.Data, attr["src"]+attr["href"])
		}
	}
	want := "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; script-src " + strings.Join(sums, " ")
	if policy != want || len(sums) != 3 || data != 1 {
		t.Errorf("policy %q, want %q; %d scripts, want 3; %d charts, want 1", policy, want, len(sums), data)
	}
}

// TestOptionsHoldNoFunctions holds what makes tooltips and labels harmless, for go-echarts' charts too.
func TestOptionsHoldNoFunctions(t *testing.T) {
	for name, c := range gallery(t, same) {
		raw, err := c.JSON()
		check(t, err)
		var o struct {
			Tooltip struct{ RenderMode string }
			Toolbox struct{ Feature map[string]any }
		}
		check(t, json.Unmarshal(raw, &o))
		if o.Tooltip.RenderMode != "richText" {
			t.Errorf("%s: tooltips are drawn as %q; that may be HTML", name, o.Tooltip.RenderMode)
		}
		for feature := range o.Toolbox.Feature {
			if feature != "saveAsImage" {
				t.Errorf("%s: the toolbox has %s, which may write HTML", name, feature)
			}
		}
	}
}

func TestFragment(t *testing.T) {
	all := gallery(t, same)
	small, err := all["accuracy"].Fragment()
	check(t, err)
	if !strings.Contains(string(small), `src="data:image/svg+xml;base64,`) {
		t.Error("a small chart's picture is not its SVG")
	}
	again, err := gallery(t, same)["accuracy"].Fragment()
	check(t, err)
	if small != again {
		t.Error("the same chart gives two different fragments; notebooks would differ after each run")
	}
	for name, c := range all {
		fragment, err := c.Fragment()
		check(t, err)
		live, err := c.LiveFragment()
		check(t, err)
		t.Logf("%-12s %d bytes, live %d", name, len(fragment), len(live))
		if len(fragment) > 256<<10 {
			t.Errorf("%s: %d bytes are too many for a notebook", name, len(fragment))
		}
	}
	if lib := Library(); strings.Contains(lib, "</script") || strings.Contains(lib, "<!--") {
		t.Error("the library would end its script element")
	}
}

// TestEchartsIsThePackages holds echarts to what echarts/README.md says it is.
func TestEchartsIsThePackages(t *testing.T) {
	readme, err := os.ReadFile("echarts/README.md")
	check(t, err)
	if sum := fmt.Sprintf("%x", sha256.Sum256([]byte(echartsJS))); !strings.Contains(string(readme), sum) {
		t.Errorf("echarts.min.js has SHA-256 %s, README.md says another one", sum)
	}
	if strings.ContainsAny(echartsJS+chartJS, "\r\x00") {
		t.Error("a parser of HTML would change the scripts, and their hashes would not fit")
	}
}

// TestTableAligns sees headers stand where their columns do.
func TestTableAligns(t *testing.T) {
	got := string(Table("", []string{"model", "accuracy", "note"}, [][]string{{"a", "not finite", "x"}, {"b", "0.90 ± 0.01", ""}}))
	for _, want := range []string{`<th scope="col" class="text">model<`, `<th scope="col" class="number">accuracy<`, `<th scope="col" class="text">note<`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
}
