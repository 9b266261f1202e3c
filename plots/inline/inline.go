package inline

import (
	"fmt"
	"html"
	"sync"
	"time"

	"github.com/bitdistill/bitdistill/plots"
	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/dom"
	"github.com/janpfeifer/gonb/gonbui/protocol"
)

// Display shows charts below the cell. What is saved in the notebook is a picture and the data of the live chart, some 100 kB or
// less; see KeepLive.
func Display(charts ...*plots.Chart) error {
	if !gonbui.IsNotebook {
		return nil
	}
	loadLibrary()
	for _, c := range charts {
		if err := display(c, ""); err != nil {
			return err
		}
	}
	gonbui.Sync()
	return gonbui.Error()
}

// display shows a chart, in the place of what has the id unless that is empty.
func display(c *plots.Chart, id string) error {
	fragment, err := c.Fragment()
	if err != nil {
		return err
	}
	png, err := c.PNG(plots.Light)
	if err != nil {
		return err
	}
	gonbui.SendData(&protocol.DisplayData{
		Data: map[protocol.MIMEType]any{
			protocol.MIMETextHTML:  string(fragment),
			protocol.MIMEImagePNG:  png, // for readers without HTML, such as the export to PDF
			protocol.MIMETextPlain: c.Title(),
		},
		DisplayID: id,
	})
	return nil
}

// loadLibrary gives the page echarts once in a program, that is, in a cell's run. It is not saved in the notebook.
var loadLibrary = sync.OnceFunc(func() { dom.TransientJavascript(plots.Library()) })

// KeepLive saves echarts in the notebook, 1.1 MB of it, below the cell that calls it. Charts in the cells after it are then live
// too when the notebook is opened again and trusted, and not pictures.
func KeepLive() {
	if !gonbui.IsNotebook {
		return
	}
	gonbui.DisplayHTML("<script>" + plots.Library() + "</script>")
	gonbui.Sync()
}

// interval is the least time between two updates of a Live: what a browser draws without falling behind.
const interval = 250 * time.Millisecond

// Live is a progress bar with a chart below, in one place of a notebook, which change while something runs. It may be used by
// several goroutines.
type Live struct {
	mu     sync.Mutex
	id     string
	shown  time.Time
	latest func() (*plots.Chart, string) // the last update, if it has not been shown
	last   *plots.Chart
	err    error
}

// NewLive makes a Live that shows nothing yet. Close it.
func NewLive() *Live { return &Live{id: "bitdistill-live-" + gonbui.UniqueId()} }

// Update says that done of total steps are done, with a line of text such as the loss and the time left, and how the chart is made;
// chart may be nil for none, or give nil. It is called only if the update is shown, at most four times a second, and by Close.
func (l *Live) Update(done, total int, text string, chart func() *plots.Chart) {
	if !gonbui.IsNotebook {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latest = func() (*plots.Chart, string) {
		bar := fmt.Sprintf(`<div><progress max="%d" value="%d"></progress> %d/%d %s</div>`, max(1, total), done, done, total, html.EscapeString(text))
		if chart == nil {
			return nil, bar
		}
		return chart(), bar
	}
	if time.Since(l.shown) >= interval {
		l.show()
	}
}

// show sends the latest update, without a picture: the next one would replace it.
func (l *Live) show() {
	loadLibrary()
	chart, content := l.latest()
	l.latest, l.shown = nil, time.Now()
	if chart != nil {
		fragment, err := chart.LiveFragment()
		if err != nil {
			l.err = err
			return
		}
		content += string(fragment)
		l.last = chart
	}
	gonbui.UpdateHTML(l.id, content)
}

// Close leaves the last chart there, with its picture, in place of the progress bar, and waits until GoNB has taken everything. It
// returns the first error of a chart or of GoNB. A Live that was closed may be closed again.
func (l *Live) Close() error {
	if !gonbui.IsNotebook {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.latest != nil {
		l.show()
	}
	if l.last != nil && l.err == nil {
		l.err = display(l.last, l.id)
		l.last = nil
	}
	gonbui.Sync()
	if l.err != nil {
		return l.err
	}
	return gonbui.Error()
}
