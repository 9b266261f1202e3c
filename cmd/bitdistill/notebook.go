package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/bitdistill/bitdistill/internal/atomicfile"
	"github.com/bitdistill/bitdistill/internal/jupyter"
	"github.com/bitdistill/bitdistill/internal/notebook"
	"github.com/bitdistill/bitdistill/internal/notebook/gonb"
	"github.com/spf13/cobra"
)

// notebookCommand has what is about notebooks.
func (c *cli) notebookCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "notebook",
		Short: "Run notebooks without a browser, or open them in Jupyter with the Go kernel",
		Example: `  bitdistill notebook run notebooks/00-tour.ipynb
  bitdistill notebook lab`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.notebookRunCommand(), c.notebookInstallCommand(), c.jupyterCommand("lab"), c.jupyterCommand("classic"))
	return cmd
}

// notebookFlags are the flags of notebook run.
type notebookFlags struct {
	parameters, files   []string
	out, junit, kernel  string
	timeout, startup    time.Duration
	jobs                int
	inPlace, html, json bool
	prepare, help, goOn bool
}

func (c *cli) notebookRunCommand() *cobra.Command {
	f := &notebookFlags{}
	cmd := &cobra.Command{
		Use:   "run NOTEBOOK...",
		Short: "Execute notebooks and save what they show",
		Long: `run executes the cells of notebooks in order, each notebook on a Go kernel of its
own, without a browser and without Python, and saves a new notebook with the
outputs after each cell, so that it is there also when a cell fails.

The kernel, GoNB, is built once when it is not found; only Go is needed.

A cell fails when it does not compile, when its program panics or ends with another
status than 0, when a !command fails or a %command does not exist, when it asks for
input, or takes longer than --timeout. The rest is then not run, and the exit code
is 1. Tags of cells change that: skip-execution leaves a cell out, raises-exception
lets it fail.

Parameters are the variables and constants of the cell that is tagged "parameters",
declared with a string, a number, true or false. -p and -y change them by a cell
behind it, checked against the types of the defaults; --help-notebook lists them.

NB.ipynb becomes NB.out.ipynb beside it, unless --out or --inplace say otherwise.
A file that is there already is overwritten only if an earlier run wrote it.`,
		Example: `  bitdistill notebook run notebooks/*.ipynb
  bitdistill notebook run notebooks/05-pipeline.ipynb -p STEPS=200 -p BACKEND=xla:cuda --out runs/05.ipynb
  bitdistill notebook run notebooks/*.ipynb -j 2 --out executed --html --junit notebooks.xml --timeout 10m`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("%s: names no notebook", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return c.notebookRun(cmd.Context(), f, args) },
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.parameters, "param", "p", nil, "`NAME=VALUE` for a parameter; wins over -y; may be repeated")
	flags.StringArrayVarP(&f.files, "params", "y", nil, "YAML `FILE` of parameters; may be repeated, later ones win")
	flags.StringVar(&f.out, "out", "", "`PATH` of the new notebook, or a folder for all of them")
	flags.BoolVar(&f.inPlace, "inplace", false, "save the outputs into the notebooks themselves")
	flags.DurationVar(&f.timeout, "timeout", 0, "longest time for a cell, which is then interrupted, and killed if that does not help; 0 is for ever")
	flags.DurationVar(&f.startup, "startup-timeout", time.Minute, "longest time for the kernel to start; 0 is for ever")
	flags.IntVarP(&f.jobs, "jobs", "j", 1, "how many notebooks run at the same time")
	flags.StringVar(&f.junit, "junit", "", "write JUnit XML to `FILE`, a test case a cell")
	flags.BoolVar(&f.html, "html", false, "write an HTML page beside each new notebook")
	flags.BoolVar(&f.prepare, "prepare-only", false, "set the parameters and save, and run nothing")
	flags.BoolVar(&f.help, "help-notebook", false, "list the parameters of the notebooks, and run nothing")
	flags.BoolVar(&f.goOn, "allow-errors", false, "go on behind cells that fail, and succeed nevertheless")
	flags.StringVar(&f.kernel, "kernel-cmd", "", "`COMMAND` that starts another kernel; {connection_file} in it stands for that file")
	jsonFlag(cmd, &f.json)
	return cmd
}

// notebookJob is one notebook to run.
type notebookJob struct {
	in, out string
	nb      *notebook.Notebook
	report  notebook.Report
	elapsed time.Duration
}

// notebookRun is the command.
func (c *cli) notebookRun(ctx context.Context, f *notebookFlags, args []string) error {
	if f.jobs < 1 {
		return inputf("--jobs: %d is less than 1", f.jobs)
	}
	jobs, err := f.plan(args, c.log)
	if err != nil {
		return err
	}
	if err := f.load(jobs); err != nil {
		return err
	}
	switch {
	case f.help:
		return c.notebookHelp(jobs)
	case f.prepare:
		return f.finish(jobs, false)
	}
	start, err := c.kernel(ctx, f, jobs)
	if err != nil {
		return err
	}
	c.runJobs(ctx, f, jobs, start)
	return c.notebookResults(f, jobs)
}

// load reads all notebooks and sets their parameters: a fault of any is found before the first is run.
func (f *notebookFlags) load(jobs []*notebookJob) error {
	values, err := f.values()
	if err != nil {
		return err
	}
	var faults []error
	for _, j := range jobs {
		if j.nb, err = notebook.ReadFile(j.in); err != nil {
			faults = append(faults, wrongInput{err})
			continue
		}
		if err := errors.Join(f.checkLanguage(j.nb), j.nb.SetParameters(values)); err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				faults = append(faults, inputf("%s: %s", j.in, line))
			}
		}
		if !f.inPlace {
			j.nb.Mark()
		}
	}
	return errors.Join(faults...)
}

// values are the parameters of all flags, in the order in which later ones win.
func (f *notebookFlags) values() ([]notebook.Value, error) {
	var all []notebook.Value
	for _, file := range f.files {
		values, err := notebook.ReadValues(file)
		if err != nil {
			return nil, inputf("--params: %w", err)
		}
		all = append(all, values...)
	}
	for _, p := range f.parameters {
		v, err := notebook.ParseValue(p)
		if err != nil {
			return nil, inputf("--param: %w", err)
		}
		all = append(all, v)
	}
	return all, nil
}

// checkLanguage refuses notebooks for other kernels than Go's.
func (f *notebookFlags) checkLanguage(nb *notebook.Notebook) error {
	spec, _ := nb.Metadata["kernelspec"].(map[string]any)
	language, _ := spec["language"].(string)
	name, _ := spec["name"].(string)
	if f.kernel != "" || strings.EqualFold(language, "go") || language == "" && (name == "" || name == gonb.DefaultName) {
		return nil
	}
	return fmt.Errorf("is written for the kernel %q in %q, not in Go; --kernel-cmd can name the command of that one", name, language)
}

// notebookHelp lists parameters.
func (c *cli) notebookHelp(jobs []*notebookJob) error {
	for _, j := range jobs {
		parameters, err := j.nb.Parameters()
		if err != nil {
			return inputf("%s: %w", j.in, err)
		}
		fmt.Fprintf(c.out, "%s\n", j.in)
		if len(parameters) == 0 {
			fmt.Fprintln(c.out, "  no parameters")
		}
		for _, p := range parameters {
			if p.About != "" {
				p.About = "  " + p.About
			}
			if _, err := fmt.Fprintf(c.out, "  %s %s = %s%s\n", p.Name, p.Type, p.Default, p.About); err != nil {
				return err
			}
		}
	}
	return nil
}

// kernel finds out how the kernel of a notebook is started, building it if need be.
func (c *cli) kernel(ctx context.Context, f *notebookFlags, jobs []*notebookJob) (func(*notebookJob) jupyter.Command, error) {
	if f.kernel != "" {
		if !strings.Contains(f.kernel, "{connection_file}") {
			return nil, inputf("--kernel-cmd: has no {connection_file}, which the kernel needs")
		}
		return func(j *notebookJob) jupyter.Command {
			return jupyter.Command{Argv: strings.Fields(f.kernel), Dir: filepath.Dir(j.in)}
		}, nil
	}
	tools, err := gonb.Find(ctx, filepath.Dir(jobs[0].in), false, c.log)
	if err != nil {
		return nil, err
	}
	modules := map[*notebookJob]string{}
	for _, j := range jobs {
		if modules[j] = gonb.Module(filepath.Dir(j.in)); modules[j] == "" {
			modules[j] = gonb.Module(".")
		}
		if modules[j] == "" && j.nb.Mentions(notebook.ModulePath) {
			fmt.Fprintf(c.log, "%s: neither it nor this folder lies in a checkout of %s, so the kernel fetches a published version; run it in a checkout to use that one\n",
				j.in, notebook.ModulePath)
		}
	}
	return func(j *notebookJob) jupyter.Command { return tools.Command(filepath.Dir(j.in), modules[j]) }, nil
}

// runJobs runs all notebooks, as many at a time as asked for. An interruption keeps those that wait from starting.
func (c *cli) runJobs(ctx context.Context, f *notebookFlags, jobs []*notebookJob, start func(*notebookJob) jupyter.Command) {
	log := &lockedWriter{to: c.log}
	free := make(chan struct{}, f.jobs)
	var all sync.WaitGroup
	for _, j := range jobs {
		free <- struct{}{}
		if ctx.Err() != nil {
			j.report = notebook.Report{Path: j.in, Err: context.Cause(ctx)}
			<-free
			continue
		}
		all.Go(func() {
			j.run(ctx, f, start(j), log)
			<-free
		})
	}
	all.Wait()
}

// run runs one notebook and says how it goes.
func (j *notebookJob) run(ctx context.Context, f *notebookFlags, kernel jupyter.Command, log io.Writer) {
	began := time.Now()
	name, total := filepath.Base(j.in), len(j.nb.Cells)
	cells, err := j.nb.Run(ctx, notebook.Options{
		Kernel: kernel, StartTimeout: f.startup, CellTimeout: f.timeout, AllowErrors: f.goOn,
		Save: func() error { return j.nb.WriteFile(j.out) },
		Ended: func(r notebook.CellResult) {
			fmt.Fprintf(log, "%s: cell %d/%d %s, %.1f s: %s\n", name, r.Number, total, r.Status, r.Elapsed.Seconds(), r.Title)
		},
		Running: func(r notebook.CellResult, elapsed time.Duration, last string) {
			fmt.Fprintf(log, "%s: cell %d/%d runs for %.0f s: %s\n", name, r.Number, total, elapsed.Seconds(), last)
		},
	})
	j.report, j.elapsed = notebook.Report{Path: j.in, Cells: cells, Err: err}, time.Since(began)
}

// lockedWriter is a writer for several goroutines, a line a call.
type lockedWriter struct {
	lock sync.Mutex
	to   io.Writer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	return w.to.Write(p)
}

// notebookResults writes the reports and says which notebooks have failed.
func (c *cli) notebookResults(f *notebookFlags, jobs []*notebookJob) error {
	var reports []notebook.Report
	var faults []error
	for _, j := range jobs {
		reports = append(reports, j.report)
		if err := j.report.Err; err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", j.in, oneLine{err}))
		}
		for _, r := range notebook.Failures(j.report.Cells) {
			if f.goOn && j.report.Err == nil {
				fmt.Fprintf(c.log, "%s: cell %d failed, which --allow-errors allows: %s\n", j.in, r.Number, r.Reason)
			}
		}
	}
	if f.junit != "" {
		faults = append(faults, atomicfile.WriteFile(f.junit, func(w io.Writer) error { return notebook.WriteJUnit(w, reports) }))
	}
	faults = append(faults, f.finish(jobs, true))
	if f.json {
		faults = append(faults, c.notebookJSON(jobs))
	}
	return errors.Join(faults...)
}

// oneLine keeps an error's lines together in a list of faults.
type oneLine struct{ error }

func (e oneLine) Error() string {
	return strings.ReplaceAll(strings.TrimSpace(e.error.Error()), "\n", " | ")
}
func (e oneLine) Unwrap() error { return e.error }

// finish saves notebooks that were only prepared, and writes pages of all that there are. What a cell showed in this run is
// trusted as the run itself was; what is left of earlier ones is not.
func (f *notebookFlags) finish(jobs []*notebookJob, executed bool) error {
	var faults []error
	for _, j := range jobs {
		if !executed {
			faults = append(faults, j.nb.WriteFile(j.out))
		}
		if f.html {
			page := strings.TrimSuffix(j.out, ".ipynb") + ".html"
			faults = append(faults, atomicfile.WriteFile(page, func(w io.Writer) error {
				return j.nb.WriteHTML(w, strings.TrimSuffix(filepath.Base(j.in), ".ipynb"), notebook.Executed(j.report.Cells))
			}))
		}
	}
	return errors.Join(faults...)
}

// notebookJSON writes a line a notebook.
func (c *cli) notebookJSON(jobs []*notebookJob) error {
	type cell struct {
		Number  int     `json:"cell"`
		ID      string  `json:"id"`
		Status  string  `json:"status"`
		Reason  string  `json:"reason,omitempty"`
		Seconds float64 `json:"seconds"`
	}
	for _, j := range jobs {
		line := struct {
			Notebook string  `json:"notebook"`
			Out      string  `json:"out"`
			Passed   bool    `json:"passed"`
			Seconds  float64 `json:"seconds"`
			Cells    []cell  `json:"cells"`
		}{j.in, j.out, j.report.Err == nil, j.elapsed.Seconds(), []cell{}}
		for _, r := range j.report.Cells {
			line.Cells = append(line.Cells, cell{r.Number, r.ID, string(r.Status), r.Reason, r.Elapsed.Seconds()})
		}
		if err := c.writeJSON(line, ""); err != nil {
			return err
		}
	}
	return nil
}
