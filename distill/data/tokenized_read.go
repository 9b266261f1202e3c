package data

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
)

// Tokenized is a corpus that was tokenized once and is read where it is needed: nothing of it is held in memory but what
// the system keeps of its files. It is safe for use by several goroutines.
type Tokenized struct {
	Info TokenizedInfo

	dir    string
	shards []tokenizedShard
}

type tokenizedShard struct {
	ShardInfo
	first  int64 // number of its first token in the corpus
	tokens *os.File
}

// OpenTokenized opens the folder that [MergeTokenized] finished. One that is unfinished, was made with another tokenizer
// or has files of another size than it says is refused; whether every byte is as it was written, [Tokenized.Check] tells.
func OpenTokenized(dir string, tok Vocabulary) (*Tokenized, error) {
	info, found, err := readTokenizedInfo(dir)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("%s: the corpus there is not finished, it has no %s; go on with bitdistill tokenize", dir, tokenizedFile)
	}
	if how := info.Tokenizer.differs(vocabularyInfo(tok)); how != "" {
		return nil, fmt.Errorf("%s: was tokenized with another tokenizer than the model's: %s; tokenize the corpus again for this model", dir, how)
	}
	t := &Tokenized{Info: info, dir: dir}
	first := int64(0)
	for _, s := range info.Shards {
		shard := tokenizedShard{ShardInfo: s, first: first}
		if shard.tokens, err = t.open(s.Name+".tokens", s.Tokens*uint64(info.IDBytes)); err != nil {
			return nil, errors.Join(err, t.Close())
		}
		t.shards = append(t.shards, shard)
		ends, err := t.open(s.Name+".ends", s.Documents*endBytes)
		if err != nil {
			return nil, errors.Join(err, t.Close())
		}
		ends.Close()
		first += int64(s.Tokens)
	}
	return t, nil
}

// open opens a file of the folder that must have a size.
func (t *Tokenized) open(name string, size uint64) (*os.File, error) {
	path := filepath.Join(t.dir, name)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: missing; tokenize the corpus again", path)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && uint64(info.Size()) != size {
		err = fmt.Errorf("%s: has %d bytes, %s says %d: truncated or altered; tokenize the corpus again", path, info.Size(), tokenizedFile, size)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Close closes the files. Corpora made of t cannot be read any more.
func (t *Tokenized) Close() error {
	var faults []error
	for _, s := range t.shards {
		faults = append(faults, s.tokens.Close())
	}
	return errors.Join(faults...)
}

// Check reads everything and compares it with the checksums; progress, which may be nil, is told how many bytes are done.
func (t *Tokenized) Check(ctx context.Context, progress func(done, total int64)) error {
	total, done := int64(t.Info.Tokens)*int64(t.Info.IDBytes)+int64(t.Info.Documents)*endBytes, int64(0)
	check := func(name, want string) error {
		path := filepath.Join(t.dir, name)
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		sum := sha256.New()
		for {
			n, err := io.CopyN(sum, f, 16<<20)
			if done += n; progress != nil {
				progress(done, total)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err == io.EOF {
				break
			} else if err != nil {
				return err
			}
		}
		if hex.EncodeToString(sum.Sum(nil)) != want {
			return fmt.Errorf("%s: altered: its SHA-256 is not the one in %s; tokenize the corpus again", path, tokenizedFile)
		}
		return nil
	}
	for _, s := range t.shards {
		if err := check(s.Name+".tokens", s.TokensSHA256); err != nil {
			return err
		}
		if err := check(s.Name+".ends", s.EndsSHA256); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tokenized) counts() CorpusCounts {
	i := t.Info
	return CorpusCounts{Files: len(i.Sources), Documents: int(i.Documents), Empty: int(i.Empty), Bytes: int64(i.Bytes), Tokens: int64(i.Tokens)}
}

func (t *Tokenized) size() int64 { return int64(t.Info.Tokens) }

// read fills ids with the tokens from number at on.
func (t *Tokenized) read(ids []int32, at int64) error {
	i := sort.Search(len(t.shards), func(i int) bool { return t.shards[i].first > at }) - 1
	width := t.Info.IDBytes
	raw := make([]byte, width*len(ids))
	for len(ids) > 0 {
		if i < 0 || i >= len(t.shards) {
			return fmt.Errorf("%s: no token %d, the corpus has %d", t.dir, at, t.Info.Tokens)
		}
		s := t.shards[i]
		n := int(min(int64(len(ids)), s.first+int64(s.Tokens)-at))
		offset := (at - s.first) * int64(width)
		if _, err := s.tokens.ReadAt(raw[:n*width], offset); err != nil {
			return fmt.Errorf("%s: reading %d bytes at %d: %w", s.tokens.Name(), n*width, offset, err)
		}
		for k := range n {
			id := uint32(binary.LittleEndian.Uint16(raw[k*width:]))
			if width == 4 {
				id = binary.LittleEndian.Uint32(raw[4*k:])
			}
			if id >= uint32(t.Info.Tokenizer.VocabSize) {
				return fmt.Errorf("%s: altered: the id %d at byte %d is beyond the vocabulary; tokenize the corpus again", s.tokens.Name(), id, offset+int64(k*width))
			}
			ids[k] = int32(id)
		}
		ids, at, i = ids[n:], at+int64(n), i+1
	}
	return nil
}

// ends hands on where each document ends, in order: the number of tokens of the corpus up to there.
func (t *Tokenized) ends(yield func(end int64) error) error {
	for _, s := range t.shards {
		if err := s.eachEnd(t.dir, yield); err != nil {
			return err
		}
	}
	return nil
}

func (s tokenizedShard) eachEnd(dir string, yield func(end int64) error) error {
	path := filepath.Join(dir, s.Name+".ends")
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<16)
	last := uint64(0)
	var raw [endBytes]byte
	for i := range s.Documents {
		if _, err := io.ReadFull(in, raw[:]); err != nil {
			return fmt.Errorf("%s: document %d: %w", path, i, err)
		}
		end := binary.LittleEndian.Uint64(raw[:])
		if end <= last || end > s.Tokens {
			return fmt.Errorf("%s: altered: document %d ends at token %d, after one that ends at %d of %d; tokenize the corpus again", path, i, end, last, s.Tokens)
		}
		if err := yield(s.first + int64(end)); err != nil {
			return err
		}
		last = end
	}
	if last != s.Tokens {
		return fmt.Errorf("%s: altered: the last document ends at token %d of %d; tokenize the corpus again", path, last, s.Tokens)
	}
	return nil
}

// sum identifies the tokens from, …, to-1 of the corpus.
func (t *Tokenized) sum(to io.Writer, first, end int64) error {
	for _, s := range t.shards {
		fmt.Fprintf(to, "%s %d\n", s.TokensSHA256, s.Tokens)
	}
	_, err := fmt.Fprintf(to, "%d to %d\n", first, end)
	return err
}
