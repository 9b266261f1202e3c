package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/internal/atomicfile"
)

// Run is what a run folder holds, as far as the run has come.
type Run struct {
	Dir     string
	Config  distill.Config
	Metrics *distill.Metrics
	Results *distill.Results // nil before the evaluation
	Stage2  *distill.Stage2  // nil before stage 2 is done

	models map[string]bool // folders of models that are there and whole
}

// Read reads a run folder, models excepted: it only checks that those that are there are whole. Errors name the file; what is
// missing from a run folder, or damaged, wraps [distill.ErrInput]. What later stages would leave may be absent.
func Read(dir string) (*Run, error) {
	cfg, err := distill.StoredConfig(dir)
	if err != nil {
		return nil, err
	}
	if err := cfg.Validate(); err != nil {
		return nil, inputError{fmt.Errorf("%s: %w", filepath.Join(dir, "config.json"), err)}
	}
	r := &Run{Dir: dir, Config: cfg, models: map[string]bool{}}
	if r.Metrics, err = distill.ReadMetrics(dir); err != nil {
		return nil, err
	}
	if err := readJSON(filepath.Join(dir, "results.json"), &r.Results); err != nil {
		return nil, err
	}
	for _, name := range []string{distill.TeacherDir, distill.FullDir, distill.BitNetDir, distill.Stage1Dir, distill.Stage2Dir, distill.StudentDir} {
		switch err := atomicfile.Verify(r.path(name)); {
		case err == nil:
			r.models[name] = true
		case !errors.Is(err, fs.ErrNotExist) || exists(r.path(name)):
			return nil, inputError{fmt.Errorf("%s is damaged: %w", r.path(name), err)}
		}
	}
	return r, r.readStage2()
}

// readStage2 takes the perplexities from the results, or from the stage's own summary where the run is not evaluated yet.
func (r *Run) readStage2() error {
	if r.Results != nil {
		r.Stage2 = r.Results.Stage2
	}
	if r.Stage2 != nil || !r.models[distill.Stage2Dir] {
		return nil
	}
	var s *distill.Summary
	if err := readJSON(r.path(distill.Stage2Dir, "training.json"), &s); err != nil {
		return err
	}
	if s != nil && s.Before != nil && s.After != nil {
		r.Stage2 = &distill.Stage2{PerplexityBefore: s.Before.Perplexity, PerplexityAfter: s.After.Perplexity}
	}
	return nil
}

// full is the folder of the full-precision baseline: the teacher's, unless that was given.
func (r *Run) full() string {
	if r.Config.Teacher == "" {
		return distill.TeacherDir
	}
	return distill.FullDir
}

// newest is the last folder of the student that is there, "" before stage 1.
func (r *Run) newest() string {
	for _, name := range []string{distill.StudentDir, distill.Stage2Dir, distill.Stage1Dir} {
		if r.models[name] {
			return name
		}
	}
	return ""
}

func (r *Run) path(elem ...string) string { return filepath.Join(append([]string{r.Dir}, elem...)...) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// readJSON reads a file into *to, and leaves that as it is where there is no such file.
func readJSON(path string, to any) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		if err = json.Unmarshal(raw, to); err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	if err != nil {
		return inputError{err}
	}
	return nil
}

// inputError wraps an error in [distill.ErrInput] without changing its text.
type inputError struct{ error }

func (e inputError) Is(target error) bool { return target == distill.ErrInput }
func (e inputError) Unwrap() error        { return e.error }
