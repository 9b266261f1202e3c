package distill

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/eval"
)

// KeptTexts is a file of what a model has written so far behind the prompts of an evaluation, so that one that is stopped or killed
// goes on from there. The first line says what the texts are of; each further one is a text, or the perplexity of the completions. A
// last line that is not whole is cut off.
type KeptTexts struct {
	path   string
	file   *os.File
	tok    *files.Tokenizer
	lines  func(row int) int
	texts  map[int][]int32
	before time.Duration // spent on the texts that were there
	began  time.Time

	perplexity *eval.Perplexity
}

// keptLine is a line of the file: one of the three.
type keptLine struct {
	Of         string           `json:"of,omitempty"` // model, data and settings
	Perplexity *eval.Perplexity `json:"perplexity,omitempty"`
	Text       *keptText        `json:"text,omitempty"`
}

type keptText struct {
	Row     int     `json:"row"`  // of the examples, from 0
	Line    int     `json:"line"` // in the file of the data
	Output  string  `json:"output"`
	IDs     []int32 `json:"ids"`     // the same as tokens, without the end token
	Seconds float64 `json:"seconds"` // spent on all texts up to this one
}

// errOtherTexts is wrapped where a file holds something else than what is wanted of it.
var errOtherTexts = errors.New("holds texts of another model, other data or settings, or something else")

// KeepTexts opens the file at path, or makes it, for what m writes behind e's prompts; settings is what else decides the last bits, such as
// backend and batch size. A file that is of another model, of other data or settings, or no such file at all, is left as it is, with an
// error that wraps [ErrInput]. The caller closes it.
func KeepTexts(path string, m *hf.Model, e *data.Examples, settings string) (*KeptTexts, error) {
	of, err := textsOf(m, e, settings)
	if err != nil {
		return nil, err
	}
	k := &KeptTexts{path: path, tok: m.Tokenizer, lines: e.Line, texts: map[int][]int32{}, began: time.Now()}
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, inputError{err}
	}
	whole := bytes.LastIndexByte(raw, '\n') + 1
	if len(raw) > 0 && whole == 0 && !bytes.HasPrefix(raw, []byte(`{"of":`)) {
		return nil, wrongInput("%s: %w; remove it, or name another file", path, errOtherTexts)
	}
	if err := k.read(raw[:whole], of); err != nil {
		return nil, wrongInput("%s: %w; remove it, or name another file", path, err)
	}
	if k.file, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666); err != nil {
		return nil, err
	}
	if err = k.file.Truncate(int64(whole)); err == nil && whole == 0 {
		err = k.write(keptLine{Of: of})
	}
	if err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

// textsOf is a hash of all that decides what a model writes behind the prompts of e.
func textsOf(m *hf.Model, e *data.Examples, settings string) (string, error) {
	h := sha256.New()
	err := json.NewEncoder(h).Encode(struct {
		Data, Tokenizer, Settings string
		Most                      int
		Model                     arch.Config
	}{e.Fingerprint(), m.Tokenizer.Hash(), settings, e.MaxCompletion(), m.Config})
	for _, t := range m.Config.Tensors() {
		if err != nil {
			break
		}
		value, fault := m.Store.GetVariable(t.Path()).Value()
		if err = fault; err == nil {
			err = value.ConstBytes(func(raw []byte) { h.Write(raw) })
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)), err
}

// read takes what an earlier call has left.
func (k *KeptTexts) read(raw []byte, of string) error {
	number := 0
	for line := range bytes.Lines(raw) {
		number++
		var l keptLine
		switch err := json.Unmarshal(line, &l); {
		case number == 1 && (err != nil || l.Of != of):
			return errOtherTexts
		case err != nil:
			return fmt.Errorf("%w: line %d: %w", errOtherTexts, number, err)
		case l.Perplexity != nil:
			k.perplexity = l.Perplexity
		case l.Text != nil:
			k.texts[l.Text.Row] = l.Text.IDs
			k.before = time.Duration(l.Text.Seconds * float64(time.Second))
		}
	}
	return nil
}

func (k *KeptTexts) write(l keptLine) error {
	raw, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if _, err := k.file.Write(append(raw, '\n')); err != nil {
		return err
	}
	return k.file.Sync()
}

// Len is the number of texts.
func (k *KeptTexts) Len() int { return len(k.texts) }

// Seconds were spent on the texts that were there when the file was opened.
func (k *KeptTexts) Seconds() float64 { return k.before.Seconds() }

// Text is what was kept of a row, see [eval.Keeper].
func (k *KeptTexts) Text(row int) (ids []int32, ok bool) {
	ids, ok = k.texts[row]
	return ids, ok
}

// Keep writes a text, see [eval.Keeper].
func (k *KeptTexts) Keep(row int, ids []int32) error {
	k.texts[row] = ids
	spent := k.before + time.Since(k.began)
	return k.write(keptLine{Text: &keptText{row, k.lines(row), k.tok.Decode(ids), ids, spent.Seconds()}})
}

// Perplexity is that of the completions, from the file or else measured and kept there.
func (k *KeptTexts) Perplexity(measure func() (eval.Perplexity, error)) (eval.Perplexity, error) {
	if k.perplexity != nil {
		return *k.perplexity, nil
	}
	p, err := measure()
	if err != nil {
		return p, err
	}
	k.perplexity, k.began = &p, time.Now() // what follows is time for texts
	return p, k.write(keptLine{Perplexity: &p})
}

// Close closes the file, which stays.
func (k *KeptTexts) Close() error { return k.file.Close() }

// Remove closes and removes the file, once what it holds stands elsewhere.
func (k *KeptTexts) Remove() error { return errors.Join(k.Close(), os.Remove(k.path)) }
