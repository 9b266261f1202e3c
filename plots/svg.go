package plots

import (
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/dop251/goja"
)

//go:embed echarts/echarts.min.js
var echartsJS string

//go:embed chart.js
var chartJS string

// SVG draws the chart with echarts, without a browser. It is the same for the same chart. The first one takes most of a second
// longer, in which echarts is compiled.
func (c *Chart) SVG(theme Theme) ([]byte, error) {
	option, err := c.JSON()
	if err != nil {
		return nil, err
	}
	if theme != Light && theme != Dark {
		return nil, fmt.Errorf("chart %q: theme %q is not %s or %s", c.title, theme, Light, Dark)
	}
	r := renderers.Get().(*renderer)
	defer renderers.Put(r)
	svg, err := r.draw(string(option), string(theme), c.width, c.height)
	if err != nil {
		return nil, fmt.Errorf("chart %q: %w", c.title, err)
	}
	return []byte(normalize(svg)), nil
}

// renderers keeps a renderer, which holds tens of megabytes, only while charts are being drawn.
var renderers = sync.Pool{New: func() any { return newRenderer() }}

// renderer is echarts in a JavaScript engine. It is not for concurrent use.
type renderer struct {
	vm  *goja.Runtime
	svg goja.Callable
	err error
}

// programs compiles the scripts, once.
var programs = sync.OnceValues(func() ([]*goja.Program, error) {
	var compiled []*goja.Program
	for _, s := range []struct{ name, text string }{{"host.js", hostJS}, {"echarts.min.js", echartsJS}, {"chart.js", chartJS}} {
		p, err := goja.Compile(s.name, s.text, false)
		if err != nil {
			return nil, err
		}
		compiled = append(compiled, p)
	}
	return compiled, nil
})

// hostJS is what echarts expects of its host: names for the global object, timers that never fire (nothing moves in a
// picture) and a console.
const hostJS = `var self = globalThis, console = { log() {}, warn() {}, error() {} };
function setTimeout() { return 0; } function clearTimeout() {} function setInterval() { return 0; } function clearInterval() {}`

func newRenderer() *renderer {
	r := &renderer{vm: goja.New()}
	scripts, err := programs()
	if err != nil {
		r.err = err
		return r
	}
	for _, p := range scripts {
		if _, r.err = r.vm.RunProgram(p); r.err != nil {
			return r
		}
	}
	var ok bool
	if r.svg, ok = goja.AssertFunction(r.vm.Get("bitdistill").ToObject(r.vm).Get("svg")); !ok {
		r.err = errors.New("chart.js has no function svg")
		return r
	}
	// Text is as wide as in the PNG; echarts could only guess.
	set, ok := goja.AssertFunction(r.vm.Get("echarts").ToObject(r.vm).Get("setPlatformAPI"))
	if !ok {
		r.err = errors.New("echarts has no function setPlatformAPI")
		return r
	}
	measure := func(call goja.FunctionCall) goja.Value {
		size := r.vm.NewObject()
		r.err = errors.Join(r.err, size.Set("width", textWidth(call.Argument(0).String(), call.Argument(1).String())))
		return size
	}
	_, r.err = set(goja.Undefined(), r.vm.ToValue(map[string]any{"measureText": measure}))
	return r
}

func (r *renderer) draw(option, theme string, width, height int) (svg string, err error) {
	if r.err != nil {
		return "", r.err
	}
	defer recovered(&err)
	v, err := r.svg(goja.Undefined(), r.vm.ToValue(option), r.vm.ToValue(theme), r.vm.ToValue(width), r.vm.ToValue(height))
	if err != nil {
		return "", err
	}
	return v.String(), nil
}

// serial is the count of charts within ids, which would make the same chart differ from one time to the next.
var serial = regexp.MustCompile(`(id="|url\(#)zr\d+-`)

// normalize makes equal charts equal text, centres text for readers that do not know dominant-baseline, and drops control
// characters, which XML cannot hold. Quotes within text are escaped, so only attributes are changed.
func normalize(svg string) string {
	svg = serial.ReplaceAllString(svg, "${1}zr-")
	svg = strings.ReplaceAll(svg, `dominant-baseline="central"`, `dy="0.35em"`)
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0xFFFE || r == 0xFFFF {
			return -1
		}
		return r
	}, svg)
}

// recovered makes a panic of the JavaScript engine or the rasterizer an error; deferred.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("drawing failed: %v", p)
	}
}
