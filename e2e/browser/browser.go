package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/bitdistill/bitdistill/plots"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// ErrNone says that there is no Chromium to drive.
var ErrNone = errors.New("no chromium, chromium-browser or google-chrome on PATH; on Debian: apt install chromium")

// The size of a page's window, in pixels of CSS.
const (
	windowWidth  = 1100
	windowHeight = 900
)

// Browser is a running Chromium without windows, with a profile of its own.
type Browser struct {
	ctx  context.Context
	stop func()
}

// Start starts Chromium. It resolves no names, so that it reaches this machine alone whatever a page asks for. The error is ErrNone
// where there is no Chromium.
func Start(ctx context.Context) (*Browser, error) {
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		return nil, ErrNone
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.DisableGPU, chromedp.WindowSize(windowWidth, windowHeight),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to run as root with one
	}
	ctx, stopProgram := chromedp.NewExecAllocator(ctx, options...)
	ctx, stopBrowser := chromedp.NewContext(ctx, chromedp.WithErrorf(quiet))
	stop := func() {
		stopBrowser()
		stopProgram()
	}
	if err := chromedp.Do(ctx); err != nil {
		stop()
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	return &Browser{ctx, stop}, nil
}

// quiet drops what chromedp says of events that are newer than it; faults of calls are returned by them.
func quiet(string, ...any) {}

// Close ends Chromium and removes its profile.
func (b *Browser) Close() { b.stop() }

// Page is a tab, and all that it complained about and asked for.
type Page struct {
	ctx   context.Context
	close func()

	lock       sync.Mutex
	complaints []string
	requests   []string
}

// Open opens an address in a new tab of a system in light or dark mode, and waits until it is loaded.
func (b *Browser) Open(url string, theme plots.Theme) (*Page, error) {
	ctx, closeTab := chromedp.NewContext(b.ctx)
	p := &Page{ctx: ctx, close: closeTab}
	if err := p.navigate(url, theme); err != nil {
		closeTab()
		return nil, fmt.Errorf("open %s: %w", url, err)
	}
	return p, nil
}

func (p *Page) navigate(url string, theme plots.Theme) error {
	if err := chromedp.Listen(p.ctx, p.hear); err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(p.ctx, loadTime)
	defer stop()
	_, noNetwork := chromedp.Call(ctx, network.Enable, network.EnableParams{})
	_, noLog := chromedp.Call(ctx, log.Enable, cdp.Empty{})
	_, noTheme := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: string(theme)}},
	})
	if err := errors.Join(noNetwork, noLog, noTheme); err != nil {
		return err
	}
	return chromedp.Do(ctx, chromedp.Navigate(url))
}

// Close closes the tab.
func (p *Page) Close() { p.close() }

// hear notes errors and requests. Warnings are not errors.
func (p *Page) hear(event any) {
	p.lock.Lock()
	defer p.lock.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		p.complaints = append(p.complaints, (&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeAssert {
			p.complaints = append(p.complaints, "console: "+arguments(e.Args))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			p.complaints = append(p.complaints, fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	case *network.EventWebSocketCreated:
		p.requests = append(p.requests, e.URL)
	}
}

func arguments(all []*runtime.RemoteObject) string {
	var texts []string
	for _, a := range all {
		text := a.Description
		if text == "" {
			text = string(a.Value)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, " ")
}

// Complaints are the errors on the console so far, exceptions that nothing caught and loads that failed among them.
func (p *Page) Complaints() []string {
	p.lock.Lock()
	defer p.lock.Unlock()
	return append([]string(nil), p.complaints...)
}

// Requests are the addresses that were asked for so far, but for those that lead nowhere: data and blobs that the page holds itself.
func (p *Page) Requests() []string {
	p.lock.Lock()
	defer p.lock.Unlock()
	var all []string
	for _, url := range p.requests {
		if scheme, _, _ := strings.Cut(url, ":"); scheme != "data" && scheme != "blob" && scheme != "about" {
			all = append(all, url)
		}
	}
	return all
}

// The longest times for a page to load, and for a script on it.
const (
	loadTime     = time.Minute
	evaluateTime = 30 * time.Second
)

// Evaluate runs a script on the page and gives its value, or what its promise becomes.
func Evaluate[T any](p *Page, script string) (T, error) {
	ctx, stop := context.WithTimeout(p.ctx, evaluateTime)
	defer stop()
	return chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
}

// WaitFor waits until a script gives true. It may fail until then, as while a page is loaded again.
func (p *Page) WaitFor(condition string, most time.Duration) error {
	for deadline := time.Now().Add(most); ; time.Sleep(100 * time.Millisecond) {
		is, err := Evaluate[bool](p, "!!("+condition+")")
		if err == nil && is {
			return nil
		}
		if time.Now().After(deadline) || p.ctx.Err() != nil {
			return errors.Join(fmt.Errorf("not so within %v: %s", most, condition), err)
		}
	}
}
