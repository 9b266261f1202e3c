package distill

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/embedded"
	"github.com/bitdistill/bitdistill/internal/atomicfile"
)

// EmbeddedTeacher stands for the teacher in the binary where a model to judge is named.
const EmbeddedTeacher = "embedded-teacher"

// Subject is a model that was opened to be judged.
type Subject struct {
	*hf.Model
	// Run is the config of the run that the model comes from: how its task reads, and on what it was judged. nil for a
	// model that comes from no run.
	Run *Config
}

// OpenModel loads a model by the name that commands take for it: a folder in Hugging Face form, a run folder, which means
// its student, or "embedded" and "embedded-teacher" for those in the binary. A folder inside a run folder, such as that
// of a baseline, knows its run too. Errors wrap [ErrInput].
func OpenModel(name string) (*Subject, error) {
	switch name {
	case Embedded, EmbeddedTeacher:
		unpack := embedded.Model
		if name == EmbeddedTeacher {
			unpack = embedded.Teacher
		}
		cfg, err := Preset(DefaultPreset)
		if err != nil {
			return nil, err
		}
		m, err := openModel(Embedded, unpack)
		if err != nil {
			return nil, err
		}
		return &Subject{m, &cfg}, nil
	}
	dir, run, err := locate(name)
	if err != nil {
		return nil, err
	}
	m, err := openModel(dir, nil)
	if err != nil {
		return nil, err
	}
	return &Subject{m, run}, nil
}

// locate finds the model's folder, and the config of its run if it has one.
func locate(name string) (dir string, run *Config, err error) {
	if !isRun(name) {
		if above := filepath.Dir(filepath.Clean(name)); isRun(above) {
			if cfg, err := StoredConfig(above); err == nil {
				return name, &cfg, nil
			}
		}
		return name, nil, nil
	}
	cfg, err := StoredConfig(name)
	if err != nil {
		return "", nil, err
	}
	dir = filepath.Join(name, StudentDir)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return "", nil, wrongInput("%s: the run has no %s yet; run stage 3 first, or name the folder of another stage", name, StudentDir)
	}
	return dir, &cfg, nil
}

// isRun tells a run folder from a model's: both have a config.json.
func isRun(dir string) bool {
	raw, err := os.ReadFile(filepath.Join(dir, configFile))
	if err != nil {
		return false
	}
	var keys struct {
		ModelType json.RawMessage `json:"model_type"`
		FineTune  json.RawMessage `json:"fine_tune"`
	}
	return json.Unmarshal(raw, &keys) == nil && keys.FineTune != nil && keys.ModelType == nil
}

// HoldsRun reports whether a folder holds a run.
func HoldsRun(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, configFile))
	return err == nil
}

// Unstarted reports whether a folder holds nothing but what a run leaves that was killed before it had written its
// config.
func Unstarted(dir string) bool {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if e.Name() != lockFile && !atomicfile.IsTemp(e.Name()) {
			return false
		}
	}
	return err == nil
}

// OpenTask returns a task by the name that configs take for it: built in, a task file, or "embedded". Errors wrap
// [ErrInput].
func OpenTask(name string) (data.Task, error) {
	if name == Embedded {
		return embedded.Task(), nil
	}
	t, err := data.LookupTask(name)
	if err != nil {
		return t, inputError{err}
	}
	return t, nil
}

// OpenHeldOut is a task's held-out data: a table, or "embedded". Nothing is opened yet.
func OpenHeldOut(path string) data.File { return taskFile(path, embedded.Dev) }

// OpenText is a text to measure perplexity on: a file, or "embedded". Nothing is opened yet.
func OpenText(path string) data.File { return taskFile(path, embedded.Corpus) }

// OpenCorpus expands the names of corpus files: files, folders, patterns, or "embedded". Nothing is opened yet. Errors wrap
// [ErrInput].
func OpenCorpus(names ...string) ([]data.File, error) {
	var files []data.File
	for _, name := range names {
		if name == Embedded {
			files = append(files, embedded.Corpus())
			continue
		}
		more, err := data.Files(name)
		if err != nil {
			return nil, inputError{fmt.Errorf("corpus: %w", err)}
		}
		files = append(files, more...)
	}
	return files, nil
}

// OpenTokenizer is the tokenizer of a model, whose weights are not loaded: a folder in Hugging Face form, a run folder, or
// "embedded". Errors wrap [ErrInput].
func OpenTokenizer(name string) (*hf.Tokenizer, error) {
	if name != Embedded {
		dir, _, err := locate(name)
		if err != nil {
			return nil, err
		}
		name = dir
	}
	m, err := readModel(name, embedded.Model, hf.Check)
	if err != nil {
		return nil, err
	}
	return m.Tokenizer, nil
}
