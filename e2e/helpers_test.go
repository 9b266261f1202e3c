package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/bitdistill/bitdistill/e2e/browser"
	"github.com/bitdistill/bitdistill/plots"
)

// Environment variables.
const (
	envNoSkip = "BITDISTILL_NO_SKIP" // 1: a program that is missing fails the test
	envRun    = "BITDISTILL_RUN"     // a finished run folder, in place of a short run made here
)

// missing skips the test, or fails it where nothing may be skipped.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	why := fmt.Sprintf(format, args...)
	if os.Getenv(envNoSkip) == "1" {
		t.Fatalf("NOT TESTED: %s; %s=1 forbids skipping", why, envNoSkip)
	}
	t.Skipf("NOT TESTED: %s", why)
}

// needs skips the test where a program is not installed.
func needs(t *testing.T, program, from string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		missing(t, "no program %s on PATH; on Debian: apt install %s", program, from)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func startBrowser(t *testing.T) *browser.Browser {
	t.Helper()
	b, err := browser.Start(t.Context())
	if errors.Is(err, browser.ErrNone) {
		missing(t, "%v", err)
	}
	check(t, err)
	t.Cleanup(b.Close)
	return b
}

func open(t *testing.T, b *browser.Browser, url string, theme plots.Theme) *browser.Page {
	t.Helper()
	p, err := b.Open(url, theme)
	check(t, err)
	t.Cleanup(p.Close)
	return p
}

var root = sync.OnceValues(func() (string, error) { return filepath.Abs("..") })

// programFolder holds the program that tests run; main_test.go removes it.
var programFolder string

// program builds bitdistill, once.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(programFolder, "bitdistill")
	build := exec.Command("go", "build", "-o", path, "./cmd/bitdistill")
	build.Dir, build.Env = "..", append(os.Environ(), "GOEXPERIMENT=simd")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %w\n%s", build.Args, err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	var err error
	if programFolder, err = os.MkdirTemp("", "bitdistill-e2e-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(programFolder)
	os.Exit(code)
}

// command runs a program in the checkout, with changes to the environment, and returns its standard output.
func command(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	dir, err := root()
	check(t, err)
	var out, log bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, append(os.Environ(), env...), &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out.String(), tail(log.String()))
	}
	return out.String()
}

// tail is the end of a log.
func tail(log string) string {
	const most = 4000
	return log[max(0, len(log)-most):]
}

// bitdistill runs the program.
func bitdistill(t *testing.T, args ...string) string {
	t.Helper()
	path, err := program()
	check(t, err)
	return command(t, nil, path, args...)
}

// checkLive looks at a page's charts: live, with a tooltip each. It returns the tooltips by the charts' titles.
func checkLive(t *testing.T, p *browser.Page, theme plots.Theme, least int) map[string]string {
	t.Helper()
	tooltips := map[string]string{}
	charts, err := p.Charts()
	check(t, err)
	if len(charts) < least {
		t.Errorf("%d charts, want at least %d", len(charts), least)
	}
	for i, c := range charts {
		if err := c.Check(theme); err != nil {
			t.Error(err)
			continue
		}
		tooltip, err := p.Tooltip(i)
		if err != nil {
			t.Errorf("chart %q: %v", c.Title, err)
		}
		t.Logf("%s, %q: %.1f %% drawn, %.2f %% in colour, %d colours; tooltip %q", theme, c.Title, 100*c.Drawn, 100*c.Coloured, c.Colors, tooltip)
		tooltips[c.Title] = tooltip
	}
	return tooltips
}

// checkRequests demands a page that asks for nothing but what is allowed.
func checkRequests(t *testing.T, p *browser.Page, allowed func(url string) bool) {
	t.Helper()
	for _, url := range p.Requests() {
		if !allowed(url) {
			t.Errorf("the page asks for %s", url)
		}
	}
}
