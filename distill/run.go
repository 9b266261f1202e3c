package distill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/internal/atomicfile"
	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/gofrs/flock"
)

// Names in a run folder.
const (
	configFile     = "config.json"
	metricsFile    = "metrics.jsonl"
	resultsFile    = "results.json"
	samplesFile    = "samples.jsonl"
	trainingFile   = "training.json"
	lockFile       = ".lock"
	checkpointsDir = "checkpoints"
	evalDir        = "eval" // in checkpoints: texts of an evaluation that is not done
)

// Options say where and how a run happens. They do not change its result.
type Options struct {
	Out    string     // run folder
	Resume bool       // Out holds a run that is to go on, under the config it has there
	Log    io.Writer  // gets a line for everything that happens; nil for none. A terminal gets a progress bar too
	OnStep func(Step) // is called after every logged training step, and should return soon; may be nil
}

// Run is a run folder with its config. The stages are methods; each leaves a folder that the next one, and any other tool
// that reads the Hugging Face form, can open. What is there already is not made again.
//
//	config.json    the resolved config
//	teacher/       the model that stage 3 learns from
//	fp16-sft/      the full-precision baseline, unless the teacher is it
//	bitnet-sft/    the ternary baseline
//	stage1/        the student with SubLN, weights unchanged
//	stage2/        the same after continual pre-training
//	student/       the result
//	checkpoints/   of stages that are not done
//	metrics.jsonl  one object for each logged step
//	results.json   see Results
//	samples.jsonl  of a generation: what the models write behind held-out prompts, see Sample
//	report.html    a page about all of it; written by the command, see package report
type Run struct {
	Config Config
	Plan   *Plan // of the config; nil for a run that goes on with the config it had

	dir     string
	lock    *flock.Flock
	log     *runLog
	choice  *backend.Choice
	sources *sources
}

// Open makes the run folder, or with Options.Resume opens it, and opens the backend. What a new run would stumble over later is
// refused first, see [NewPlan]. Errors about input wrap [ErrInput].
func Open(ctx context.Context, cfg Config, o Options) (*Run, error) {
	r := &Run{Config: cfg, dir: o.Out, log: &runLog{text: o.Log, observe: o.OnStep}}
	if o.Log == nil {
		r.log.text = io.Discard
	}
	if err := r.open(ctx, o.Resume); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// ErrInput marks errors whose cause is what the user gave: settings, files, folders.
var ErrInput = errors.New("wrong input")

// inputError wraps an error in ErrInput without changing its text.
type inputError struct{ error }

func (e inputError) Is(target error) bool { return target == ErrInput }
func (e inputError) Unwrap() error        { return e.error }

func wrongInput(format string, args ...any) error {
	return inputError{fmt.Errorf(format, args...)}
}

func (r *Run) open(ctx context.Context, resume bool) error {
	fresh, replaced, err := r.settle(resume)
	if err != nil {
		return err
	}
	// What may be refused comes before anything is written.
	if err := r.prepare(ctx, fresh); err != nil {
		return err
	}
	if err := r.occupy(fresh); err != nil {
		return err
	}
	if replaced != nil {
		r.logReplaced(*replaced)
	}
	r.log.printf("%s", r.choice.Why)
	return nil
}

// settle decides whether the run begins (fresh) under the config that it was given, or goes on under that of the folder. replaced is
// the config of a run there that has left nothing else.
func (r *Run) settle(resume bool) (fresh bool, replaced *Config, err error) {
	if r.dir == "" {
		return false, nil, wrongInput("out: missing; name a folder for the run")
	}
	stored, found, err := storedConfig(r.dir)
	switch {
	case err != nil:
		return false, nil, err
	case resume && !found:
		return false, nil, wrongInput("%s: nothing to resume, it has no %s", r.dir, configFile)
	case resume:
		r.Config = stored
	case found && !OnlyConfig(r.dir):
		return false, nil, wrongInput("%s: holds a run already; continue it with --resume, or name another folder", r.dir)
	case found:
		replaced = &stored
	}
	if err := r.Config.Validate(); err != nil {
		return false, nil, inputError{err}
	}
	return !resume, replaced, nil
}

// prepare opens what the run reads and computes with.
func (r *Run) prepare(ctx context.Context, fresh bool) (err error) {
	fetch := r.fetcher(r.Config)
	if fresh {
		if r.Plan, err = newPlan(ctx, r.Config, fetch, false); err != nil {
			return err
		}
		r.Config = r.Plan.Config
	}
	if r.sources, err = newSources(r.Config, fetch); err != nil {
		return err
	}
	if r.choice, err = backend.Open(r.Config.Backend); err != nil {
		return inputError{err}
	}
	if !fresh {
		return nil // the settings may still change
	}
	_, err = newDevices(r.choice.Backend, r.Config.Devices)
	return err
}

// occupy takes the folder, and writes the config of a run that begins.
func (r *Run) occupy(fresh bool) error {
	if fresh {
		if err := emptyFolder(r.dir); err != nil {
			return err
		}
	}
	if err := r.takeLock(); err != nil {
		return err
	}
	if err := atomicfile.CleanTemp(r.dir); err != nil {
		return err
	}
	if fresh {
		if err := emptyFolder(r.dir); err != nil { // another process may have been faster
			return err
		}
		if err := writeJSON(r.path(configFile), r.Config); err != nil {
			return err
		}
	}
	var err error
	r.log.metrics, err = openMetrics(r.path(metricsFile))
	return err
}

// logReplaced tells what has become of the settings of a run that the folder held.
func (r *Run) logReplaced(old Config) {
	old.Hub = r.Config.Hub // is no setting
	r.log.printf("%s: a run there ended before its first step; this one takes its place", r.dir)
	for _, d := range old.Differences(r.Config) {
		r.log.printf("%s: %s there, %s now", d.Setting, cmp.Or(d.This, "unset"), cmp.Or(d.Other, "unset"))
	}
}

// fetcher logs as the run does.
func (r *Run) fetcher(cfg Config) *fetcher {
	f := newFetcher(nil, cfg.Hub)
	f.printf = r.log.printf
	return f
}

// noteHub stores what was learned of the hub since the config was written.
func (r *Run) noteHub() error {
	now := r.sources.fetch.hub()
	if maps.Equal(now, r.Config.Hub) {
		return nil
	}
	r.Config.Hub, r.sources.config.Hub = now, now
	return writeJSON(r.path(configFile), r.Config)
}

// Reconfigure changes the config of a run whose folder is open, as a later stage may want: how the stages to come train.
// What the models and the data are cannot change once a stage is done, since its folder would belie the config. Stages that
// are done keep their settings in their training.json.
func (r *Run) Reconfigure(ctx context.Context, cfg Config) error {
	if reflect.DeepEqual(cfg, r.Config) {
		return nil
	}
	if err := cfg.Validate(); err != nil {
		return inputError{err}
	}
	if err := r.keepsBasis(cfg); err != nil {
		return err
	}
	if err := r.keepsFallback(cfg); err != nil {
		return err
	}
	fetch := r.fetcher(cfg)
	plan, err := newPlan(ctx, cfg, fetch, r.corpusBegun())
	if err != nil {
		return err
	}
	cfg = plan.Config
	sources, err := newSources(cfg, fetch)
	if err != nil {
		return err
	}
	choice := r.choice
	if cfg.Backend != r.Config.Backend {
		if choice, err = backend.Open(cfg.Backend); err != nil {
			return inputError{err}
		}
	}
	if _, err := newDevices(choice.Backend, cfg.Devices); err != nil {
		if choice != r.choice {
			choice.Close()
		}
		return err
	}
	if choice != r.choice {
		r.choice.Close()
		r.choice = choice
		r.log.printf("%s", choice.Why)
	}
	r.Config, r.Plan, r.sources = cfg, plan, sources
	return writeJSON(r.path(configFile), cfg)
}

// keepsBasis refuses another basis than that of the stages that are done.
func (r *Run) keepsBasis(cfg Config) error {
	was, is := r.Config, cfg
	for _, c := range []*Config{&was, &is} { // what may change
		c.Preset, c.Backend, c.Devices, c.Hub, c.Corpus.Fallback = "", "", 0, nil, ""
		c.FineTune, c.BitNetSFT, c.Stage2, c.Stage3, c.Loss = Training{}, Training{}, Training{}, Training{}, Loss{}
		c.Task.GenerateRows = 0
		c.EvalBatchSize, c.LogEvery, c.TernaryEvery, c.CheckpointEvery = 0, 0, 0, 0
	}
	if reflect.DeepEqual(was, is) {
		return nil
	}
	for _, dir := range []string{TeacherDir, FullDir, BitNetDir, Stage1Dir, Stage2Dir, StudentDir} {
		if ok, err := r.done(dir); err != nil {
			return err
		} else if ok {
			return wrongInput("%s: %s was made with another model, teacher, task, corpus, student or seed than the settings now name; keep them, or start another run", r.dir, dir)
		}
	}
	return nil
}

// keepsFallback refuses another fallback once the run is on the one it has, or stage 2 has begun: its folder, or that of its
// checkpoints, would belie the config.
func (r *Run) keepsFallback(cfg Config) error {
	was, is := r.Config.Corpus, cfg.Corpus
	if was.Fallback == is.Fallback || !r.corpusBegun() && !(r.sources.onFallback() && slices.Equal(was.Files, is.Files)) {
		return nil
	}
	return wrongInput("%s: the corpus of the run is %s, and stays that; keep corpus.fallback (--fallback-corpus) as it is, %q, or start another run",
		r.dir, strings.Join(r.sources.entries(), ", "), was.Fallback)
}

// corpusBegun tells whether stage 2 has been trained on the corpus.
func (r *Run) corpusBegun() bool {
	for _, dir := range []string{r.path(Stage2Dir), r.path(checkpointsDir, Stage2Dir)} {
		if _, err := os.Stat(dir); err == nil {
			return true
		}
	}
	return false
}

// StoredConfig reads the config of a run folder.
func StoredConfig(dir string) (Config, error) {
	c, found, err := storedConfig(dir)
	if err == nil && !found {
		err = wrongInput("%s: not a run folder, it has no %s", dir, configFile)
	}
	return c, err
}

func storedConfig(dir string) (c Config, found bool, err error) {
	path := filepath.Join(dir, configFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return c, false, inputError{err}
	}
	if err := decodeStrictly(raw, &c); err != nil {
		return c, false, inputError{jsonError(path, raw, err)}
	}
	return c, true, nil
}

// emptyFolder makes the folder, and refuses one that holds something else than what a run left that had not begun.
func emptyFolder(dir string) error {
	_, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err := os.MkdirAll(dir, 0o777)
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
			return wrongInput("out: %w; name a folder that can be made and written to", err)
		}
		return err
	case err != nil:
		return inputError{err}
	case !Unstarted(dir) && !OnlyConfig(dir):
		return wrongInput("%s: exists and is not empty; name another folder", dir)
	}
	return nil
}

// takeLock keeps a second process out of the folder. The lock ends with the process.
func (r *Run) takeLock() error {
	r.lock = flock.New(r.path(lockFile))
	ok, err := r.lock.TryLock()
	if err == nil && !ok {
		return wrongInput("%s: another process is running there", r.dir)
	}
	return err
}

// Close releases the folder and the backend.
func (r *Run) Close() error {
	var errs []error
	if r.log.metrics != nil {
		errs = append(errs, r.log.metrics.Close())
	}
	if r.choice != nil {
		r.choice.Close()
	}
	if r.lock != nil {
		errs = append(errs, r.lock.Unlock())
	}
	return errors.Join(errs...)
}

// Do runs all stages that are not done, evaluates and returns the results.
func (r *Run) Do(ctx context.Context) (*Results, error) {
	for _, stage := range []func(context.Context) error{r.Teacher, r.Baseline, r.Stage1, r.Stage2, r.Stage3} {
		if err := stage(ctx); err != nil {
			return nil, err
		}
	}
	return r.Evaluate(ctx)
}

func (r *Run) path(elem ...string) string { return filepath.Join(append([]string{r.dir}, elem...)...) }

// done reports whether a stage's folder is there and whole.
func (r *Run) done(name string) (bool, error) {
	if _, err := os.Stat(r.path(name)); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err := atomicfile.Verify(r.path(name)); err != nil {
		return false, fmt.Errorf("%s is damaged: %w; remove the folder to make it again", r.path(name), err)
	}
	return true, nil
}

// load opens the model that an earlier stage left.
func (r *Run) load(name, stage string) (*hf.Model, error) {
	ok, err := r.done(name)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, wrongInput("%s: missing; run stage %s first", r.path(name), stage)
	}
	return hf.Load(r.path(name))
}

// keep writes a stage's model and what its training took.
func (r *Run) keep(name string, m *hf.Model, summary any) error {
	d, err := atomicfile.CreateDir(r.path(name))
	if err != nil {
		return err
	}
	defer d.Abort()
	if err := m.Save(d.Path()); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(d.Path(), trainingFile), summary); err != nil {
		return err
	}
	if err := d.Commit(); err != nil {
		return err
	}
	return os.RemoveAll(r.path(checkpointsDir, name))
}
