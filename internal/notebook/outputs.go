package notebook

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/bitdistill/bitdistill/internal/jupyter"
)

// mostOutput is how much one cell may show, in bytes; more would be neither read nor held in memory.
const mostOutput = 256 << 20

// gatherer turns what a kernel publishes into outputs of cells. Messages find their cell by the request that they belong to, also
// when they come late.
type gatherer struct {
	cells    map[string]*gathered // by the id of the request
	displays map[string][]place   // by display id: where it was shown
	ids      []string             // display ids in the order in which they came
}

// place is one output of a cell.
type place struct {
	in *gathered
	at int
}

// gathered is what one cell has shown.
type gathered struct {
	cell    *Cell
	outputs []Output
	stderr  []string // as it came, for Failure
	size    int
	clear   bool                   // the next output replaces all before it
	last    atomic.Pointer[string] // the last line that was printed, for progress
}

func newGatherer() *gatherer {
	return &gatherer{cells: map[string]*gathered{}, displays: map[string][]place{}}
}

// begin has messages that belong to a request gathered for a cell.
func (g *gatherer) begin(request string, c *Cell) *gathered {
	in := &gathered{cell: c}
	g.cells[request] = in
	return in
}

// content is what messages with outputs have.
type content struct {
	Name      string         `json:"name"`
	Text      string         `json:"text"`
	Data      map[string]any `json:"data"`
	Metadata  map[string]any `json:"metadata"`
	Count     int            `json:"execution_count"`
	ErrorName string         `json:"ename"`
	Error     string         `json:"evalue"`
	Traceback []string       `json:"traceback"`
	Wait      bool           `json:"wait"`
	Transient struct {
		DisplayID string `json:"display_id"`
	} `json:"transient"`
}

// message takes in one message. What belongs to no cell, or is no output, is left alone.
func (g *gatherer) message(m jupyter.Message) {
	in := g.cells[m.Parent.ID]
	var c content
	d := json.NewDecoder(strings.NewReader(string(m.Content)))
	d.UseNumber()
	if in == nil || d.Decode(&c) != nil || in.full(len(m.Content)) {
		return
	}
	switch m.Header.Type {
	case "stream":
		g.stream(in, c)
	case "display_data", "execute_result":
		joinLines(c.Data)
		id := c.Transient.DisplayID
		out := Output{Kind: m.Header.Type, Data: orEmpty(c.Data), Metadata: orEmpty(c.Metadata), Count: c.Count}
		g.add(in, out)
		if id != "" {
			if g.displays[id] == nil {
				g.ids = append(g.ids, id)
			}
			g.displays[id] = append(g.displays[id], place{in, len(in.outputs) - 1})
		}
	case "update_display_data":
		joinLines(c.Data)
		for _, p := range g.displays[c.Transient.DisplayID] {
			out := &p.in.outputs[p.at]
			out.Data, out.Metadata = orEmpty(maps.Clone(c.Data)), orEmpty(c.Metadata)
		}
	case "error":
		g.add(in, Output{Kind: "error", ErrorName: c.ErrorName, Error: c.Error, Traceback: c.Traceback})
	case "clear_output":
		if in.clear = c.Wait; !c.Wait {
			g.empty(in)
		}
	}
}

// full counts what a cell shows and says so once when it is too much.
func (in *gathered) full(size int) bool {
	if in.size > mostOutput {
		return true
	}
	if in.size += size; in.size > mostOutput {
		text := fmt.Sprintf("panic: more than %d MiB of output; the rest was dropped\n", mostOutput>>20)
		in.outputs = append(in.outputs, Output{Kind: "stream", Name: "stderr", Text: text})
		in.stderr = append(in.stderr, text)
		return true
	}
	return false
}

func (g *gatherer) stream(in *gathered, c content) {
	if c.Name == "stderr" {
		in.stderr = append(in.stderr, c.Text)
	}
	for line := range strings.SplitSeq(strings.ReplaceAll(c.Text, "\r", "\n"), "\n") {
		if strings.TrimSpace(line) != "" {
			in.last.Store(&line)
		}
	}
	g.add(in, Output{Kind: "stream", Name: c.Name, Text: c.Text})
}

// add appends an output. A stream joins the one of its name behind the last display: stdout and stderr come over two ways, and
// which of them is faster must not change the file.
func (g *gatherer) add(in *gathered, out Output) {
	if in.clear {
		in.clear = false
		g.empty(in)
	}
	if out.Kind == "stream" {
		for i := len(in.outputs) - 1; i >= 0 && in.outputs[i].Kind == "stream"; i-- {
			if in.outputs[i].Name == out.Name {
				in.outputs[i].Text += out.Text
				return
			}
		}
		if n := len(in.outputs); out.Name == "stdout" && n > 0 && in.outputs[n-1].Kind == "stream" {
			in.outputs = append(in.outputs[:n-1], out, in.outputs[n-1])
			return
		}
	}
	in.outputs = append(in.outputs, out)
}

// empty forgets what a cell has shown.
func (g *gatherer) empty(in *gathered) {
	in.outputs = nil
	for id, places := range g.displays {
		kept := places[:0]
		for _, p := range places {
			if p.in != in {
				kept = append(kept, p)
			}
		}
		g.displays[id] = kept
	}
}

// settle puts what all cells have shown so far into the notebook, without what differs from run to run.
func (g *gatherer) settle() {
	same := g.normalizer()
	for _, in := range g.cells {
		in.cell.Outputs = nil
		for _, out := range in.outputs {
			out.Text, out.Error = same(overwritten(out.Text)), same(out.Error)
			out.Traceback = slices.Clone(out.Traceback)
			for i, line := range out.Traceback {
				out.Traceback[i] = same(line)
			}
			data := out.Data
			out.Data = maps.Clone(data)
			for mime, v := range data {
				if s, ok := v.(string); ok && splitMIME(mime) {
					out.Data[mime] = same(s)
				}
			}
			in.cell.Outputs = append(in.cell.Outputs, out)
		}
	}
}

var (
	// kernelID matches the name that GoNB gives its module and its folder, in messages of the compiler and in stack traces.
	// tracePlace is what GoNB puts in front of a line of a stack trace, unless the line happens to come in two pieces.
	tracePlace = regexp.MustCompile(` ?\x1b\[7m\[\[ Cell \[\d+\] Line \d+ \]\]\x1b\[0m `)
	kernelID   = regexp.MustCompile(`\bgonb_[0-9a-f]{8}\b`)
	// randomID matches what makes a display id another one in each run.
	randomID = regexp.MustCompile(`[0-9a-f]{8}`)
)

// normalizer replaces ids that are made anew in each run by such as stay.
func (g *gatherer) normalizer() func(string) string {
	var pairs []string
	for i, id := range g.ids {
		if randomID.MatchString(id) {
			pairs = append(pairs, id, fmt.Sprintf("display-%d", i+1))
		}
	}
	ids := strings.NewReplacer(pairs...)
	return func(s string) string {
		return kernelID.ReplaceAllString(tracePlace.ReplaceAllString(ids.Replace(s), ""), "gonb")
	}
}

// carriageReturn matches what a terminal would overwrite. A line's end may be "\r\n".
var carriageReturn = regexp.MustCompile(`[^\n]*\r+([^\r\n])`)

// overwritten drops what a progress bar has overwritten by carriage returns.
func overwritten(s string) string {
	return strings.ReplaceAll(carriageReturn.ReplaceAllString(s, "$1"), "\r\n", "\n")
}
