package data

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/bitdistill/bitdistill/internal/ctxio"
	"golang.org/x/sync/errgroup"
)

// chunkBytes is how much of a file, unpacked, is one piece of work. Where files are cut depends on it and on what they
// hold alone. Tests lower it.
var chunkBytes = 8 << 20

// TokenizingOptions say which part of the work a process does.
type TokenizingOptions struct {
	Shard, Shards int                    // this one of so many, from 1; 0 and 0 do all
	Progress      func(TokenizeProgress) // is told after every piece of work; not from several goroutines at once. May be nil
}

// TokenizeProgress tells how far a process is.
type TokenizeProgress struct {
	Read, Size int64 // bytes of the files, as they lie on disk; Size is 0 where it is not known
	Skipped    int64 // of Read, those of files that were done before
	Text       int64 // bytes tokenized by this process, in this call
	Tokens     int64 // that it gave
}

// plan is what all processes that tokenize a corpus must agree on.
type plan struct {
	Version    int            `json:"version"`
	Tokenizer  VocabularyInfo `json:"tokenizer"`
	ChunkBytes int            `json:"chunk_bytes"`
	Sources    []string       `json:"sources"`
}

// sourceRecord is what a file turned out to hold, once it has been read to its end.
type sourceRecord struct {
	SourceInfo
	Chunks []string `json:"chunks"` // SHA-256 of what each piece of work has to tokenize
}

// Tokenize tokenizes files into the folder dir. Documents and the tokens around them are those of [ReadCorpus].
//
// The work is cut into chunks: documents of one file that follow one another, some megabytes of them. Chunk k of file f
// belongs to shard 1 + (f+k) mod Shards; every process reads all files, which is fast, and tokenizes its own chunks,
// each into a file of its own in dir/parts. That file names the hash of the text it was made from, so a process that
// was stopped goes on where it was, with as many shards as before or with others, and finds out if a file has changed.
// Once all parts are there, [MergeTokenized] lays them end to end. What comes out depends on the files and the tokenizer alone.
//
// A folder that is finished already is left alone if it was made from the same files with the same tokenizer.
func Tokenize(ctx context.Context, dir string, files []File, tok Vocabulary, o TokenizingOptions) error {
	if o.Shard == 0 && o.Shards == 0 {
		o.Shard, o.Shards = 1, 1
	}
	if o.Shard < 1 || o.Shard > o.Shards {
		return fmt.Errorf("shard %d/%d: want one from 1/%d to %d/%d", o.Shard, o.Shards, o.Shards, o.Shards, o.Shards)
	}
	p := plan{Version: tokenizedVersion, Tokenizer: vocabularyInfo(tok), ChunkBytes: chunkBytes}
	for _, f := range files {
		p.Sources = append(p.Sources, f.Name)
	}
	if done, err := p.enter(dir); done || err != nil {
		return err
	}
	w := &tokenizing{parts: filepath.Join(dir, partsFolder), plan: p, tok: tok, options: o}
	for _, f := range files {
		w.size += f.size()
	}
	w.group, w.ctx = errgroup.WithContext(ctx)
	w.group.SetLimit(runtime.GOMAXPROCS(0))
	var err error
	for i, f := range files {
		if err = w.file(i, f); err != nil {
			break
		}
	}
	if fault := w.group.Wait(); fault != nil {
		err = fault // the first; that of reading is then only that it was stopped
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		w.report()
	}
	return err
}

// BegunFrom reports whether the tokenized corpus in a folder is, or was begun to be, made from these very files.
func BegunFrom(dir string, files []File) bool {
	have, _, found, err := planOf(dir)
	return err == nil && found && slices.EqualFunc(have.Sources, files, func(name string, f File) bool { return name == f.Name })
}

// planOf reads what the corpus of a folder was made from (done), or is being made from; found is false if there is none.
func planOf(dir string) (have plan, done, found bool, err error) {
	info, done, err := readTokenizedInfo(dir)
	if err != nil {
		return have, false, false, err
	}
	if !done {
		found, err = readStored(filepath.Join(dir, partsFolder, planFile), &have)
		return have, false, found, err
	}
	have = plan{Version: info.Version, Tokenizer: info.Tokenizer, ChunkBytes: chunkBytes}
	for _, s := range info.Sources {
		have.Sources = append(have.Sources, s.Name)
	}
	return have, true, true, nil
}

// enter makes the folder, or agrees with what is there; done says that all is there.
func (p plan) enter(dir string) (done bool, err error) {
	have, done, found, err := planOf(dir)
	if err != nil {
		return false, err
	}
	if found {
		return done, p.agrees(dir, have)
	}
	path := filepath.Join(dir, partsFolder, planFile)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for _, e := range entries {
		if e.Name() != partsFolder {
			return false, fmt.Errorf("%s: holds other things, such as %s; name a new folder", dir, e.Name())
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return false, err
	}
	return false, store(path, p)
}

// agrees refuses work on a folder that was begun in another way.
func (p plan) agrees(dir string, have plan) error {
	const advice = "; name another folder, or remove this one"
	switch {
	case have.Version != p.Version || have.ChunkBytes != p.ChunkBytes:
		return fmt.Errorf("%s: was begun by another version of the program%s", dir, advice)
	case p.Tokenizer.differs(have.Tokenizer) != "":
		return fmt.Errorf("%s: was begun with another tokenizer than that of the model: %s%s", dir, p.Tokenizer.differs(have.Tokenizer), advice)
	case !slices.Equal(p.Sources, have.Sources):
		return fmt.Errorf("%s: was begun from %d files, %q…, not from these %d, %q…%s", dir, len(have.Sources), first(have.Sources), len(p.Sources), first(p.Sources), advice)
	}
	return nil
}

func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// tokenizing is one process's share of the work.
type tokenizing struct {
	parts   string
	plan    plan
	tok     Vocabulary
	options TokenizingOptions

	group *errgroup.Group
	ctx   context.Context

	size, read, skipped int64 // bytes of files
	text, tokens        atomic.Int64
}

func (w *tokenizing) partPath(source, number int) string {
	return filepath.Join(w.parts, partName(source, number))
}

func (w *tokenizing) mine(source, number int) bool {
	return (source+number)%w.options.Shards == w.options.Shard-1
}

// file goes through a file, unless all that is to be done with it is done.
func (w *tokenizing) file(source int, f File) error {
	path := filepath.Join(w.parts, recordName(source))
	var known sourceRecord
	found, err := readStored(path, &known)
	if err != nil {
		return err
	}
	size := f.size()
	if found && uint64(size) == known.Bytes && w.complete(source, known) {
		w.read += size
		w.skipped += size
		return nil
	}
	sum := sha256.New()
	counted := int64(0)
	watched := f
	if isTable(f) { // which is not read from its start to its end
		counted, err = hashFile(w.ctx, f, sum)
		if err != nil {
			return err
		}
	} else {
		watched.Open = func() (io.ReadCloser, error) {
			raw, err := f.Open()
			if err != nil {
				return nil, err
			}
			return readCloser{countReader{io.TeeReader(raw, sum), &counted}, raw}, nil
		}
	}
	cut := &cutter{work: w, source: source, file: f, text: sha256.New()}
	if found {
		cut.known = known.Chunks
	}
	before := w.read
	err = readPieces(watched, false, func(number int, piece []byte) error {
		w.read = before + counted
		return cut.piece(number, piece)
	})
	if err == nil {
		err = cut.end()
	}
	if err != nil {
		return err
	}
	w.read = before + counted
	record := sourceRecord{SourceInfo{f.Name, uint64(counted), hex.EncodeToString(sum.Sum(nil))}, cut.hashes}
	if found {
		if record.SHA256 != known.SHA256 {
			return cut.changed()
		}
		return nil
	}
	return store(path, record)
}

// complete reports whether all of a file's chunks that this process is to tokenize are there.
func (w *tokenizing) complete(source int, known sourceRecord) bool {
	for number, input := range known.Chunks {
		if w.mine(source, number) && !w.has(source, number, input) {
			return false
		}
	}
	return true
}

// has reports whether the part of a chunk is there, made from that text.
func (w *tokenizing) has(source, number int, input string) bool {
	p, err := openPart(w.partPath(source, number))
	if err != nil {
		return false
	}
	p.Close()
	return p.Input == input
}

func (w *tokenizing) report() {
	if w.options.Progress != nil {
		w.options.Progress(TokenizeProgress{Read: w.read, Size: w.size, Skipped: w.skipped, Text: w.text.Load(), Tokens: w.tokens.Load()})
	}
}

// cutter gathers the pieces of a file into chunks and sends this process's own to be tokenized.
type cutter struct {
	work   *tokenizing
	source int
	file   File
	known  []string // hashes of the chunks, if the file was read before
	hashes []string // of the chunks so far

	text   hash.Hash // of the chunk that is being gathered
	bytes  int
	begin  int // number of its first piece
	pieces [][]byte
}

// piece takes a piece; every process hashes all of them, so that each knows all chunks.
func (c *cutter) piece(number int, piece []byte) error {
	if c.bytes == 0 {
		c.begin = number
	}
	var size [8]byte
	binary.LittleEndian.PutUint64(size[:], uint64(len(piece)))
	c.text.Write(size[:])
	c.text.Write(piece)
	c.bytes += len(piece) + 1
	if c.work.mine(c.source, len(c.hashes)) {
		c.pieces = append(c.pieces, bytes.Clone(piece))
	}
	if c.bytes < c.work.plan.ChunkBytes {
		return nil
	}
	return c.end()
}

// end closes the chunk.
func (c *cutter) end() error {
	if err := c.work.ctx.Err(); err != nil {
		return err
	}
	if c.bytes == 0 {
		return nil
	}
	number, input, pieces, begin := len(c.hashes), hex.EncodeToString(c.text.Sum(nil)), c.pieces, c.begin
	c.hashes = append(c.hashes, input)
	c.pieces, c.bytes = nil, 0
	c.text.Reset()
	if c.known != nil && (number >= len(c.known) || c.known[number] != input) {
		return c.changed()
	}
	w := c.work
	if w.mine(c.source, number) && !w.has(c.source, number, input) {
		w.group.Go(func() error { // waits while as many are at work as there are processors
			return w.chunk(c.file, c.source, number, begin, input, pieces)
		})
	}
	w.report()
	return nil
}

func (c *cutter) changed() error {
	return fmt.Errorf("%s: is not the file any more that others of the shards have read; remove %s and begin again", c.file.Name, filepath.Dir(c.work.parts))
}

// chunk tokenizes a chunk into its part.
func (w *tokenizing) chunk(f File, source, number, begin int, input string, pieces [][]byte) error {
	p := partHeader{Input: input}
	var lengths []uint32
	var ids []int32
	for i, piece := range pieces {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		text, err := documentText(f, false, begin+i, piece)
		if err != nil {
			return err
		}
		if text == "" {
			p.Empty++
			continue
		}
		before := len(ids)
		ids = appendDocument(ids, w.tok, w.tok.Encode(text), false)
		lengths = append(lengths, uint32(len(ids)-before)) // a document has at most maxDocument bytes
		p.Bytes += uint64(len(text))
	}
	for _, id := range ids {
		if id < 0 || int(id) >= w.plan.Tokenizer.VocabSize {
			return fmt.Errorf("%s: the tokenizer gave the id %d, its vocabulary ends at %d", f.Name, id, w.plan.Tokenizer.VocabSize)
		}
	}
	if err := writePart(w.partPath(source, number), p, lengths, ids, w.plan.Tokenizer.idBytes()); err != nil {
		return err
	}
	w.text.Add(int64(p.Bytes))
	w.tokens.Add(int64(len(ids)))
	return nil
}

// hashFile writes a file as it lies on disk to a hash.
func hashFile(ctx context.Context, f File, to hash.Hash) (int64, error) {
	in, err := f.Open()
	if err != nil {
		return 0, err
	}
	defer in.Close()
	n, err := io.Copy(to, ctxio.Reader(ctx, in))
	if err != nil {
		err = fmt.Errorf("%s: after %d bytes: %w", f.Name, n, err)
	}
	return n, err
}

// readCloser joins a reader with what closes it.
type readCloser struct {
	io.Reader
	io.Closer
}
