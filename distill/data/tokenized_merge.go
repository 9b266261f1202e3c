package data

import (
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

	"github.com/bitdistill/bitdistill/internal/atomicfile"
)

// shardBytes is how large the files of a tokenized corpus grow: a shard ends with the part that reaches it. Tests
// lower it.
var shardBytes = uint64(1 << 30)

// MergeTokenized makes a corpus of the parts that [Tokenize] left in dir, and removes them. If some are missing, the
// error says how many. A folder that is finished already stays as it is.
func MergeTokenized(ctx context.Context, dir string) (TokenizedInfo, error) {
	info, found, err := readTokenizedInfo(dir)
	if err != nil {
		return info, err
	}
	parts := filepath.Join(dir, partsFolder)
	if found { // stopped while it was tidying up
		return info, os.RemoveAll(parts)
	}
	var p plan
	if found, err := readStored(filepath.Join(parts, planFile), &p); err != nil {
		return info, err
	} else if !found {
		return info, fmt.Errorf("%s: nothing to merge; tokenize a corpus into it first", dir)
	}
	m := &merging{ctx: ctx, dir: dir, idBytes: p.Tokenizer.idBytes()}
	m.info = TokenizedInfo{Version: tokenizedVersion, Tokenizer: p.Tokenizer, IDBytes: m.idBytes}
	shards, err := m.collect(parts, p)
	if err != nil {
		return info, err
	}
	if err := atomicfile.CleanTemp(dir); err != nil {
		return info, err
	}
	for i, paths := range shards {
		if err := m.shard(i, paths); err != nil {
			return info, err
		}
	}
	if err := store(filepath.Join(dir, tokenizedFile), m.info); err != nil {
		return info, err
	}
	return m.info, os.RemoveAll(parts)
}

type merging struct {
	ctx     context.Context
	dir     string
	idBytes int
	info    TokenizedInfo
}

// collect finds all parts, in order, and says which go into one shard.
func (m *merging) collect(parts string, p plan) (shards [][]string, err error) {
	missing, size := 0, shardBytes
	for source, name := range p.Sources {
		var record sourceRecord
		found, err := readStored(filepath.Join(parts, recordName(source)), &record)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, fmt.Errorf("%s: cannot be merged yet: no shard has read %s to its end; run all shards of tokenize first", m.dir, name)
		}
		m.info.Sources = append(m.info.Sources, record.SourceInfo)
		for number, input := range record.Chunks {
			path := filepath.Join(parts, partName(source, number))
			h, err := m.part(path, input)
			if errors.Is(err, fs.ErrNotExist) {
				missing++
				continue
			} else if err != nil {
				return nil, err
			}
			if size >= shardBytes {
				shards, size = append(shards, nil), 0
			}
			last := len(shards) - 1
			shards[last] = append(shards[last], path)
			size += h.Tokens * uint64(m.idBytes)
			m.info.Documents += h.Documents
			m.info.Empty += h.Empty
			m.info.Bytes += h.Bytes
			m.info.Tokens += h.Tokens
		}
	}
	if missing > 0 {
		return nil, fmt.Errorf("%s: cannot be merged yet: %d parts are missing; run the shards of tokenize that have not been run, or were stopped", m.dir, missing)
	}
	return shards, nil
}

// part reads what a part says about itself.
func (m *merging) part(path, input string) (partHeader, error) {
	if err := m.ctx.Err(); err != nil {
		return partHeader{}, err
	}
	p, err := openPart(path)
	if err != nil {
		return partHeader{}, err
	}
	defer p.Close()
	if p.Input != input {
		return partHeader{}, fmt.Errorf("%s: was made from another text than the rest: a file has changed in between; remove %s and begin again", path, m.dir)
	}
	return p.partHeader, nil
}

// shard writes the two files of a shard.
func (m *merging) shard(number int, paths []string) error {
	s := ShardInfo{Name: fmt.Sprintf("%05d", number)}
	var err error
	s.TokensSHA256, err = m.write(s.Name+".tokens", paths, func(p *part, w io.Writer) error {
		s.Documents += p.Documents
		s.Tokens += p.Tokens
		return p.copyIDs(w, m.idBytes)
	})
	if err != nil {
		return err
	}
	end := uint64(0)
	s.EndsSHA256, err = m.write(s.Name+".ends", paths, func(p *part, w io.Writer) error {
		return p.lengths(func(tokens uint32) error {
			end += uint64(tokens)
			var raw [endBytes]byte
			binary.LittleEndian.PutUint64(raw[:], end)
			_, err := w.Write(raw[:])
			return err
		})
	})
	m.info.Shards = append(m.info.Shards, s)
	return err
}

// write makes a file of what each returns from the parts, and returns its SHA-256.
func (m *merging) write(name string, paths []string, each func(p *part, w io.Writer) error) (string, error) {
	sum := sha256.New()
	err := atomicfile.WriteFile(filepath.Join(m.dir, name), func(w io.Writer) error {
		w = io.MultiWriter(w, sum)
		for _, path := range paths {
			if err := m.ctx.Err(); err != nil {
				return err
			}
			p, err := openPart(path)
			if err != nil {
				return err
			}
			err = each(p, w)
			p.Close()
			if err != nil {
				return err
			}
		}
		return nil
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}
