package data

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
)

// CorpusOptions says how texts become windows.
type CorpusOptions struct {
	Length    int   // tokens of a window, at least 2
	MaxTokens int64 // reading ends after this many tokens; 0 reads all. Ids take 4 bytes each in memory

	// Whole takes each file as one text: no documents are looked for, white space stays, and no end token follows.
	// Perplexity is measured so. For any name but .jsonl.
	Whole bool

	Progress func(tokens int64) // tokens so far; may be nil
}

// Corpus is the token ids of texts laid end to end and cut into windows of Length tokens. Windows do not overlap and
// may begin and end inside a document; an incomplete last one is dropped.
type Corpus struct {
	Length int
	Counts CorpusCounts

	ids []int32
	pad int32
}

// CorpusCounts tells what a corpus was made of.
type CorpusCounts struct {
	Files     int   `json:"files"`     // opened
	Documents int   `json:"documents"` // tokenized
	Empty     int   `json:"empty"`     // documents without text, passed over
	Bytes     int64 `json:"bytes"`     // of text
	Tokens    int64 `json:"tokens"`    // with the tokens in front of and behind documents
	Windows   int   `json:"windows"`   // of Length tokens
	Leftover  int   `json:"leftover"`  // tokens in the dropped last window
	Limited   bool  `json:"limited"`   // MaxTokens ended the reading
}

func (c CorpusCounts) String() string {
	limited := ""
	if c.Limited {
		limited = ", the rest left unread"
	}
	return fmt.Sprintf("%d documents (%d empty) from %d files, %s tokens from %d bytes, %d windows, %d tokens left over%s",
		c.Documents, c.Empty, c.Files, FormatTokens(c.Tokens), c.Bytes, c.Windows, c.Leftover, limited)
}

// Documents are tokenized in parallel once this many bytes or documents of them are at hand.
const (
	blockBytes     = 4 << 20
	blockDocuments = 1024
)

// ReadCorpus reads and tokenizes texts in the order given. Every document gets the model's token in front and its end
// token behind, where the tokenizer has them. What a document is:
//
//   - in a .jsonl file, the field "text" of the object on each line;
//   - in a .txt file that contains the mark <|endoftext|>, what stands between two marks;
//   - else the whole .txt file. Blank lines do not end a document: they stand between paragraphs.
//
// White space around a document is taken off, and documents without text are counted and passed over.
// Errors name the file and line or offset: unknown extensions, invalid JSON, text that is not UTF-8, a document over
// 64 MiB, damaged or truncated gzip; and fewer tokens than one window.
func ReadCorpus(ctx context.Context, files []File, tok Tokenizer, o CorpusOptions) (*Corpus, error) {
	if o.Length < 2 {
		return nil, fmt.Errorf("length: %d, a window has at least 2 tokens", o.Length)
	}
	if o.MaxTokens < 0 {
		return nil, fmt.Errorf("tokens: %d is negative", o.MaxTokens)
	}
	w := corpusWriter{ctx: ctx, tok: tok, options: o, corpus: &Corpus{Length: o.Length, pad: tok.Pad()}}
	for _, f := range files {
		w.corpus.Counts.Files++
		if err := readDocuments(f, o.Whole, w.document); err == errEnough {
			break
		} else if err != nil {
			return nil, err
		}
	}
	if err := w.flush(); err != nil && err != errEnough {
		return nil, err
	}
	return w.done()
}

// corpusWriter gathers documents into blocks and appends their ids.
type corpusWriter struct {
	ctx     context.Context
	tok     Tokenizer
	options CorpusOptions
	corpus  *Corpus
	block   []string
	bytes   int
}

// document takes one document; errEnough says that no more are wanted.
func (w *corpusWriter) document(text string) error {
	if text == "" {
		w.corpus.Counts.Empty++
		return nil
	}
	w.block = append(w.block, text)
	w.bytes += len(text)
	if w.bytes < blockBytes && len(w.block) < blockDocuments {
		return nil
	}
	return w.flush()
}

// flush tokenizes the block and appends it in order.
func (w *corpusWriter) flush() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	encoded := make([][]int32, len(w.block))
	parallel(len(w.block), func(i int) { encoded[i] = w.tok.Encode(w.block[i]) })
	c := w.corpus
	for i, ids := range encoded {
		if w.enough() {
			break
		}
		c.Counts.Documents++
		c.Counts.Bytes += int64(len(w.block[i]))
		if bos, ok := w.tok.BOS(); ok {
			c.ids = append(c.ids, bos)
		}
		c.ids = append(c.ids, ids...)
		if eos, ok := w.tok.EOS(); ok && !w.options.Whole {
			c.ids = append(c.ids, eos)
		}
	}
	w.block, w.bytes = w.block[:0], 0
	if w.options.Progress != nil {
		w.options.Progress(int64(len(c.ids)))
	}
	if w.enough() {
		c.Counts.Limited = true
		return errEnough
	}
	return nil
}

func (w *corpusWriter) enough() bool {
	return w.options.MaxTokens > 0 && int64(len(w.corpus.ids)) >= w.options.MaxTokens
}

// done cuts the tokens into windows and counts them.
func (w *corpusWriter) done() (*Corpus, error) {
	c := w.corpus
	if w.options.MaxTokens > 0 && int64(len(c.ids)) > w.options.MaxTokens {
		c.ids = c.ids[:w.options.MaxTokens]
	}
	c.Counts.Tokens = int64(len(c.ids))
	c.Counts.Windows, c.Counts.Leftover = len(c.ids)/c.Length, len(c.ids)%c.Length
	if c.Counts.Windows == 0 {
		return nil, fmt.Errorf("corpus: %d tokens do not fill one window of %d; add text or lower the length (%v)", len(c.ids), c.Length, c.Counts)
	}
	return c, nil
}

// Len is the number of windows.
func (c *Corpus) Len() int { return c.Counts.Windows }

// Window is the ids of window i, [Length]. The caller leaves them as they are.
func (c *Corpus) Window(i int) []int32 {
	return c.ids[i*c.Length : (i+1)*c.Length : (i+1)*c.Length]
}

// Split takes the last n windows off as a corpus of their own. The counts of files and documents stay those of the whole.
func (c *Corpus) Split(n int) (rest, last *Corpus, err error) {
	if n < 0 || n >= c.Len() {
		return nil, nil, fmt.Errorf("corpus: %d windows cannot be set aside from %d; add text or set fewer aside", n, c.Len())
	}
	cut := (c.Len() - n) * c.Length
	part := func(ids []int32) *Corpus {
		p := *c
		p.ids = ids
		p.Counts.Tokens, p.Counts.Windows, p.Counts.Leftover = int64(len(ids)), len(ids)/c.Length, len(ids)%c.Length
		return &p
	}
	return part(c.ids[:cut:cut]), part(c.ids[cut:]), nil
}

// Fingerprint is a hash of all ids and of the length.
func (c *Corpus) Fingerprint() string {
	h := sha256.New()
	binary.Write(h, binary.LittleEndian, int64(c.Length)) // a hash never fails to write
	for part := range slices.Chunk(c.ids, 1<<16) {        // in parts, to copy little at a time
		binary.Write(h, binary.LittleEndian, part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Packed serves the windows of a corpus, shuffled anew each epoch.
type Packed struct {
	corpus *Corpus
	rows   int
	seed   uint64
	stream stream
}

// NewPacked makes the stage-2 source: batches of rows windows, every token real and, but for each window's first,
// predicted. Each epoch, every window occurs exactly once; a batch may lie across an epoch's end.
func NewPacked(c *Corpus, rows int, seed uint64) (*Packed, error) {
	if rows < 1 {
		return nil, fmt.Errorf("batch size: %d, want at least 1", rows)
	}
	p := &Packed{corpus: c, rows: rows, seed: seed}
	p.stream = stream{n: c.Len(), order: func(epoch int) []int32 {
		order, _ := shuffled(c.Len(), seed, epoch)
		return order
	}}
	return p, nil
}

// Batch is [rows, Corpus.Length].
func (p *Packed) Batch(step int) *Batch {
	b := newBatch(p.rows, p.corpus.Length, p.corpus.pad)
	for row, i := range p.stream.slice(step*p.rows, p.rows) {
		b.set(row, nil, p.corpus.Window(int(i)))
		b.Labels[row*b.Length] = NoLabel // nothing predicts the first token
	}
	return b
}

// Lengths is the one length of all batches.
func (p *Packed) Lengths() []int { return []int{p.corpus.Length} }

// Epoch is the number of passes over the corpus before a step.
func (p *Packed) Epoch(step int) float64 {
	return float64(step) * float64(p.rows) / float64(p.corpus.Len())
}

// Fingerprint is a hash of the corpus, with what decides the order of its windows.
func (p *Packed) Fingerprint() string {
	return fmt.Sprintf("%s seed=%d", p.corpus.Fingerprint(), p.seed)
}
