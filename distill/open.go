package distill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/bitnet/native"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/embedded"
	"github.com/bitdistill/bitdistill/internal/atomicfile"
	"github.com/bitdistill/bitdistill/internal/hub"
)

// EmbeddedTeacher stands for the teacher in the binary where a model to judge is named.
const EmbeddedTeacher = "embedded-teacher"

// Subject is a model that was opened to be judged.
type Subject struct {
	*hf.Model
	Origin
}

// OpenModel loads a model by the name that commands take for it: a folder in Hugging Face form, a run folder, which means
// its student, a hub id, or "embedded" and "embedded-teacher" for those in the binary. A folder inside a run folder, such as
// that of a baseline, knows its run too. log is told what is fetched, and may be nil. Errors wrap [ErrInput] or [ErrUnreachable].
func OpenModel(ctx context.Context, name string, log io.Writer) (*Subject, error) {
	var s *Subject
	err := withModel(ctx, name, log, func(path string, from Origin) error {
		if native.Is(path) {
			return wrongInput("%s: is a packed file of this project's own; the packed engine runs it (--engine packed), a graph needs the folder that it was made from", name)
		}
		m, err := hf.Load(path)
		if err != nil {
			return inputError{err}
		}
		if m.Tokenizer == nil {
			return wrongInput("%s: no tokenizer.json", name)
		}
		s = &Subject{m, from}
		return nil
	})
	return s, err
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
	return holdsOnly(dir, func(fs.DirEntry) bool { return false })
}

// OnlyConfig reports whether a folder holds a run that has left nothing but its settings, as one does that ends with an error before
// its first step. A new run may take its place.
func OnlyConfig(dir string) bool {
	return isRun(dir) && holdsOnly(dir, func(e fs.DirEntry) bool {
		info, err := e.Info()
		return e.Name() == configFile || e.Name() == metricsFile && err == nil && info.Size() == 0
	})
}

// holdsOnly reports whether a folder holds nothing but a lock, files that were not finished, and what also is fine.
func holdsOnly(dir string, also func(fs.DirEntry) bool) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return e.Name() != lockFile && !atomicfile.IsTemp(e.Name()) && !also(e)
	})
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

// CorpusOptions say how the files of a corpus on the hub are fetched.
type CorpusOptions struct {
	Keep bool      // leaves files in the cache; else those that were not there before are removed once they are read
	Log  io.Writer // is told what is fetched; may be nil
}

// OpenCorpus expands the names of corpus files: files, folders, patterns, data sets of the hub, or "embedded". Nothing is opened
// yet. The files can be opened, in their order, until release is called. It is told whether all of them have been read: if not, those
// of the hub that were not, and have come, stay in the cache. Errors wrap [ErrInput] or [ErrUnreachable].
func OpenCorpus(ctx context.Context, names []string, o CorpusOptions) (files []data.File, release func(read bool), err error) {
	f := newFetcher(o.Log, nil)
	var all releases
	for _, name := range names {
		more, release, err := f.files(ctx, name, o.Keep)
		if err != nil {
			all.call(false)
			return nil, nil, err
		}
		files, all = append(files, more...), append(all, release)
	}
	return files, all.call, nil
}

// releases are to be called once nothing is to be read any more of what they belong to.
type releases []func(read bool)

func (r releases) call(read bool) {
	for _, release := range r {
		release(read)
	}
}

// files finds the files of one name of a corpus.
func (f *fetcher) files(ctx context.Context, name string, keep bool) (files []data.File, release func(read bool), err error) {
	switch {
	case name == Embedded:
		files = []data.File{embedded.Corpus()}
	case strings.HasPrefix(name, hubCorpus):
		return f.corpus(ctx, name, keep)
	case data.IsTokenized(name):
		return nil, nil, wrongInput("corpus: %s: is a corpus that was tokenized already; run --corpus takes it as it is, here name the text that it was made from", name)
	default:
		if files, err = data.Files(name); err != nil {
			return nil, nil, inputError{fmt.Errorf("corpus: %w", err)}
		}
	}
	return files, func(bool) {}, nil
}

// OpenTokenizer is the tokenizer of a model, whose weights are not loaded, nor fetched: a folder in Hugging Face form, a GGUF file, a
// run folder, a hub id, or "embedded". log is told what is fetched, and may be nil. Errors wrap [ErrInput] or [ErrUnreachable].
func OpenTokenizer(ctx context.Context, name string, log io.Writer) (*files.Tokenizer, error) {
	f := newFetcher(log, nil)
	if name == Embedded {
		m, err := readModel(ctx, f, name, embedded.Model, hf.Check)
		if err != nil {
			return nil, err
		}
		return m.Tokenizer, nil
	}
	dir, _, err := locate(name)
	if err != nil {
		return nil, err
	}
	if dir, err = f.model(ctx, dir, (*hub.Repo).Tokenizer); err != nil {
		return nil, err
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, noModel(name)
	}
	t, err := files.OpenTokenizer(dir)
	if err != nil {
		return nil, inputError{err}
	}
	if t == nil {
		return nil, wrongInput("%s: no tokenizer.json", name)
	}
	return t, nil
}
