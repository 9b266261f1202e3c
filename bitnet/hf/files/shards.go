package files

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/internal/safetensors"
)

// Names and limits of the files that hold weights.
const (
	weightsName = "model.safetensors"
	indexName   = "model.safetensors.index.json"
	maxIndex    = 64 << 20
	maxShards   = 1000
)

// weightFile is an open file of tensors under the names that Config.Tensors gives.
type weightFile interface {
	Names() []string
	// Shape is row-major. It is an error if the tensor's type cannot be read as float32.
	Shape(name string) ([]int, error)
	// Stored is the type of a tensor and its size in bytes.
	Stored(name string) (kind gguf.Type, bytes int64)
	// ReadRows fills dst with whole rows, of the last dimension's width, from row first on. There are so many.
	ReadRows(name string, first int, dst []float32) error
	Close() error
}

// shard is one open weight file.
type shard struct {
	path string
	weightFile
}

// safetensorsFile is a weightFile that has the names of Config.Tensors already.
type safetensorsFile struct{ *safetensors.File }

func (f safetensorsFile) Shape(name string) ([]int, error) {
	info, _ := f.Info(name)
	switch info.DType {
	case safetensors.F32, safetensors.F16, safetensors.BF16:
		return info.Shape, nil
	}
	return nil, fmt.Errorf("dtype %s is not supported; supported are F32, F16, BF16", info.DType)
}

func (f safetensorsFile) Stored(name string) (kind gguf.Type, bytes int64) {
	info, _ := f.Info(name)
	switch kind = gguf.F32; info.DType {
	case safetensors.F16:
		kind = gguf.F16
	case safetensors.BF16:
		kind = gguf.BF16
	}
	return kind, int64(info.Elements() * info.DType.Size())
}

func (f safetensorsFile) ReadRows(name string, first int, dst []float32) error {
	info, _ := f.Info(name)
	return f.ReadPart(name, first*info.Shape[len(info.Shape)-1], dst)
}

// Weights are the open weight files of a model. They may be read from several goroutines.
type Weights struct {
	path   string // of the file that lists the tensors, for errors about all of them
	shards []shard
	home   map[string]shard // of every tensor
	tied   bool             // the head is the embedding
}

// Close closes the files.
func (w *Weights) Close() {
	for _, s := range w.shards {
		s.Close()
	}
}

// openWeights opens model.safetensors or, where there is none, the shards of its index.
func openWeights(dir string) (*Weights, error) {
	path := filepath.Join(dir, weightsName)
	if _, err := os.Stat(path); err == nil {
		w := &Weights{path: path, home: map[string]shard{}}
		return w, w.add(path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	data, err := readFile(dir, indexName, maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missingWeights(dir)
	}
	if err != nil {
		return nil, err
	}
	return openShards(dir, data)
}

func missingWeights(dir string) error {
	hint := ""
	if other, _ := filepath.Glob(filepath.Join(dir, "pytorch_model*.bin")); len(other) > 0 {
		hint = fmt.Sprintf("; convert %s to safetensors first", filepath.Base(other[0]))
	}
	return fmt.Errorf("%s: no %s and no %s%s: %w", dir, weightsName, indexName, hint, fs.ErrNotExist)
}

// add opens one more file; on an error all are closed.
func (w *Weights) add(path string) error {
	f, err := safetensors.Open(path)
	if err != nil {
		w.Close()
		return err
	}
	w.put(shard{path, safetensorsFile{f}})
	return nil
}

func (w *Weights) put(s shard) {
	w.shards = append(w.shards, s)
	for _, name := range s.Names() {
		w.home[name] = s
	}
}

// openShards opens the files of an index and demands that both agree on where every tensor is.
func openShards(dir string, data []byte) (*Weights, error) {
	w := &Weights{path: filepath.Join(dir, indexName), home: map[string]shard{}}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fileErrorf(w.path, "%w%s", err, offset(err))
	}
	names := slices.Compact(slices.Sorted(maps.Values(index.WeightMap)))
	if len(names) == 0 {
		return nil, fileErrorf(w.path, "weight_map: no tensors")
	}
	if len(names) > maxShards {
		return nil, fileErrorf(w.path, "weight_map: %d files, at most %d are supported", len(names), maxShards)
	}
	for _, name := range names {
		if !plainName(name) {
			return nil, fileErrorf(w.path, "weight_map: %q is not the plain name of a .safetensors file beside the index", name)
		}
	}
	for _, name := range names {
		if err := w.add(filepath.Join(dir, name)); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("%s: weight_map names a missing file: %w", w.path, err)
			}
			return nil, err
		}
	}
	if faults := w.disagreements(index.WeightMap); len(faults) > 0 {
		w.Close()
		return nil, &FileError{Path: w.path, Faults: shorten(faults)}
	}
	return w, nil
}

// plainName keeps an index from reaching outside of its folder.
func plainName(name string) bool {
	return strings.HasSuffix(name, ".safetensors") && filepath.IsLocal(name) && !strings.ContainsAny(name, `/\:`)
}

// disagreements compares the index with what the files hold.
func (w *Weights) disagreements(index map[string]string) (faults []error) {
	for _, tensor := range slices.Sorted(maps.Keys(index)) {
		if _, ok := w.home[tensor]; !ok {
			faults = append(faults, fmt.Errorf("weight_map: %s is not in %s", tensor, index[tensor]))
		}
	}
	for _, s := range w.shards {
		file := filepath.Base(s.path)
		for _, tensor := range s.Names() {
			switch listed, ok := index[tensor]; {
			case !ok:
				faults = append(faults, fmt.Errorf("weight_map: does not list %s of %s", tensor, file))
			case listed != file:
				faults = append(faults, fmt.Errorf("weight_map: says that %s is in %s, but %s holds one", tensor, listed, file))
			}
		}
	}
	return faults
}
