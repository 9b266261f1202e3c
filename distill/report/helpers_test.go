package report

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/plots"
	"golang.org/x/net/html"
)

var finished struct {
	sync.Once
	dir string
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if finished.dir != "" {
		os.RemoveAll(finished.dir)
	}
	os.Exit(code)
}

// run is a folder of a run that was made once, with few steps, copied for the test.
func run(t *testing.T) string {
	t.Helper()
	finished.Do(func() { finished.dir, finished.err = makeRun() })
	check(t, finished.err)
	dir := filepath.Join(t.TempDir(), "run")
	check(t, os.CopyFS(dir, os.DirFS(filepath.Join(finished.dir, "run"))))
	return dir
}

func makeRun() (string, error) {
	dir, err := os.MkdirTemp("", "report-")
	if err != nil {
		return dir, err
	}
	rows := "sentence\tlabel\n" + strings.Repeat("the day was long and the dog was sad\t0\nthe sun was out and we liked the park\t1\na fine film\t1\n", 6)
	train, dev, text := filepath.Join(dir, "train.tsv"), filepath.Join(dir, "dev.tsv"), filepath.Join(dir, "stories.txt")
	for path, content := range map[string]string{train: rows, dev: rows, text: strings.Repeat("Once upon a time there was a little dog. ", 40)} {
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			return dir, err
		}
	}
	cfg, err := distill.Preset("embedded")
	if err != nil {
		return dir, err
	}
	cfg.Task.Train, cfg.Task.Dev, cfg.Corpus.Files = train, dev, []string{text}
	err = cfg.Set("backend=go", "log_every=1", "ternary_every=1", "corpus.length=32", "corpus.report_windows=2", "fine_tune.steps=2", "bitnet_sft.steps=2",
		"stage2.steps=3", "stage3.steps=3", "stage2.batch_size=4", "stage3.batch_size=4", "fine_tune.batch_size=4", "bitnet_sft.batch_size=4",
		"bitnet_sft.eval_every=1", "task.selection_rows=2")
	if err != nil {
		return dir, err
	}
	run, err := distill.Open(context.Background(), cfg, distill.Options{Out: filepath.Join(dir, "run")})
	if err != nil {
		return dir, err
	}
	defer run.Close()
	_, err = run.Do(context.Background())
	return dir, err
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pageOfRun is the report of a folder, as a tree and as text.
func pageOfRun(t *testing.T, dirs ...string) (root *html.Node, page string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), FileName)
	check(t, Write(context.Background(), out, dirs...))
	raw, err := os.ReadFile(out)
	check(t, err)
	root, err = html.Parse(bytes.NewReader(raw))
	check(t, err)
	return root, string(raw)
}

// census counts elements by name, and fails on attributes that run.
func census(t *testing.T, root *html.Node) map[string]int {
	t.Helper()
	count := map[string]int{}
	for n := range root.Descendants() {
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

// content is the text of an element.
func content(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

// rows are the cells of all table rows of a page.
func rows(root *html.Node) [][]string {
	var all [][]string
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && n.Data == "tr" {
			var cells []string
			for c := range n.ChildNodes() {
				cells = append(cells, content(c))
			}
			all = append(all, cells)
		}
	}
	return all
}

// rowOf is the first row that begins with a cell.
func rowOf(t *testing.T, root *html.Node, first string) []string {
	t.Helper()
	for _, r := range rows(root) {
		if r[0] == first {
			return r
		}
	}
	t.Fatalf("no table row begins with %q", first)
	return nil
}

// chartTitles are the labels of all charts.
func chartTitles(root *html.Node) []string {
	var all []string
	for n := range root.Descendants() {
		for _, a := range n.Attr {
			if a.Key == "aria-label" {
				all = append(all, a.Val)
			}
		}
	}
	return all
}

// wantChart fails unless a chart's title contains a text.
func wantChart(t *testing.T, root *html.Node, titles ...string) {
	t.Helper()
	all := chartTitles(root)
	for _, title := range titles {
		if !slices.ContainsFunc(all, func(s string) bool { return strings.Contains(s, title) }) {
			t.Errorf("no chart %q among %q", title, all)
		}
	}
}

// edit changes a JSON file.
func edit(t *testing.T, path string, change func(map[string]any)) {
	t.Helper()
	raw, err := os.ReadFile(path)
	check(t, err)
	var object map[string]any
	check(t, json.Unmarshal(raw, &object))
	change(object)
	raw, err = json.Marshal(object)
	check(t, err)
	check(t, os.WriteFile(path, raw, 0o666))
}

// options are those of the charts made by a function, decoded.
func option(t *testing.T, c *plots.Chart) map[string]any {
	t.Helper()
	raw, err := c.JSON()
	check(t, err)
	var o map[string]any
	check(t, json.Unmarshal(raw, &o))
	return o
}
