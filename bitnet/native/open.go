package native

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
)

// File is an open model file. Its methods may be called from several goroutines.
type File struct {
	*files.Model                 // Config, Tokenizer, Chat
	Name         string          // of the model, "" if it has none
	Task         json.RawMessage // what it was made for, nil if that is not said; see Options
	Provenance   json.RawMessage // how it came to be, nil likewise

	path string
	file *gguf.File
}

// Open checks all of a model file but its weights: version, config, tokenizer, and that there is each tensor of the config, and no other,
// with its shape and a type it may have. Errors are a *gguf.FormatError or name the path.
func Open(path string) (*File, error) {
	container, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	return open(path, container)
}

// NewFile is [Open] of a file that r holds, size bytes, such as one that is mapped. path stands for it in errors.
func NewFile(path string, r io.ReaderAt, size int64) (*File, error) {
	container, err := gguf.NewFile(path, r, size)
	if err != nil {
		return nil, err
	}
	return open(path, container)
}

func open(path string, container *gguf.File) (*File, error) {
	f := &File{path: path, file: container}
	if err := f.read(); err != nil {
		container.Close()
		return nil, err
	}
	return f, nil
}

// Is reports whether path is a file of this format, as far as its architecture says. Faults of a file are told by who opens it in earnest.
func Is(path string) bool {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := gguf.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	architecture, err := gguf.Get[string](f.Metadata(), keyArchitecture)
	return err == nil && architecture == Architecture
}

func (f *File) errorf(format string, args ...any) error {
	return &files.FileError{Path: f.path, Faults: []error{fmt.Errorf(format, args...)}}
}

func (f *File) read() error {
	meta := f.file.Metadata()
	architecture, err := gguf.Get[string](meta, keyArchitecture)
	if err != nil {
		return err
	}
	if architecture != Architecture {
		return f.errorf("%s: %q: not a file of this project's own format, which says %q", keyArchitecture, architecture, Architecture)
	}
	version, err := gguf.Get[uint32](meta, keyVersion)
	if err != nil {
		return err
	}
	if version != Version {
		return f.errorf("%s: %d is not known, this program reads %d; write the file again from the model's folder, or take a program that fits it", keyVersion, version, Version)
	}
	contents := map[string][]byte{}
	for _, entry := range meta.Entries() {
		name, ok := strings.CutPrefix(entry.Key, prefixFile)
		if !ok {
			continue
		}
		text, err := gguf.Get[string](meta, entry.Key)
		if err != nil {
			return err
		}
		contents[name] = []byte(text)
	}
	if f.Model, err = files.FromContents(f.path, contents); err != nil {
		return err
	}
	if meta.Has(keyName) {
		if f.Name, err = gguf.Get[string](meta, keyName); err != nil {
			return err
		}
	}
	for key, into := range map[string]*json.RawMessage{keyTask: &f.Task, keyProvenance: &f.Provenance} {
		if !meta.Has(key) {
			continue
		}
		text, err := gguf.Get[string](meta, key)
		if err != nil {
			return err
		}
		if *into = json.RawMessage(text); !json.Valid(*into) {
			return f.errorf("%s: is not valid JSON", key)
		}
	}
	return f.check()
}

// check compares the tensors with those of the config.
func (f *File) check() error {
	if n := len(f.file.Tensors()); f.Config.Layers > n { // before a table is made of it
		return f.errorf("%d tensors cannot hold num_hidden_layers %d", n, f.Config.Layers)
	}
	var faults []error
	wanted := map[string]bool{}
	for _, p := range pieces(f.Config) {
		wanted[p.name] = true
		info, ok := f.file.Info(p.name)
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("%s: missing", p.name))
		case !slices.Equal(info.Shape, p.shape):
			faults = append(faults, fmt.Errorf("%s: shape %v, config wants %v", p.name, info.Shape, p.shape))
		default:
			if err := p.allow(info.Type); err != nil {
				faults = append(faults, err)
			}
		}
	}
	for _, info := range f.file.Tensors() {
		if !wanted[info.Name] {
			faults = append(faults, fmt.Errorf("%s: is not part of the model", info.Name))
		}
	}
	const most = 6
	if n := len(faults); n > most {
		faults = append(faults[:most:most], fmt.Errorf("and %d more", n-most))
	}
	if len(faults) > 0 {
		return &files.FileError{Path: f.path, Faults: faults}
	}
	return nil
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// Len is the number of tensors of the file: panels and scales of a linear are two.
func (f *File) Len() int { return len(f.file.Tensors()) }

// Info says where in the file a tensor of the config is, and in what type: for a ternary linear its panels, I8 [panels, groups, 64].
// The offset is a multiple of Alignment.
func (f *File) Info(t arch.Tensor) (gguf.Info, error) {
	info, ok := f.file.Info(t.Name)
	if !ok {
		return info, f.errorf("%s: is not part of the model", t.Name)
	}
	return info, nil
}

// Bytes returns a tensor as it is stored.
func (f *File) Bytes(t arch.Tensor) ([]byte, error) { return f.file.Bytes(t.Name) }

// ReadRows fills dst with rows of a tensor that is not packed, from row first on, as float32.
func (f *File) ReadRows(t arch.Tensor, first int, dst []float32) error {
	return f.file.ReadRows(t.Name, first, dst)
}

// Scales are those of a ternary linear, as many as arch.Quantization.Scales says. One that is not a positive number is refused.
func (f *File) Scales(t arch.Tensor) ([]float32, error) {
	scales, err := f.file.Float32s(scalesName(t))
	if err != nil {
		return nil, err
	}
	if i := badScale(scales); i >= 0 {
		return nil, f.errorf("%s: scale %d is %g, want a positive number; the file is damaged", scalesName(t), i, scales[i])
	}
	return scales, nil
}

// badScale is the index of the first scale that is not a positive number, or -1.
func badScale(scales []float32) int {
	return slices.IndexFunc(scales, func(s float32) bool { return !(s > 0 && s-s == 0) })
}
