package distill

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/internal/atomicfile"
	"github.com/bitdistill/bitdistill/internal/safetensors"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// checkpoints keeps the states of one stage's training in a folder:
//
//	step-00000100/  model.safetensors      the weights, by their Hugging Face names
//	                optimizer.safetensors  moments and step counters, by their paths in the store
//	                state.json             everything else, see trainState
//	                manifest.json          sizes and hashes, written last
//	best-00000050/  weights and state at the best evaluation
//
// A folder appears under its name only when it is whole. The newest two are kept, so that one damaged later on costs the
// steps since the one before; and the best weights that any of these, or the training as it goes on, may come back to.
type checkpoints struct {
	dir string
}

const (
	stepPrefix    = "step-"
	bestPrefix    = "best-"
	weightsFile   = "model.safetensors"
	optimizerFile = "optimizer.safetensors"
	stateFile     = "state.json"
	keepNewest    = 2
)

// save writes a checkpoint and removes those that are no longer needed.
func (c *checkpoints) save(store *model.Store, cfg arch.Config, state trainState) error {
	name := folderOf(stepPrefix, state.Step)
	if err := c.clear(name); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	others := func() ([]safetensors.Tensor, error) { return otherTensors(store, cfg) }
	if err := c.write(name, store, cfg, state, others); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if err := c.prune(); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

func folderOf(prefix string, step int) string { return fmt.Sprintf("%s%08d", prefix, step) }

// prune removes all but the newest checkpoints, and best weights that none of these names.
func (c *checkpoints) prune() error {
	steps, err := c.list(stepPrefix)
	if err != nil {
		return err
	}
	bests, err := c.list(bestPrefix)
	if err != nil {
		return err
	}
	kept := min(keepNewest, len(steps))
	for _, name := range steps[:kept] {
		var state trainState
		if readJSON(filepath.Join(c.dir, name, stateFile), &state) != nil || state.Best == nil {
			continue // one that is damaged is never gone on from
		}
		bests = slices.DeleteFunc(bests, func(b string) bool { return b == folderOf(bestPrefix, state.Best.Step) })
	}
	for _, old := range append(steps[kept:], bests...) {
		if err := os.RemoveAll(filepath.Join(c.dir, old)); err != nil {
			return err
		}
	}
	return nil
}

// clear removes what would stand beside a new checkpoint of that name without being of use: newer ones, and one of the
// same name that is damaged. Had they been whole, the training would have gone on from them.
func (c *checkpoints) clear(name string) error {
	names, err := c.list(stepPrefix)
	if err != nil {
		return err
	}
	for _, old := range names {
		dir := filepath.Join(c.dir, old)
		if old > name || old == name && atomicfile.Verify(dir) != nil {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// saveBest keeps the weights of the best evaluation so far. Those of earlier ones stay until a checkpoint is saved: a
// training that is killed goes on from one that knows of no other.
func (c *checkpoints) saveBest(store *model.Store, cfg arch.Config, state trainState) error {
	name := folderOf(bestPrefix, state.Step)
	if err := os.RemoveAll(filepath.Join(c.dir, name)); err != nil {
		return fmt.Errorf("best weights: %w", err)
	}
	if err := c.write(name, store, cfg, state, nil); err != nil {
		return fmt.Errorf("best weights: %w", err)
	}
	return nil
}

func (c *checkpoints) write(name string, store *model.Store, cfg arch.Config, state trainState, others func() ([]safetensors.Tensor, error)) error {
	if err := os.MkdirAll(c.dir, 0o777); err != nil {
		return err
	}
	d, err := atomicfile.CreateDir(filepath.Join(c.dir, name))
	if err != nil {
		return err
	}
	defer d.Abort()
	weights, err := modelTensors(store, cfg)
	if err != nil {
		return err
	}
	if err := writeTensors(filepath.Join(d.Path(), weightsFile), weights); err != nil {
		return err
	}
	if others != nil {
		moments, err := others()
		if err != nil {
			return err
		}
		if err := writeTensors(filepath.Join(d.Path(), optimizerFile), moments); err != nil {
			return err
		}
	}
	if err := writeJSON(filepath.Join(d.Path(), stateFile), state); err != nil {
		return err
	}
	return d.Commit()
}

// list are the names of the folders with a prefix, newest first.
func (c *checkpoints) list(prefix string) ([]string, error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	slices.Reverse(names)
	return names, nil
}

// load restores the newest checkpoint that is whole into the store: weights are set, moments and counters created. found
// is false if there is none; one that is damaged is reported and passed over.
func (c *checkpoints) load(store *model.Store, cfg arch.Config, report func(format string, args ...any)) (state trainState, found bool, err error) {
	if err := atomicfile.CleanTemp(c.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return state, false, err
	}
	names, err := c.list(stepPrefix)
	if err != nil {
		return state, false, err
	}
	for i, name := range names {
		dir := filepath.Join(c.dir, name)
		state, err = c.restore(dir, store, cfg)
		if err == nil {
			return state, true, nil
		}
		instead := "falling back to the checkpoint before it"
		if i == len(names)-1 {
			instead = "there is none before it, so the training starts anew"
		}
		report("warning: %v; %s", err, instead)
	}
	return trainState{}, false, nil
}

// restore checks and reads one checkpoint. The store is changed only when all of it could be read.
func (c *checkpoints) restore(dir string, store *model.Store, cfg arch.Config) (state trainState, err error) {
	if err := atomicfile.Verify(dir); err != nil {
		return state, fmt.Errorf("checkpoint %s is damaged: %w", dir, err)
	}
	if err := readJSON(filepath.Join(dir, stateFile), &state); err != nil {
		return state, err
	}
	weights, err := readTensors(filepath.Join(dir, weightsFile))
	if err != nil {
		return state, err
	}
	moments, err := readTensors(filepath.Join(dir, optimizerFile))
	if err != nil {
		return state, err
	}
	if err := setWeights(store, cfg, weights); err != nil {
		return state, fmt.Errorf("%s: %w", dir, err)
	}
	for path, value := range moments {
		v, err := store.CreateVariable(path, value)
		if err != nil {
			return state, fmt.Errorf("%s: %s: %w", dir, path, err)
		}
		v.SetTrainable(false)
	}
	return state, nil
}

// loadBest sets the weights of the best evaluation.
func (c *checkpoints) loadBest(store *model.Store, cfg arch.Config, mark bestMark) error {
	dir := filepath.Join(c.dir, folderOf(bestPrefix, mark.Step))
	if err := atomicfile.Verify(dir); err != nil {
		return fmt.Errorf("the best weights, of step %d, are damaged: %w; remove %s to train this stage again", mark.Step, err, c.dir)
	}
	var state trainState
	if err := readJSON(filepath.Join(dir, stateFile), &state); err != nil {
		return err
	}
	if state.Best == nil || *state.Best != mark {
		return fmt.Errorf("%s: holds other weights than those of step %d; remove %s to train this stage again", dir, mark.Step, c.dir)
	}
	weights, err := readTensors(filepath.Join(dir, weightsFile))
	if err != nil {
		return err
	}
	return setWeights(store, cfg, weights)
}

// modelTensors are the weights of a model, by their Hugging Face names.
func modelTensors(store *model.Store, cfg arch.Config) ([]safetensors.Tensor, error) {
	var all []safetensors.Tensor
	for _, t := range cfg.Tensors() {
		f, err := fileTensor(t.Name, store.GetVariable(t.Path()))
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

// otherTensors are the variables that a training added to the model's: moments and counters.
func otherTensors(store *model.Store, cfg arch.Config) ([]safetensors.Tensor, error) {
	var all []safetensors.Tensor
	for v := range othersOf(store, cfg) {
		if strings.HasPrefix(v.Path(), "/"+teacherScope+"/") || !v.HasValue() {
			continue
		}
		f, err := fileTensor(v.Path(), v)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

// othersOf walks the variables of the store that are not the model's own.
func othersOf(store *model.Store, cfg arch.Config) func(yield func(*model.Variable) bool) {
	own := map[string]bool{}
	for _, t := range cfg.Tensors() {
		own[t.Path()] = true
	}
	return func(yield func(*model.Variable) bool) {
		for v := range store.IterVariables() {
			if !own[v.Path()] && !yield(v) {
				return
			}
		}
	}
}

// dropOthers removes all variables that are not the model's own.
func dropOthers(store *model.Store, cfg arch.Config) error {
	var paths []string
	for v := range othersOf(store, cfg) {
		paths = append(paths, v.Path())
	}
	for _, path := range paths {
		if err := store.DeleteVariable(path); err != nil {
			return err
		}
	}
	return nil
}

func fileTensor(name string, v *model.Variable) (safetensors.Tensor, error) {
	value, err := v.Value()
	if err != nil {
		return safetensors.Tensor{}, err
	}
	shape := value.Shape().Dimensions
	switch value.DType() {
	case dtypes.Float32:
		flat, err := tensors.CopyFlatData[float32](value)
		return safetensors.FromFloat32s(name, safetensors.F32, shape, flat), err
	case dtypes.Int64:
		flat, err := tensors.CopyFlatData[int64](value)
		ints := make([]int, len(flat))
		for i, n := range flat {
			ints[i] = int(n)
		}
		return safetensors.FromInts(name, safetensors.I64, shape, ints), err
	}
	return safetensors.Tensor{}, fmt.Errorf("variable %s: cannot save dtype %s", name, value.DType())
}

func writeTensors(path string, all []safetensors.Tensor) error {
	return atomicfile.WriteFile(path, func(w io.Writer) error { return safetensors.Write(w, nil, all) })
}

// readTensors reads all tensors of a file, by name.
func readTensors(path string) (map[string]*tensors.Tensor, error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all := map[string]*tensors.Tensor{}
	for _, name := range f.Names() {
		info, _ := f.Info(name)
		if info.DType == safetensors.I64 {
			ints, err := f.Ints(name)
			if err != nil {
				return nil, err
			}
			flat := make([]int64, len(ints))
			for i, n := range ints {
				flat[i] = int64(n)
			}
			all[name] = tensors.FromFlatDataAndDimensions(flat, info.Shape...)
			continue
		}
		flat, err := f.Float32s(name)
		if err != nil {
			return nil, err
		}
		all[name] = tensors.FromFlatDataAndDimensions(flat, info.Shape...)
	}
	return all, nil
}

func setWeights(store *model.Store, cfg arch.Config, values map[string]*tensors.Tensor) error {
	for _, t := range cfg.Tensors() {
		value, ok := values[t.Name]
		if !ok || !slices.Equal(value.Shape().Dimensions, t.Dims) {
			return fmt.Errorf("%s: missing or of another shape than %v", t.Name, t.Dims)
		}
	}
	for _, t := range cfg.Tensors() {
		if err := store.GetVariable(t.Path()).SetValue(values[t.Name]); err != nil {
			return err
		}
	}
	return nil
}

func writeJSON(path string, v any) error {
	return atomicfile.WriteFile(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	})
}

func readJSON(path string, v any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
