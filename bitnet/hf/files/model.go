package files

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/internal/safetensors"
)

// Limits of the small files, bytes.
const (
	configName = "config.json"
	maxCarried = 256 << 20
)

// carried are files that a model keeps as they are, from Load to Save. All belong to text: with them the saved folder
// works wherever the original did.
var carried = []string{
	tokenizerName, tokenizerConfigName, "generation_config.json", specialMapName, "added_tokens.json",
	chatTemplateName, "tokenizer.model", "vocab.json", "merges.txt",
}

// Model is what a model's files say besides its weights. Config alone makes one that has no files yet.
type Model struct {
	Config arch.Config
	// Tokenizer is nil if the folder has no tokenizer.json.
	Tokenizer *Tokenizer

	config []byte            // config.json as read, nil for a model that was not read
	files  map[string][]byte // carried files that were there
	path   string            // where they were, for errors
	gguf   bool              // a GGUF file
}

// Open reads all of a folder, or of a GGUF file of a llama, qwen2, qwen3 or gemma3 architecture with the tokenizer in it, but the
// weights: those are there, with the names and shapes that the config wants, and are read one by one. The caller closes them. For the
// kinds of errors see the package documentation.
func Open(path string) (*Model, *Weights, error) {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return openGGUF(path)
	}
	m, err := openFolder(path)
	if err != nil {
		return nil, nil, err
	}
	weights, err := openWeights(path)
	if err != nil {
		return nil, nil, err
	}
	if err := weights.check(m.Config); err != nil {
		weights.Close()
		return nil, nil, err
	}
	return m, weights, nil
}

// OpenTokenizer reads the tokenizer of a model, nil if it has none. The weights need not be there unless they are in one file with it.
func OpenTokenizer(path string) (*Tokenizer, error) {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		m, weights, err := openGGUF(path)
		if err != nil {
			return nil, err
		}
		weights.Close()
		return m.Tokenizer, nil
	}
	m, err := openFolder(path)
	if err != nil {
		return nil, err
	}
	return m.Tokenizer, nil
}

// openFolder reads what of a folder is not weights.
func openFolder(path string) (*Model, error) {
	m := &Model{files: map[string][]byte{}, path: path}
	for _, name := range append([]string{configName}, carried...) {
		data, err := readFile(path, name, maxCarried)
		if errors.Is(err, fs.ErrNotExist) && name != configName {
			continue
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil, noConfig(path, err)
		}
		if err != nil {
			return nil, err
		}
		m.files[name] = data
	}
	m.config = m.files[configName]
	delete(m.files, configName)
	return m, m.parse(path)
}

// noConfig says what a folder without config.json is short of.
func noConfig(path string, err error) error {
	if others, _ := filepath.Glob(filepath.Join(path, "*.gguf")); len(others) > 0 {
		return fmt.Errorf("%s: no %s, but a GGUF file: name %s itself: %w", path, configName, others[0], fs.ErrNotExist)
	}
	return fmt.Errorf("%s: no %s; a model is a folder with it, safetensors and tokenizer.json, or a GGUF file: %w", path, configName, err)
}

// parse reads the config and the tokenizer from the model's files, which are those of path.
func (m *Model) parse(path string) (err error) {
	if m.Config, err = ParseConfig(filepath.Join(path, configName), m.config); err != nil {
		return err
	}
	m.Tokenizer, err = newTokenizer(path, m)
	return err
}

// UnknownKeys lists the keys of the folder's config.json that are ignored without being known to be harmless; worth a
// warning.
func (m *Model) UnknownKeys() []string { return UnknownKeys(m.config) }

// Save writes config.json, model.safetensors (F32), and the tokenizer's files and generation_config.json if there were
// any. The folder is made if needed; files in it are replaced one by one, so a caller who may be interrupted writes to a
// temporary folder and renames it. Open gives the same model again, and the same model gives the same bytes.
//
// config.json keeps every field of the original that the config has not changed, and states dtype float32. For a model
// other than arch.Full it has the key "bitdistill".
//
// weights calls use with the values of a tensor, row-major, as often as it is called. Weights that it refuses or that are not finite are
// refused by name before anything is written.
func (m *Model) Save(dir string, weights func(t arch.Tensor, use func(values []float32) error) error) error {
	if err := m.Config.Validate(); err != nil {
		return &FileError{Path: configName + " to be saved", Faults: flatten(err)}
	}
	contents, err := m.Contents()
	if err != nil {
		return err
	}
	stored, err := m.stored(weights)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if err := writeWeights(filepath.Join(dir, weightsName), stored); err != nil {
		return err
	}
	for _, name := range append(slices.Clone(carried), configName) { // the config last
		if data, ok := contents[name]; ok {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
				return err
			}
		}
	}
	return nil
}

// Contents are the files that Save writes, by name, but for the weights.
func (m *Model) Contents() (map[string][]byte, error) {
	config, err := m.configJSON()
	if err != nil {
		return nil, err
	}
	contents := maps.Clone(m.files)
	if contents == nil {
		contents = map[string][]byte{}
	}
	contents[configName] = config
	return contents, nil
}

// FromContents makes a model of the contents of its files, by name, such as another model's [Model.Contents]. path stands in front of
// errors. Files of other names than a model keeps are left out.
func FromContents(path string, contents map[string][]byte) (*Model, error) {
	m := &Model{files: map[string][]byte{}, path: path}
	for _, name := range carried {
		if data, ok := contents[name]; ok {
			m.files[name] = data
		}
	}
	var ok bool
	if m.config, ok = contents[configName]; !ok {
		return nil, fileErrorf(path, "no %s", configName)
	}
	return m, m.parse(path)
}

// stored lists the weights for writing, as float32 in the table's names.
func (m *Model) stored(weights func(arch.Tensor, func([]float32) error) error) ([]safetensors.Tensor, error) {
	var out []safetensors.Tensor
	var faults []error
	for _, t := range m.Config.Tensors() {
		if err := weights(t, func(values []float32) error { return checkValues(t, values) }); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", t.Name, err))
			continue
		}
		out = append(out, safetensors.Tensor{Name: t.Name, DType: safetensors.F32, Shape: t.Dims, Data: func(to io.Writer) error {
			return weights(t, func(values []float32) error {
				return safetensors.FromFloat32s(t.Name, safetensors.F32, t.Dims, values).Data(to)
			})
		}})
	}
	if len(faults) > 0 {
		return nil, &FileError{Path: "model to be saved", Faults: shorten(faults)}
	}
	return out, nil
}

func checkValues(t arch.Tensor, values []float32) error {
	if len(values) != t.Size() {
		return fmt.Errorf("%d values, want the %d of shape %v", len(values), t.Size(), t.Dims)
	}
	if i := nonFinite(values); i >= 0 {
		return fmt.Errorf("value %d is %g; a model that has diverged is not saved", i, values[i])
	}
	return nil
}

func writeWeights(path string, weights []safetensors.Tensor) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close() // a second time is harmless
	buffered := bufio.NewWriterSize(f, 1<<20)
	// transformers looks for the format.
	if err := safetensors.Write(buffered, map[string]string{"format": "pt"}, weights); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return f.Close()
}
