package notebook

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/bitdistill/bitdistill/internal/atomicfile"
)

// The format that is read and written.
const (
	formatMajor = 4
	formatMinor = 5
)

// Notebook is a notebook file of format 4.
type Notebook struct {
	Cells    []*Cell
	Metadata map[string]any
}

// Cell is one cell.
type Cell struct {
	ID          string
	Kind        string // code, markdown or raw
	Source      string
	Metadata    map[string]any
	Attachments map[string]map[string]any // of markdown: file name, then MIME type
	Count       int                       // of code: its place in the order of execution, 0 if it was not executed
	Outputs     []Output                  // of code
}

// Output is one output of a code cell, with the fields that its kind has.
type Output struct {
	Kind      string         // stream, display_data, execute_result or error
	Name      string         // of stream: stdout or stderr
	Text      string         // of stream
	Data      map[string]any // of display_data and execute_result: MIME type and content, text whole
	Metadata  map[string]any // likewise
	Count     int            // of execute_result
	ErrorName string         // of error
	Error     string         // of error
	Traceback []string       // of error
}

// text is a string that is written as a list of lines.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	var whole string
	if json.Unmarshal(data, &whole) == nil {
		*t = text(whole)
		return nil
	}
	var lines []string
	if err := json.Unmarshal(data, &lines); err != nil {
		return errors.New("is neither text nor a list of lines")
	}
	*t = text(strings.Join(lines, ""))
	return nil
}

func (t text) lines() []string {
	if t == "" {
		return []string{}
	}
	return slices.Collect(strings.Lines(string(t)))
}

// fileNotebook, fileCell and fileOutput are what a file has, to be read.
type fileNotebook struct {
	Cells    []fileCell     `json:"cells"`
	Metadata map[string]any `json:"metadata"`
	Major    int            `json:"nbformat"`
	Minor    int            `json:"nbformat_minor"`
}

type fileCell struct {
	ID          string                    `json:"id"`
	Kind        string                    `json:"cell_type"`
	Source      text                      `json:"source"`
	Metadata    map[string]any            `json:"metadata"`
	Attachments map[string]map[string]any `json:"attachments"`
	Count       int                       `json:"execution_count"`
	Outputs     []fileOutput              `json:"outputs"`
}

type fileOutput struct {
	Kind      string         `json:"output_type"`
	Name      string         `json:"name"`
	Text      text           `json:"text"`
	Data      map[string]any `json:"data"`
	Metadata  map[string]any `json:"metadata"`
	Count     int            `json:"execution_count"`
	ErrorName string         `json:"ename"`
	Error     string         `json:"evalue"`
	Traceback []string       `json:"traceback"`
}

// largest is the size of a notebook file that is read, in bytes.
const largest = 1 << 30

// ReadFile reads a notebook. Errors name the file and the cell.
func ReadFile(path string) (*Notebook, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > largest {
		return nil, fmt.Errorf("%s: is not a notebook: no regular file below 1 GiB", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	nb, err := Read(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return nb, nil
}

// Read reads the content of a notebook file. Cells without an id, as older files have them, get one made from their content.
func Read(data []byte) (*Notebook, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var f fileNotebook
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("is not a notebook: %w", err)
	}
	if f.Major != formatMajor || f.Minor > formatMinor || f.Cells == nil {
		return nil, fmt.Errorf("is not a notebook of format 4.0 to 4.5 but of %d.%d; Jupyter converts it: open it and save it", f.Major, f.Minor)
	}
	nb := &Notebook{Metadata: orEmpty(f.Metadata)}
	for i, c := range f.Cells {
		cell, err := c.cell()
		if err != nil {
			return nil, fmt.Errorf("cell %d: %w", i+1, err)
		}
		nb.Cells = append(nb.Cells, cell)
	}
	nb.completeIDs()
	return nb, nil
}

func (c fileCell) cell() (*Cell, error) {
	if !slices.Contains([]string{"code", "markdown", "raw"}, c.Kind) {
		return nil, fmt.Errorf("cell_type %q is not code, markdown or raw", c.Kind)
	}
	cell := &Cell{ID: c.ID, Kind: c.Kind, Source: string(c.Source), Metadata: orEmpty(c.Metadata), Attachments: c.Attachments, Count: c.Count}
	for i, o := range c.Outputs {
		if !slices.Contains([]string{"stream", "display_data", "execute_result", "error"}, o.Kind) {
			return nil, fmt.Errorf("output %d: output_type %q is not stream, display_data, execute_result or error", i+1, o.Kind)
		}
		out := Output{o.Kind, o.Name, string(o.Text), orEmpty(o.Data), orEmpty(o.Metadata), o.Count, o.ErrorName, o.Error, o.Traceback}
		if err := joinLines(out.Data); err != nil {
			return nil, fmt.Errorf("output %d: %w", i+1, err)
		}
		cell.Outputs = append(cell.Outputs, out)
	}
	return cell, nil
}

func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// joinLines makes whole texts of the lists of lines among MIME contents; what is JSON by its type stays as it is.
func joinLines(data map[string]any) error {
	for mime, v := range data {
		list, ok := v.([]any)
		if !ok || strings.HasSuffix(mime, "json") {
			continue
		}
		var b strings.Builder
		for _, line := range list {
			s, ok := line.(string)
			if !ok {
				return fmt.Errorf("%s: is neither text nor a list of lines", mime)
			}
			b.WriteString(s)
		}
		data[mime] = b.String()
	}
	return nil
}

// splitMIME reports whether Jupyter writes content of a type as a list of lines.
func splitMIME(mime string) bool {
	return strings.HasPrefix(mime, "text/") || mime == "application/javascript" || mime == "image/svg+xml"
}

// goodID is what format 4.5 allows.
var goodID = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// completeIDs gives every cell an id that no other has; a cell that has one keeps it.
func (nb *Notebook) completeIDs() {
	taken := map[string]bool{}
	for _, c := range nb.Cells {
		if !goodID.MatchString(c.ID) || taken[c.ID] {
			c.ID = ""
		}
		taken[c.ID] = true
	}
	for _, c := range nb.Cells {
		for n := 0; c.ID == ""; n++ {
			sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d\n%s", c.Kind, n, c.Source))
			if id := hex.EncodeToString(sum[:4]); !taken[id] {
				c.ID, taken[id] = id, true
			}
		}
	}
}

// ownKey is the key of a notebook's metadata that this program has to itself.
const ownKey = "bitdistill"

// Mark notes in the metadata that the notebook holds the outputs of a run, the same for every run.
func (nb *Notebook) Mark() {
	nb.Metadata = orEmpty(nb.Metadata)
	nb.Metadata[ownKey] = object{"outputs": true}
}

// Marked reports whether the notebook was marked.
func (nb *Notebook) Marked() bool {
	o, _ := nb.Metadata[ownKey].(object)
	return o["outputs"] == true
}

// HasTag reports whether the cell has a tag.
func (c *Cell) HasTag(tag string) bool {
	tags, _ := c.Metadata["tags"].([]any)
	return slices.Contains(tags, any(tag))
}

// object is a JSON object; its keys are written in order of the alphabet.
type object = map[string]any

// Write writes the notebook as Jupyter does: sorted keys, an indent of one space, lists of lines, a newline at the end.
func (nb *Notebook) Write(w io.Writer) error {
	cells := make([]any, len(nb.Cells))
	for i, c := range nb.Cells {
		cells[i] = c.object()
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	return e.Encode(object{"cells": cells, "metadata": nb.Metadata, "nbformat": formatMajor, "nbformat_minor": formatMinor})
}

// WriteFile writes the notebook to a file, which appears whole or not at all.
func (nb *Notebook) WriteFile(path string) error { return atomicfile.WriteFile(path, nb.Write) }

func (c *Cell) object() object {
	o := object{"id": c.ID, "cell_type": c.Kind, "metadata": c.Metadata, "source": text(c.Source).lines()}
	if c.Attachments != nil {
		o["attachments"] = c.Attachments
	}
	if c.Kind == "code" {
		outputs := make([]any, len(c.Outputs))
		for i, out := range c.Outputs {
			outputs[i] = out.object()
		}
		o["outputs"], o["execution_count"] = outputs, countOrNull(c.Count)
	}
	return o
}

func countOrNull(n int) any {
	if n == 0 {
		return nil
	}
	return n
}

func (out Output) object() object {
	o := object{"output_type": out.Kind}
	switch out.Kind {
	case "stream":
		o["name"], o["text"] = out.Name, text(out.Text).lines()
	case "error":
		o["ename"], o["evalue"], o["traceback"] = out.ErrorName, out.Error, append([]string{}, out.Traceback...)
	default:
		data := object{}
		for mime, v := range out.Data {
			if s, ok := v.(string); ok && splitMIME(mime) {
				v = text(s).lines()
			}
			data[mime] = v
		}
		o["data"], o["metadata"] = data, orEmpty(out.Metadata)
		if out.Kind == "execute_result" {
			o["execution_count"] = countOrNull(out.Count)
		}
	}
	return o
}

// ModulePath is what notebooks import this module's packages by.
const ModulePath = "github.com/bitdistill/bitdistill"

// Mentions reports whether the source of a code cell has s in it.
func (nb *Notebook) Mentions(s string) bool {
	return slices.ContainsFunc(nb.Cells, func(c *Cell) bool { return c.Kind == "code" && strings.Contains(c.Source, s) })
}
