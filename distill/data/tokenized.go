package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bitdistill/bitdistill/internal/atomicfile"
)

// A corpus that was tokenized once is a folder:
//
//	corpus.json    TokenizedInfo, written last: what has one is whole
//	00000.tokens   ids, 2 or 4 bytes each, little endian; documents end to end, with the tokens around them
//	00000.ends     where each document ends: the number of tokens up to there in this shard, 8 bytes, little endian
//	00001.tokens   and so on
//
// While it is made there is a folder parts in it, with plan.json and a file for every piece of work, see [Tokenize].
const (
	tokenizedVersion = 1
	tokenizedFile    = "corpus.json"
	partsFolder      = "parts"
	planFile         = "plan.json"
	endBytes         = 8
)

// Vocabulary is a tokenizer whose ids may be stored.
type Vocabulary interface {
	Tokenizer
	VocabSize() int // the largest id plus one
	Hash() string   // equal for tokenizers that give equal ids
}

// TokenizedInfo is what a tokenized corpus says about itself.
type TokenizedInfo struct {
	Version   int            `json:"version"` // of the format
	Tokenizer VocabularyInfo `json:"tokenizer"`
	IDBytes   int            `json:"id_bytes"` // 2 where the vocabulary allows, else 4
	Sources   []SourceInfo   `json:"sources"`
	Documents uint64         `json:"documents"`
	Empty     uint64         `json:"empty"` // documents without text, passed over
	Bytes     uint64         `json:"bytes"` // of text
	Tokens    uint64         `json:"tokens"`
	Shards    []ShardInfo    `json:"shards"`
}

// VocabularyInfo tells tokenizers apart, and what they put around documents.
type VocabularyInfo struct {
	SHA256    string `json:"sha256"` // of tokenizer.json
	VocabSize int    `json:"vocab_size"`
	BOS       int32  `json:"bos"` // in front of a document; -1 for none
	EOS       int32  `json:"eos"` // behind a document; -1 for none
}

// SourceInfo is a file that was tokenized.
type SourceInfo struct {
	Name   string `json:"name"`
	Bytes  uint64 `json:"bytes"` // as the file lies on disk
	SHA256 string `json:"sha256"`
}

// ShardInfo is a pair of files, Name.tokens and Name.ends.
type ShardInfo struct {
	Name         string `json:"name"`
	Documents    uint64 `json:"documents"`
	Tokens       uint64 `json:"tokens"`
	TokensSHA256 string `json:"tokens_sha256"`
	EndsSHA256   string `json:"ends_sha256"`
}

func vocabularyInfo(tok Vocabulary) VocabularyInfo {
	info := VocabularyInfo{SHA256: tok.Hash(), VocabSize: tok.VocabSize(), BOS: -1, EOS: -1}
	if id, ok := tok.BOS(); ok {
		info.BOS = id
	}
	if id, ok := tok.EOS(); ok {
		info.EOS = id
	}
	return info
}

// idBytes is the width of an id of the vocabulary.
func (v VocabularyInfo) idBytes() int {
	if v.VocabSize <= 1<<16 {
		return 2
	}
	return 4
}

// differs says how another vocabulary is not this one, or nothing.
func (v VocabularyInfo) differs(other VocabularyInfo) string {
	switch {
	case v.SHA256 != other.SHA256:
		return fmt.Sprintf("its tokenizer.json has the SHA-256 %.12s…, not %.12s…", v.SHA256, other.SHA256)
	case v != other:
		return fmt.Sprintf("it has %d tokens, %d in front of documents and %d behind them, not %d, %d and %d",
			v.VocabSize, v.BOS, v.EOS, other.VocabSize, other.BOS, other.EOS)
	}
	return ""
}

// IsTokenized reports whether a path is the folder of a corpus that was tokenized, or is being.
func IsTokenized(path string) bool {
	for _, name := range []string{tokenizedFile, filepath.Join(partsFolder, planFile)} {
		if info, err := os.Stat(filepath.Join(path, name)); err == nil && info.Mode().IsRegular() {
			return true
		}
	}
	return false
}

// readTokenizedInfo reads corpus.json and checks what it says for itself; found is false if there is none.
func readTokenizedInfo(dir string) (info TokenizedInfo, found bool, err error) {
	path := filepath.Join(dir, tokenizedFile)
	if found, err = readStored(path, &info); err != nil || !found {
		return info, found, err
	}
	sum := TokenizedInfo{}
	for _, s := range info.Shards {
		sum.Documents += s.Documents
		sum.Tokens += s.Tokens
		if s.Name != filepath.Base(s.Name) {
			return info, true, fmt.Errorf("%s: the shard name %q leads out of the folder", path, s.Name)
		}
		if s.Tokens > maxTokens || s.Documents > s.Tokens {
			return info, true, fmt.Errorf("%s: shard %s: %d tokens in %d documents cannot be", path, s.Name, s.Tokens, s.Documents)
		}
	}
	switch {
	case info.Version != tokenizedVersion:
		err = fmt.Errorf("version: %d, this program knows %d; tokenize the corpus again", info.Version, tokenizedVersion)
	case info.IDBytes != info.Tokenizer.idBytes():
		err = fmt.Errorf("id_bytes: %d, a vocabulary of %d has %d", info.IDBytes, info.Tokenizer.VocabSize, info.Tokenizer.idBytes())
	case sum.Documents != info.Documents || sum.Tokens != info.Tokens:
		err = fmt.Errorf("the shards have %d tokens in %d documents, together they should have %d in %d", sum.Tokens, sum.Documents, info.Tokens, info.Documents)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return info, true, err
}

// maxTokens bounds the tokens of a shard, so that sums and sizes in bytes cannot overflow.
const maxTokens = 1 << 48

// readStored decodes a JSON file that this package wrote; found is false if there is none.
func readStored(path string, to any) (found bool, err error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return true, fmt.Errorf("%s: damaged, or written by another version: %w", path, err)
	}
	return true, nil
}

// store writes a value as a JSON file.
func store(path string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(path, func(w io.Writer) error {
		_, err := w.Write(append(raw, '\n'))
		return err
	})
}
