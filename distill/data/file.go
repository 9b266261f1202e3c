package data

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// File is a named input that can be opened: a file on disk ([OnDisk]) or bytes in the program ([InMemory]).
// The extension of the name decides the format; gzip and Zstandard are recognised by their first bytes.
type File struct {
	Name   string // as messages show it
	Open   func() (io.ReadCloser, error)
	Format string // of a table, as the ending of a name, such as "tsv"; "" goes by the name
	Bytes  int64  // as it lies on disk, where that is known before it is opened; 0 where opening tells, -1 where it must not be opened for that
}

// OnDisk is the file at path. Nothing is opened yet.
func OnDisk(path string) File {
	return File{Name: path, Open: func() (io.ReadCloser, error) { return os.Open(path) }}
}

// InMemory is a file whose content is at hand, such as one embedded in the program.
func InMemory(name string, content []byte) File {
	return File{Name: name, Open: func() (io.ReadCloser, error) { return memory{bytes.NewReader(content)}, nil }}
}

// memory is an open file of bytes.
type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

// SHA256 is that of the file as it lies on disk, in hexadecimal.
func (f File) SHA256(ctx context.Context) (string, error) {
	sum := sha256.New()
	_, err := hashFile(ctx, f, sum)
	return hex.EncodeToString(sum.Sum(nil)), err
}

// size is the bytes of the file as it lies on disk, or 0 where that is not known.
func (f File) size() int64 {
	if f.Bytes != 0 {
		return max(0, f.Bytes)
	}
	in, err := f.Open()
	if err != nil {
		return 0
	}
	defer in.Close()
	switch in := in.(type) {
	case interface{ Size() int64 }:
		return in.Size()
	case interface{ Stat() (os.FileInfo, error) }:
		if info, err := in.Stat(); err == nil {
			return info.Size()
		}
	}
	return 0
}

// corpusExtensions are the formats that ReadCorpus knows. JSON that is packed is taken for lines of JSON, as large corpora have it.
var corpusExtensions = []string{".txt", ".txt.gz", ".txt.zst", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".json.gz", ".json.zst", ".parquet"}

// CorpusExtensions are the endings of names that files of a corpus have.
func CorpusExtensions() []string { return slices.Clone(corpusExtensions) }

// Files expands paths, folders and glob patterns into corpus files, sorted within each argument and without
// repetition. A folder stands for the .parquet files and the .txt and .jsonl files, plain or packed, directly in it.
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

// A packed stream that has grown past bombFree bytes may not be more than bombRatio times the size of what was read.
// Text shrinks to a third or a tenth; only deliberate input comes near gzip's limit of 1,032.
const (
	bombFree  = 16 << 20
	bombRatio = 200
)

// packings are the compressions that are seen through.
var packings = []struct {
	name, extension, magic string
	open                   func(io.Reader) (plain io.Reader, done func(), err error)
}{
	{"gzip", ".gz", "\x1f\x8b", func(in io.Reader) (io.Reader, func(), error) {
		plain, err := gzip.NewReader(in)
		return plain, nil, err
	}},
	{"Zstandard", ".zst", "\x28\xb5\x2f\xfd", func(in io.Reader) (io.Reader, func(), error) {
		// One frame's window is held in memory; 128 MiB is what the zstd tool unpacks without being asked to.
		plain, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, nil, err
		}
		return plain, plain.Close, nil
	}},
}

// open opens a file for reading its plain content. What fails while reading names the file.
func (f File) open() (io.ReadCloser, error) {
	raw, err := f.Open()
	if err != nil {
		return nil, err // os.Open names the path
	}
	in := &plainReader{name: f.Name, raw: raw}
	buffered := bufio.NewReaderSize(countReader{raw, &in.compressed}, 64<<10)
	in.plain = buffered
	magic, _ := buffered.Peek(4)
	for _, p := range packings {
		switch {
		case bytes.HasPrefix(magic, []byte(p.magic)):
			in.packed = p.name
			if in.plain, in.done, err = p.open(buffered); err != nil {
				raw.Close()
				if err == io.EOF { // a header of a few bytes
					err = io.ErrUnexpectedEOF
				}
				return nil, in.explain(err)
			}
			return in, nil
		case !strings.HasSuffix(strings.ToLower(f.Name), p.extension):
		case len(magic) == 0:
			raw.Close()
			return nil, fmt.Errorf("%s: the file is empty", f.Name)
		default:
			raw.Close()
			return nil, fmt.Errorf("%s: not %s data although the name ends in %s", f.Name, p.name, p.extension)
		}
	}
	return in, nil
}

// plainReader reads a file through its compression, if it has one.
type plainReader struct {
	name       string
	raw        io.Closer
	plain      io.Reader
	done       func() // ends the unpacking; may be nil
	packed     string // name of the compression, or ""
	compressed int64  // bytes taken from the file
	out        int64  // bytes handed on
}

func (r *plainReader) Close() error {
	if r.done != nil {
		r.done()
	}
	return r.raw.Close()
}

func (r *plainReader) Read(p []byte) (int, error) {
	n, err := r.plain.Read(p)
	r.out += int64(n)
	if r.packed != "" && r.out > bombFree && r.out/bombRatio > r.compressed {
		return 0, fmt.Errorf("%s: unpacks to more than %d times its size, which text does not; refused", r.name, bombRatio)
	}
	return n, r.explain(err)
}

func (r *plainReader) explain(err error) error {
	switch {
	case err == nil, err == io.EOF:
		return err
	case r.packed != "" && errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s: the %s data end early after %d unpacked bytes; the file is truncated: %w", r.name, r.packed, r.out, io.ErrUnexpectedEOF)
	case r.packed != "":
		return fmt.Errorf("%s: damaged %s data after %d unpacked bytes: %w", r.name, r.packed, r.out, err)
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
