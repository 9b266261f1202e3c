// Command gallery takes pictures of all charts in a run's report, in light and in dark mode, as Chromium draws them, and writes them
// into a folder with a README.md that shows them.
//
//	go -C e2e run ./gallery -run ../bitdistill-run -out ../docs/gallery
//
// It fails where a chart is not drawn, or where captions.go has no words for it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/bitdistill/bitdistill/e2e/browser"
	"github.com/bitdistill/bitdistill/internal/atomicfile"
	"github.com/bitdistill/bitdistill/plots"
)

func main() {
	run := flag.String("run", "../bitdistill-run", "`folder` of a finished run")
	out := flag.String("out", "../docs/gallery", "`folder` to write; pictures that are in it go")
	flag.Parse()
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	shown, size, err := gallery(ctx, filepath.Join(*run, "report.html"), *out)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d charts, twice each, %.1f MB in %s\n", shown, float64(size)/1e6, *out)
}

var themes = []plots.Theme{plots.Light, plots.Dark}

// gallery writes the folder, and says how many charts are in it and how many bytes their pictures are.
func gallery(ctx context.Context, report, out string) (shown, size int, err error) {
	chromium, err := browser.Start(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer chromium.Close()
	pictures := map[string][]byte{} // by file name
	var titles []string
	for _, theme := range themes {
		if titles, err = photograph(chromium, report, theme, pictures); err != nil {
			return 0, 0, fmt.Errorf("%s: %w", report, err)
		}
	}
	text, err := readme(titles)
	if err != nil {
		return 0, 0, err
	}
	if err := clean(out); err != nil {
		return 0, 0, err
	}
	pictures["README.md"] = []byte(text)
	for name, data := range pictures {
		size += len(data)
		write := func(w io.Writer) error { _, err := w.Write(data); return err }
		if err := atomicfile.WriteFile(filepath.Join(out, name), write); err != nil {
			return 0, 0, err
		}
	}
	return len(titles), size, nil
}

// photograph adds a picture of each chart in a theme, and gives the charts' titles.
func photograph(chromium *browser.Browser, report string, theme plots.Theme, pictures map[string][]byte) (titles []string, err error) {
	path, err := filepath.Abs(report)
	if err != nil {
		return nil, err
	}
	page, err := chromium.Open((&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String(), theme)
	if err != nil {
		return nil, err
	}
	defer page.Close()
	charts, err := page.Charts()
	if err != nil {
		return nil, err
	}
	for i, c := range charts {
		if err := c.Check(theme); err != nil {
			return nil, err
		}
		name := fileName(c.Title, theme)
		if pictures[name] != nil {
			return nil, fmt.Errorf("two charts would be saved as %s", name)
		}
		if pictures[name], err = page.Screenshot(i); err != nil {
			return nil, fmt.Errorf("chart %q: %w", c.Title, err)
		}
		titles = append(titles, c.Title)
	}
	if len(titles) == 0 {
		return nil, errors.New("has no charts")
	}
	return titles, nil
}

// fileName is the title in lower case, with a hyphen for whatever is neither a letter of English nor a digit.
func fileName(title string, theme plots.Theme) string {
	words := strings.FieldsFunc(strings.ToLower(title), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	return strings.Join(append(words, string(theme)), "-") + ".png"
}

// clean makes the folder and removes pictures of an earlier time.
func clean(out string) error {
	if err := os.MkdirAll(out, 0o777); err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(out, "*.png"))
	for _, path := range old {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}
