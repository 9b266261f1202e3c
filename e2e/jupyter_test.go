package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bitdistill/bitdistill/e2e/browser"
	"github.com/bitdistill/bitdistill/internal/notebook"
	"github.com/bitdistill/bitdistill/plots"
)

// jupyterHome is folders of Jupyter's own, with the kernel that bitdistill installs, as variables of the environment.
func jupyterHome(t *testing.T) []string {
	t.Helper()
	home := t.TempDir()
	var env []string
	for _, name := range []string{"JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"} {
		env = append(env, name+"="+filepath.Join(home, name))
	}
	path, err := program()
	check(t, err)
	command(t, env, path, "notebook", "install", "--user")
	return append(env, "JUPYTER_PATH=")
}

// server is a Jupyter Notebook that serves a folder.
type server struct {
	URL   string `json:"url"` // with a slash at its end
	Token string `json:"token"`
}

// classic starts the classic Jupyter Notebook, which ends with the test, and its kernels with it.
func classic(t *testing.T, folder string) server {
	t.Helper()
	env := jupyterHome(t)
	var log bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "jupyter-notebook", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--notebook-dir="+folder)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), env...), &log, &log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it ends its kernels then
	cmd.WaitDelay = time.Minute
	check(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { // the test's context is done by now
		if err := <-ended; t.Failed() {
			t.Logf("jupyter-notebook: %v\n%s", err, tail(log.String()))
		}
	})
	runtime := strings.TrimPrefix(env[2], "JUPYTER_RUNTIME_DIR=")
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		found, err := filepath.Glob(filepath.Join(runtime, "nbserver-*.json"))
		check(t, err)
		var s server
		if len(found) == 0 {
			continue
		}
		if raw, err := os.ReadFile(found[0]); err == nil && json.Unmarshal(raw, &s) == nil {
			return s
		}
	}
	t.Fatal("jupyter-notebook: not there within a minute")
	return server{}
}

// notebook opens a notebook of the served folder, and waits for it, its kernel and its formulas.
func (s server) notebook(t *testing.T, b *browser.Browser, name string, theme plots.Theme) *browser.Page {
	t.Helper()
	p := open(t, b, s.URL+"notebooks/"+name+"?token="+url.QueryEscape(s.Token), theme)
	check(t, p.WaitFor(loaded, time.Minute))
	_, err := browser.Evaluate[struct{}](p, `new Promise(ok => MathJax.Hub.Queue(ok))`)
	check(t, err)
	return p
}

// complaints are those of a page without outputs. Its kernel is ended.
func (s server) complaints(t *testing.T, b *browser.Browser, name string) []string {
	t.Helper()
	p := s.notebook(t, b, name, plots.Light)
	_, err := browser.Evaluate[struct{}](p, `new Promise((ok, bad) => Jupyter.notebook.session.delete(ok, bad))`)
	check(t, err)
	all := timeless(p.Complaints())
	p.Close()
	return all
}

// check demands a page that asks no other host for anything and complains about no more than it does without outputs: Debian's
// Jupyter looks for an extension that is not installed, for one.
func (s server) check(t *testing.T, p *browser.Page, without []string) {
	t.Helper()
	for _, c := range timeless(p.Complaints()) {
		if !slices.Contains(without, c) {
			t.Errorf("the page complains: %s", c)
		}
	}
	checkRequests(t, p, s.own)
}

// timeless are complaints without the time that Jupyter puts behind names of scripts, and where they came from.
func timeless(complaints []string) []string {
	for i, c := range complaints {
		complaints[i] = version.ReplaceAllString(notebookName.ReplaceAllString(c, ""), "")
	}
	return complaints
}

var (
	version      = regexp.MustCompile(`\?v=[0-9]+`)
	notebookName = regexp.MustCompile(`[a-z]+\.ipynb`)
)

// loaded is true in a notebook that is there, with a kernel that waits.
const loaded = `window.Jupyter && Jupyter.notebook && Jupyter.notebook._fully_loaded && Jupyter.notebook.kernel && Jupyter.notebook.kernel.is_connected()`

// own tells whether an address is on the server.
func (s server) own(address string) bool {
	here, err1 := url.Parse(s.URL)
	there, err2 := url.Parse(address)
	return errors.Join(err1, err2) == nil && there.Host == here.Host
}

// chapter is a notebook that trains nothing, and chapterCharts how many charts it shows.
const (
	chapter       = "../notebooks/01-bitlinear.ipynb"
	chapterCharts = 3
)

// writeChapter copies the chapter without its outputs, behind a cell that keeps charts live if asked for.
func writeChapter(t *testing.T, path string, keepLive bool) {
	t.Helper()
	nb, err := notebook.ReadFile(chapter)
	check(t, err)
	for _, c := range nb.Cells {
		c.Outputs, c.Count = nil, 0
	}
	if keepLive {
		source := "import \"" + notebook.ModulePath + "/plots/inline\"\n\n%%\ninline.KeepLive()"
		nb.Cells = append([]*notebook.Cell{{ID: "keep-live", Kind: "code", Source: source, Metadata: map[string]any{}}}, nb.Cells...)
	}
	check(t, nb.WriteFile(path))
}

// TestExecutedNotebook opens an executed notebook in Jupyter: pictures at first, live charts once it is trusted. The page of the
// classic notebook is white whatever the system is like, and so are the charts.
func TestExecutedNotebook(t *testing.T) {
	needs(t, "jupyter-notebook", "jupyter-notebook")
	b := startBrowser(t)
	folder := t.TempDir()
	path := filepath.Join(folder, "executed.ipynb")
	writeChapter(t, path, true)
	bitdistill(t, "notebook", "run", "--inplace", path)
	writeChapter(t, filepath.Join(folder, "bare.ipynb"), false)
	s := classic(t, folder)
	without := s.complaints(t, b, "bare.ipynb")
	t.Logf("without outputs the page complains: %q", without)

	p := s.notebook(t, b, "executed.ipynb", plots.Light)
	checkPictures(t, p)
	s.check(t, p, without)

	trust(t, p)
	checkLive(t, p, plots.Light, chapterCharts)
	s.check(t, p, without)

	p = s.notebook(t, b, "executed.ipynb", plots.Dark)
	checkLive(t, p, plots.Light, chapterCharts)
	s.check(t, p, without)
}

// checkPictures demands pictures in place of charts, and no chart: the elements of a chart do not pass Jupyter's filter for what is
// not trusted, but its picture does.
func checkPictures(t *testing.T, p *browser.Page) {
	t.Helper()
	type picture struct {
		Alt           string
		Width, Height int
	}
	pictures, err := browser.Evaluate[[]picture](p, `Array.from(document.querySelectorAll(".output_area img")).map(
		i => ({Alt: i.alt, Width: i.complete && i.naturalWidth ? i.clientWidth : 0, Height: i.clientHeight}))`)
	check(t, err)
	if len(pictures) != chapterCharts {
		t.Errorf("%d pictures, want %d", len(pictures), chapterCharts)
	}
	for _, i := range pictures {
		if i.Width < 300 || i.Height < 150 {
			t.Errorf("picture %q: is %d by %d pixels", i.Alt, i.Width, i.Height)
		}
	}
	live, err := browser.Evaluate[int](p, `document.querySelectorAll(".output_area canvas").length`)
	check(t, err)
	if live > 0 {
		t.Errorf("%d canvases in a notebook that is not trusted", live)
	}
}

// trust does as a reader who chooses File, Trust Notebook, and confirms; the page is then loaded again.
func trust(t *testing.T, p *browser.Page) {
	t.Helper()
	_, err := browser.Evaluate[struct{}](p, `window.beforeTrust = true; Jupyter.notebook.trust_notebook()`)
	check(t, err)
	button := `document.querySelector(".modal.in .btn-danger")`
	check(t, p.WaitFor(button, 10*time.Second))
	_, err = browser.Evaluate[struct{}](p, button+`.click()`)
	check(t, err)
	check(t, p.WaitFor(`!window.beforeTrust && `+loaded, time.Minute))
}

// TestRunInJupyter runs all cells of a notebook from its menu: charts are live as they come.
func TestRunInJupyter(t *testing.T) {
	needs(t, "jupyter-notebook", "jupyter-notebook")
	b := startBrowser(t)
	folder := t.TempDir()
	writeChapter(t, filepath.Join(folder, "fresh.ipynb"), false)
	s := classic(t, folder)
	without := s.complaints(t, b, "fresh.ipynb")
	p := s.notebook(t, b, "fresh.ipynb", plots.Light)
	_, err := browser.Evaluate[struct{}](p, `Jupyter.notebook.execute_all_cells()`)
	check(t, err)
	const done = `Jupyter.notebook.get_cells().every(c => c.cell_type !== "code" || c.input_prompt_number > 0 || !c.get_text().trim())`
	check(t, p.WaitFor(done, 5*time.Minute))
	checkLive(t, p, plots.Light, chapterCharts)
	s.check(t, p, without)
}
