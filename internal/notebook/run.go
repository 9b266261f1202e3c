package notebook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bitdistill/bitdistill/internal/jupyter"
)

// The tags that change how a cell is run, as nbclient has them.
const (
	tagSkip   = "skip-execution"
	tagRaises = "raises-exception"
)

// Options say how to run a notebook.
type Options struct {
	Kernel       jupyter.Command
	StartTimeout time.Duration // for the kernel; 0 is for ever
	CellTimeout  time.Duration // for each cell; 0 is for ever
	Grace        time.Duration // between interrupting a cell and killing the kernel; 0 for jupyter's
	AllowErrors  bool          // go on behind a cell that has failed, and call the notebook passed

	Save    func() error                                               // called whenever the notebook has changed; may be nil
	Ended   func(c CellResult)                                         // told of each cell that was run, in order; may be nil
	Running func(c CellResult, elapsed time.Duration, lastLine string) // told now and then of a cell that takes long; may be nil
}

// Status is what became of a cell.
type Status string

// What can become of a code cell.
const (
	Passed   Status = "ok"
	Failed   Status = "FAILED"
	Expected Status = "failed as expected" // tagged raises-exception
	Skipped  Status = "skipped"            // tagged skip-execution
	NotRun   Status = "not run"            // behind a cell that failed
)

// CellResult is what became of one code cell.
type CellResult struct {
	Number  int    // its place among all cells, from 1
	ID      string // of the cell
	Title   string // the first line of its source
	Status  Status
	Reason  string // of a failure
	Stderr  string // of a failure: what was printed there
	Elapsed time.Duration
}

// CellError says which cell has failed, and why.
type CellError struct {
	CellResult
	cause error // nil when the cell failed by itself
}

func (e *CellError) Error() string {
	return fmt.Sprintf("cell %d [%s] (%s) failed: %s", e.Number, e.ID, e.Title, e.Reason)
}

func (e *CellError) Unwrap() error { return e.cause }

// runner is one run of a notebook.
type runner struct {
	*Notebook
	Options
	kernel  *jupyter.Kernel
	outputs *gatherer
	results []CellResult
}

// Run executes the code cells in order on a new kernel. It stops at the first cell that fails, unless that is allowed, and leaves
// the notebook with all outputs up to there; outputs from an earlier run are gone, except where a cell is tagged skip-execution.
//
// Results has an element for each code cell that is not empty, also when there is an error. An error wraps [*CellError] when a
// cell failed, and the cause of ctx's end when that was the reason.
func (nb *Notebook) Run(ctx context.Context, o Options) (results []CellResult, err error) {
	r := &runner{Notebook: nb, Options: o, outputs: newGatherer()}
	r.prepare()
	defer func() { err = errors.Join(err, r.save()) }()
	if r.kernel, err = jupyter.Start(ctx, o.Kernel, o.StartTimeout); err != nil {
		return r.results, err
	}
	defer func() { err = errors.Join(err, r.kernel.Close()) }()
	if o.Grace > 0 {
		r.kernel.Grace = o.Grace
	}
	for i := range r.results {
		if err := r.cell(ctx, &r.results[i]); err != nil {
			return r.results, err
		}
		if err := r.save(); err != nil {
			return r.results, err
		}
	}
	// Programs of cells show pictures over a channel of their own; the last one may still be on its way.
	r.kernel.Drain(ctx, 100*time.Millisecond, r.outputs.message)
	r.outputs.settle()
	return r.results, nil
}

// prepare lists the cells to run and forgets what they showed before.
func (r *runner) prepare() {
	for i, c := range r.Cells {
		if c.Kind != "code" || strings.TrimSpace(c.Source) == "" {
			continue
		}
		result := CellResult{Number: i + 1, ID: c.ID, Title: title(c.Source), Status: NotRun}
		if c.HasTag(tagSkip) {
			result.Status = Skipped
		} else {
			c.Outputs, c.Count = nil, 0
			delete(c.Metadata, "execution") // when it ran
		}
		r.results = append(r.results, result)
	}
}

// title is the first line of a source that says something, not too long. "%%" begins the main function, as in every other cell.
func title(source string) string {
	const most = 60 // characters
	source = strings.TrimSpace(source)
	if rest := strings.TrimSpace(strings.TrimPrefix(source, "%%\n")); rest != "" {
		source = rest
	}
	line, _, _ := strings.Cut(source, "\n")
	if runes := []rune(line); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return strings.TrimSpace(line)
}

func (r *runner) save() error {
	if r.Save == nil {
		return nil
	}
	return r.Save()
}

// cell runs one cell and judges it. An error ends the run.
func (r *runner) cell(ctx context.Context, c *CellResult) error {
	if c.Status == Skipped {
		r.tell(*c)
		return nil
	}
	in, reply, err := r.execute(ctx, c)
	in.cell.Count = reply.Count
	switch {
	case err != nil:
		c.Reason = err.Error()
		in.outputs = append(in.outputs, Output{Kind: "error", ErrorName: "Stopped", Error: c.Reason, Traceback: []string{c.Reason}})
	case reply.Status != "ok":
		c.Reason = strings.TrimSpace(terminal.ReplaceAllString(reply.Name+": "+reply.Value, ""))
	default:
		c.Reason = Failure(in.stderr)
	}
	r.outputs.settle()
	c.Status = Passed
	if c.Reason != "" {
		c.Status, c.Stderr = Failed, terminal.ReplaceAllString(strings.Join(in.stderr, ""), "")
		if err == nil && in.cell.HasTag(tagRaises) {
			c.Status = Expected
		}
	}
	r.tell(*c)
	if err != nil || c.Status == Failed && !r.AllowErrors {
		return &CellError{*c, err}
	}
	return nil
}

func (r *runner) tell(c CellResult) {
	if r.Ended != nil {
		r.Ended(c)
	}
}

// How often progress of a cell that takes long is told.
const (
	firstWord = 5 * time.Second
	nextWord  = 30 * time.Second
)

// execute runs one cell.
func (r *runner) execute(ctx context.Context, c *CellResult) (in *gathered, reply jupyter.Reply, err error) {
	if r.CellTimeout > 0 {
		var stop context.CancelFunc
		cause := fmt.Errorf("took longer than the timeout of %v: %w", r.CellTimeout, context.DeadlineExceeded)
		ctx, stop = context.WithTimeoutCause(ctx, r.CellTimeout, cause)
		defer stop()
	}
	cell := r.Cells[c.Number-1]
	start := time.Now()
	finished := make(chan struct{})
	defer close(finished)
	reply, err = r.kernel.Execute(ctx, cell.Source, func(id string) {
		in = r.outputs.begin(id, cell)
		if r.Running != nil {
			go r.watch(*c, in, start, finished)
		}
	}, r.outputs.message)
	c.Elapsed = time.Since(start)
	return in, reply, err
}

// watch tells of a cell until it is finished.
func (r *runner) watch(c CellResult, in *gathered, start time.Time, finished <-chan struct{}) {
	for wait := firstWord; ; wait = nextWord {
		select {
		case <-finished:
			return
		case <-time.After(wait):
			last := ""
			if line := in.last.Load(); line != nil {
				last = terminal.ReplaceAllString(*line, "")
			}
			r.Running(c, time.Since(start), last)
		}
	}
}

// Executed are the ids of the cells that were run, whatever became of them.
func Executed(results []CellResult) map[string]bool {
	ids := map[string]bool{}
	for _, c := range results {
		if c.Status != Skipped && c.Status != NotRun {
			ids[c.ID] = true
		}
	}
	return ids
}

// Failures are the cells that have failed, among them those that were allowed to.
func Failures(results []CellResult) []CellResult {
	return slices.DeleteFunc(slices.Clone(results), func(c CellResult) bool { return c.Status != Failed })
}
