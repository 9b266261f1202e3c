package data

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/bitdistill/bitdistill/internal/atomicfile"
)

// A part is the tokens of a chunk: a line of JSON, the lengths of its documents in tokens as uint32, and the ids in the
// width of the corpus, all little endian.
type partHeader struct {
	Input     string `json:"input"` // SHA-256 of the text it was made from
	Documents uint64 `json:"documents"`
	Empty     uint64 `json:"empty"`
	Bytes     uint64 `json:"bytes"` // of text
	Tokens    uint64 `json:"tokens"`
	SHA256    string `json:"sha256"` // of what follows the line
}

func partName(source, number int) string { return fmt.Sprintf("%06d-%06d.part", source, number) }
func recordName(source int) string       { return fmt.Sprintf("%06d.json", source) }

// writePart writes a part; counts of documents and tokens, and the hash, are filled in.
func writePart(path string, h partHeader, lengths []uint32, ids []int32, idBytes int) error {
	body := make([]byte, 0, 4*len(lengths)+idBytes*len(ids))
	for _, n := range lengths {
		body = binary.LittleEndian.AppendUint32(body, n)
	}
	body = appendIDs(body, ids, idBytes)
	sum := sha256.Sum256(body)
	h.Documents, h.Tokens, h.SHA256 = uint64(len(lengths)), uint64(len(ids)), hex.EncodeToString(sum[:])
	line, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(path, func(w io.Writer) error {
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err
		}
		_, err := w.Write(body)
		return err
	})
}

// part is an open part, behind its line.
type part struct {
	partHeader
	io.Closer
	path string
	body io.Reader
}

func openPart(path string) (*part, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReader(f)
	p := &part{Closer: f, path: path, body: in}
	line, err := in.ReadSlice('\n') // at most the buffer's 4 KiB
	if err == nil {
		err = json.Unmarshal(line, &p.partHeader)
	}
	if err == nil && (p.Tokens > maxTokens || p.Documents > p.Tokens) {
		err = errors.New("impossible counts")
	}
	if err != nil {
		f.Close()
		return nil, p.damaged(err)
	}
	return p, nil
}

// lengths reads the tokens of each document.
func (p *part) lengths(to func(tokens uint32) error) error {
	var raw [4]byte
	for range p.Documents {
		if _, err := io.ReadFull(p.body, raw[:]); err != nil {
			return p.damaged(err)
		}
		if err := to(binary.LittleEndian.Uint32(raw[:])); err != nil {
			return err
		}
	}
	return nil
}

// copyIDs checks the part as a whole and writes its ids.
func (p *part) copyIDs(to io.Writer, idBytes int) error {
	sum := sha256.New()
	p.body = io.TeeReader(p.body, sum)
	total := uint64(0)
	if err := p.lengths(func(tokens uint32) error { total += uint64(tokens); return nil }); err != nil {
		return err
	}
	n, err := io.Copy(to, p.body)
	switch {
	case err != nil:
		return err
	case uint64(n) != p.Tokens*uint64(idBytes), total != p.Tokens, hex.EncodeToString(sum.Sum(nil)) != p.SHA256:
		return p.damaged(errors.New("its content is not what its first line says"))
	}
	return nil
}

func (p *part) damaged(err error) error {
	return fmt.Errorf("%s: damaged: %w; remove the file and tokenize again, only it is made anew", p.path, err)
}

// appendIDs writes ids in a width of 2 or 4 bytes.
func appendIDs(to []byte, ids []int32, idBytes int) []byte {
	for _, id := range ids {
		if idBytes == 2 {
			to = binary.LittleEndian.AppendUint16(to, uint16(id))
		} else {
			to = binary.LittleEndian.AppendUint32(to, uint32(id))
		}
	}
	return to
}
