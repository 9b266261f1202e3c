package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bitdistill/bitdistill/internal/notebook"
)

const notebookSuffix = ".ipynb"

// defaultNotebook is where the outputs of a notebook go when nobody says so.
func defaultNotebook(in string) string {
	return strings.TrimSuffix(in, notebookSuffix) + ".out" + notebookSuffix
}

// plan decides where the outputs of each notebook go. No notebook is overwritten but the outputs of an earlier run, which carry a
// mark, or with --inplace.
func (f *notebookFlags) plan(args []string, log io.Writer) ([]*notebookJob, error) {
	if f.inPlace && f.out != "" {
		return nil, inputf("--inplace and --out exclude each other")
	}
	single := strings.HasSuffix(f.out, notebookSuffix)
	var jobs []*notebookJob
	taken := map[string]string{}
	for _, in := range args {
		if source := outputOf(in, args); source != "" && !f.inPlace {
			fmt.Fprintf(log, "%s: left out, since it holds the outputs of %s\n", in, source)
			continue
		}
		out := defaultNotebook(in)
		switch {
		case f.inPlace:
			out = in
		case single && len(jobs) > 0:
			return nil, inputf("--out %s: is one file, and there are several notebooks; name a folder", f.out)
		case single:
			out = f.out
		case f.out != "":
			out = filepath.Join(f.out, filepath.Base(in))
		}
		if !strings.HasSuffix(in, notebookSuffix) {
			return nil, inputf("%s: the name of a notebook ends with %s", in, notebookSuffix)
		}
		if !f.inPlace && sameFile(in, out) {
			return nil, inputf("%s: would be overwritten with its outputs; --inplace does that", in)
		}
		if other, ok := taken[filepath.Clean(out)]; ok {
			return nil, inputf("%s and %s: both would be saved as %s", other, in, out)
		}
		if !f.inPlace && !f.help && !replaceable(out) {
			return nil, inputf("%s: is there already and not from notebook run, so the outputs of %s do not overwrite it; choose another place with --out, or remove it", out, in)
		}
		taken[filepath.Clean(out)] = in
		jobs = append(jobs, &notebookJob{in: in, out: out})
	}
	if f.help {
		return jobs, nil
	}
	return jobs, makeFolders(jobs)
}

// replaceable reports whether nothing is at a path, or the outputs of an earlier run.
func replaceable(path string) bool {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return true
	}
	nb, err := notebook.ReadFile(path)
	return err == nil && nb.Marked()
}

// outputOf is the notebook among all whose outputs in is for, as happens with *.ipynb the second time, or "".
func outputOf(in string, all []string) string {
	i := slices.IndexFunc(all, func(other string) bool {
		return other != in && filepath.Clean(defaultNotebook(other)) == filepath.Clean(in)
	})
	if i < 0 {
		return ""
	}
	return all[i]
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

func makeFolders(jobs []*notebookJob) error {
	for _, j := range jobs {
		if _, err := os.Stat(j.in); err != nil {
			return wrongInput{err}
		}
		if err := os.MkdirAll(filepath.Dir(j.out), 0o777); err != nil {
			return inputf("--out: %w", err)
		}
	}
	return nil
}
