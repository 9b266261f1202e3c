package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bitdistill/bitdistill/internal/atomicfile"
	"github.com/bitdistill/bitdistill/plots"
)

// FileName is that of a report where no other is named.
const FileName = "report.html"

// Write writes the report of a run, or the comparison of several, to the file out, whole or not at all. out may be a report
// that is there already; any other file is refused. The folder must exist. Errors about input wrap [distill.ErrInput].
func Write(ctx context.Context, out string, dirs ...string) error {
	runs := make([]*Run, len(dirs))
	for i, dir := range dirs {
		var err error
		if runs[i], err = Read(dir); err != nil {
			return err
		}
	}
	if err := replaceable(out); err != nil {
		return inputError{err}
	}
	page, err := pageOf(ctx, runs)
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(out, page.Write)
}

func pageOf(ctx context.Context, runs []*Run) (*plots.Page, error) {
	if len(runs) == 1 {
		return runs[0].Page(ctx)
	}
	return Compare(runs...)
}

// titlePrefix begins the title of every report, and tells it from other files.
const titlePrefix = "BitDistill: "

// replaceable refuses a target that is not a file, or a file that is not a report.
func replaceable(path string) error {
	if info, err := os.Stat(filepath.Dir(path)); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s: not a folder", filepath.Dir(path))
	}
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s: is a folder; name a file", path)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s: is not a file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, 8<<10))
	if err != nil {
		return err
	}
	if len(head) > 0 && !strings.Contains(string(head), "<title>"+titlePrefix) {
		return fmt.Errorf("%s: exists and is not a report; name another file, or remove it", path)
	}
	return nil
}
