package e2e

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/plots"
)

// runFolder is a run: the one that was given, or one of few steps.
func runFolder(t *testing.T) string {
	t.Helper()
	if given := os.Getenv(envRun); given != "" {
		path, err := filepath.Abs(given)
		check(t, err)
		return path
	}
	folder := filepath.Join(t.TempDir(), "run")
	args := []string{"run", "--preset", "embedded", "--backend", "go", "--out", folder, "--set", "log_every=1", "--set", "ternary_every=2"}
	for _, what := range []string{"model", "teacher", "task", "train", "corpus"} {
		args = append(args, "--"+what, "embedded")
	}
	for _, training := range []string{"fine_tune", "bitnet_sft", "stage2", "stage3"} {
		args = append(args, "--set", training+".steps=6", "--set", training+".batch_size=8")
	}
	bitdistill(t, append(args, "--dev", fewRows(t))...)
	return folder
}

// fewRows is a file of held-out sentences of our own.
func fewRows(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "dev.tsv")
	rows := "sentence\tlabel\n"
	for range 30 {
		rows += "a dull and sad story\t0\na kind and happy story\t1\n"
	}
	check(t, os.WriteFile(path, []byte(rows), 0o666))
	return path
}

func fileURL(path string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()
}

// TestReport opens the report of a run from disk.
func TestReport(t *testing.T) {
	b := startBrowser(t)
	page := fileURL(filepath.Join(runFolder(t), "report.html"))
	for _, theme := range []plots.Theme{plots.Light, plots.Dark} {
		p := open(t, b, page, theme)
		const learning = "Learning rate"
		tooltip := checkLive(t, p, theme, 15)[learning]
		if step, _, _ := strings.Cut(tooltip, "\n"); step == "" || strings.Trim(step, "0123456789") != "" {
			t.Errorf("chart %q: the tooltip %q does not begin with a step", learning, tooltip)
		}
		for _, c := range p.Complaints() {
			t.Errorf("the page complains: %s", c)
		}
		checkRequests(t, p, func(url string) bool { return url == page })
	}
}
