package data

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// File is a named input that can be opened: a file on disk ([OnDisk]) or bytes in the program ([InMemory]).
// The extension of the name decides the format; gzip is recognised by its first bytes.
type File struct {
	Name string // as messages show it
	Open func() (io.ReadCloser, error)
}

// OnDisk is the file at path. Nothing is opened yet.
func OnDisk(path string) File {
	return File{Name: path, Open: func() (io.ReadCloser, error) { return os.Open(path) }}
}

// InMemory is a file whose content is at hand, such as one embedded in the program.
func InMemory(name string, content []byte) File {
	return File{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }}
}

// corpusExtensions are the formats that ReadCorpus knows.
var corpusExtensions = []string{".txt", ".txt.gz", ".jsonl", ".jsonl.gz"}

// Files expands paths, folders and glob patterns into corpus files, sorted within each argument and without
// repetition. A folder stands for the .txt, .txt.gz, .jsonl and .jsonl.gz files directly in it.
func Files(patterns ...string) ([]File, error) {
	var paths []string
	for _, pattern := range patterns {
		found, err := expand(pattern)
		if err != nil {
			return nil, err
		}
		paths = append(paths, found...)
	}
	if len(paths) == 0 {
		return nil, errors.New("corpus: no files given")
	}
	var files []File
	seen := map[string]bool{}
	for _, path := range paths {
		if clean := filepath.Clean(path); !seen[clean] {
			seen[clean] = true
			files = append(files, OnDisk(path))
		}
	}
	return files, nil
}

func expand(pattern string) ([]string, error) {
	info, err := os.Stat(pattern)
	switch {
	case err == nil && !info.IsDir():
		if extension(pattern) == "" {
			return nil, fmt.Errorf("%s: not a corpus file; its name must end in one of %s", pattern, strings.Join(corpusExtensions, ", "))
		}
		return []string{pattern}, nil
	case err == nil:
		pattern = filepath.Join(pattern, "*")
	case !strings.ContainsAny(pattern, "*?["):
		return nil, err
	}
	found, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pattern, err)
	}
	found = slices.DeleteFunc(found, func(path string) bool {
		info, err := os.Stat(path)
		return err != nil || info.IsDir() || extension(path) == ""
	})
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: no files there whose names end in one of %s", pattern, strings.Join(corpusExtensions, ", "))
	}
	return found, nil
}

// extension is the corpus format of a name, or "".
func extension(name string) string {
	for _, e := range corpusExtensions {
		if strings.HasSuffix(strings.ToLower(name), e) {
			return e
		}
	}
	return ""
}

// A gzip stream that has grown past bombFree bytes may not be more than bombRatio times the size of what was read.
// Text shrinks to a third or a tenth; only deliberate input comes near gzip's limit of 1,032.
const (
	bombFree  = 16 << 20
	bombRatio = 200
)

// open opens a file for reading its plain content. What fails while reading names the file.
func (f File) open() (io.ReadCloser, error) {
	raw, err := f.Open()
	if err != nil {
		return nil, err // os.Open names the path
	}
	in := &plainReader{name: f.Name, raw: raw}
	buffered := bufio.NewReaderSize(countReader{raw, &in.compressed}, 64<<10)
	in.plain = buffered
	if magic, _ := buffered.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		in.packed = true
		if in.plain, err = gzip.NewReader(buffered); err != nil {
			raw.Close()
			if err == io.EOF { // a header of a few bytes
				err = io.ErrUnexpectedEOF
			}
			return nil, in.explain(err)
		}
	} else if strings.HasSuffix(strings.ToLower(f.Name), ".gz") {
		raw.Close()
		if len(magic) == 0 {
			return nil, fmt.Errorf("%s: the file is empty", f.Name)
		}
		return nil, fmt.Errorf("%s: not gzip data although the name ends in .gz", f.Name)
	}
	return in, nil
}

// plainReader reads a file through gzip where it is packed.
type plainReader struct {
	name       string
	raw        io.Closer
	plain      io.Reader
	packed     bool
	compressed int64 // bytes taken from the file
	out        int64 // bytes handed on
}

func (r *plainReader) Close() error { return r.raw.Close() }

func (r *plainReader) Read(p []byte) (int, error) {
	n, err := r.plain.Read(p)
	r.out += int64(n)
	if r.packed && r.out > bombFree && r.out/bombRatio > r.compressed {
		return 0, fmt.Errorf("%s: unpacks to more than %d times its size, which text does not; refused", r.name, bombRatio)
	}
	return n, r.explain(err)
}

func (r *plainReader) explain(err error) error {
	switch {
	case err == nil, err == io.EOF:
		return err
	case r.packed && errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s: the gzip data end early after %d unpacked bytes; the file is truncated: %w", r.name, r.out, io.ErrUnexpectedEOF)
	case r.packed:
		return fmt.Errorf("%s: damaged gzip data after %d unpacked bytes: %w", r.name, r.out, err)
	}
	return fmt.Errorf("%s: after %d bytes: %w", r.name, r.out, err)
}

type countReader struct {
	r io.Reader
	n *int64
}

func (c countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	*c.n += int64(n)
	return n, err
}
