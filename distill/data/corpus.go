package data

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
)

// CorpusOptions says how texts become windows.
type CorpusOptions struct {
	Length    int   // tokens of a window, at least 2
	MaxTokens int64 // reading ends after this many tokens; 0 reads all. Ids take 4 bytes each in memory

	// Whole takes each file as one text: no documents are looked for, white space stays, and no end token follows.
	// Perplexity is measured so. For any name but .jsonl.
	Whole bool

	Packing  Packing            // "" is Concat
	Stride   int                // tokens from one window to the next; 0 is Length. Below it windows overlap, for perplexity: see [Windows]
	Progress func(tokens int64) // tokens so far; may be nil
}

// Packing says how documents fill windows.
type Packing string

const (
	// Concat lays documents end to end and cuts them into windows of Length tokens, wherever that is; every token is used
	// but those of an incomplete last window.
	Concat Packing = "concat"
	// Documents begins a window with a document and adds the next ones while they fit as a whole; the rest is padding. Only a
	// document that is longer than a window is cut, and what is left of it begins another.
	Documents Packing = "documents"
)

// Corpus is the token ids of texts, packed into windows of up to Length tokens that do not overlap, unless a stride was given.
type Corpus struct {
	Length int
	Counts CorpusCounts

	tokens tokenReader
	first  int64  // of the tokens, where windows lie end to end
	spans  []span // else where each window lies
	pad    int32

	overlaps bool // spans do

	inputs []inputTokens // what the tokens come from
}

// inputTokens are those of a file, or of a folder that was tokenized before: first, …, end-1 of all.
type inputTokens struct {
	name       string
	first, end int64
	part       bool // MaxTokens ended the reading in it, or before it
}

// tokenReader is a run of token ids, wherever it lies.
type tokenReader interface {
	size() int64
	read(ids []int32, at int64) error         // fills ids with the tokens from number at on
	ends(yield func(end int64) error) error   // of the documents, ascending: the number of tokens up to there
	sum(to io.Writer, first, end int64) error // writes what tells the tokens first, …, end-1 from others
}

// span is a window: tokens at, …, at+n-1.
type span struct {
	at int64
	n  int32
}

// CorpusCounts tells what a corpus was made of.
type CorpusCounts struct {
	Files     int   `json:"files"`     // opened
	Documents int   `json:"documents"` // tokenized
	Empty     int   `json:"empty"`     // documents without text, passed over
	Bytes     int64 `json:"bytes"`     // of text
	Tokens    int64 `json:"tokens"`    // with the tokens in front of and behind documents
	Windows   int   `json:"windows"`   // of up to Length tokens
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

// CorpusInput is one of the things that a corpus is made of: files to be tokenized, or what was tokenized before.
type CorpusInput struct {
	Files     []File
	Tokenized *Tokenized // instead of Files
}

// ReadCorpus reads and tokenizes texts in the order given. Every document gets the model's token in front and its end
// token behind, where the tokenizer has them. What a document is:
//
//   - in a .jsonl file, or .json that is packed, the field "text" of the object on each line, or else "content";
//   - in a .parquet file, a value of the column "text", or else "content";
//   - in a .txt file that contains the mark <|endoftext|>, what stands between two marks;
//   - else the whole .txt file. Blank lines do not end a document: they stand between paragraphs.
//
// White space around a document is taken off, and documents without text are counted and passed over.
// Errors name the file and line or offset: unknown extensions, invalid JSON, text that is not UTF-8, a document over
// 64 MiB, damaged or truncated files; and fewer tokens than one window.
func ReadCorpus(ctx context.Context, files []File, tok Tokenizer, o CorpusOptions) (*Corpus, error) {
	return OpenCorpus(ctx, []CorpusInput{{Files: files}}, tok, o)
}

// OpenCorpus is [ReadCorpus] for inputs of both kinds, laid end to end. MaxTokens counts for each input of files; what was
// tokenized before is taken as a whole, and read when it is needed.
func OpenCorpus(ctx context.Context, inputs []CorpusInput, tok Tokenizer, o CorpusOptions) (*Corpus, error) {
	switch {
	case o.Length < 2:
		return nil, fmt.Errorf("length: %d, a window has at least 2 tokens", o.Length)
	case o.MaxTokens < 0:
		return nil, fmt.Errorf("tokens: %d is negative", o.MaxTokens)
	case o.Stride < 0 || o.Stride > o.Length:
		return nil, fmt.Errorf("stride: %d, want 1 to %d, the length of a window", o.Stride, o.Length)
	case o.Stride > 0 && o.Packing == Documents:
		return nil, fmt.Errorf("stride: windows of whole documents do not overlap")
	case o.Packing != "" && o.Packing != Concat && o.Packing != Documents:
		return nil, fmt.Errorf("packing: %q is not one of %s, %s", o.Packing, Concat, Documents)
	}
	var all joined
	var counts CorpusCounts
	var from []inputTokens
	for _, in := range inputs {
		begin := all.size()
		if t := in.Tokenized; t != nil {
			all = append(all, t)
			counts = counts.plus(t.counts())
			from = append(from, inputTokens{t.dir, begin, begin + t.size(), false})
			continue
		}
		w := corpusWriter{ctx: ctx, tok: tok, options: o, to: &memoryTokens{}}
		if err := w.read(in.Files); err != nil {
			return nil, err
		}
		all = append(all, w.to)
		counts = counts.plus(w.counts)
		from = append(from, w.inputs(in.Files, begin)...)
	}
	c := &Corpus{Length: o.Length, Counts: counts, tokens: all, pad: tok.Pad(), inputs: from}
	if len(all) == 1 {
		c.tokens = all[0]
	}
	return c, c.pack(o)
}

// corpusWriter gathers documents into blocks and appends their ids.
type corpusWriter struct {
	ctx     context.Context
	tok     Tokenizer
	options CorpusOptions
	counts  CorpusCounts
	to      *memoryTokens
	block   []string
	bytes   int
	ends    []int // of each file that was opened: documents with text up to there
}

func (w *corpusWriter) read(files []File) error {
	for _, f := range files {
		w.counts.Files++
		err := readDocuments(f, w.options.Whole, w.document)
		w.ends = append(w.ends, w.counts.Documents+len(w.block))
		if err == errEnough {
			break
		} else if err != nil {
			return err
		}
	}
	if err := w.flush(); err != nil && err != errEnough {
		return err
	}
	if most := w.options.MaxTokens; most > 0 && w.to.size() > most {
		w.to.cut(most)
	}
	w.counts.Tokens = w.to.size()
	return nil
}

// inputs tells which tokens come from which file; begin is the number of the first one of all.
func (w *corpusWriter) inputs(files []File, begin int64) []inputTokens {
	var all []inputTokens
	first := int64(0)
	for i, documents := range w.ends {
		end := first
		if n := min(documents, len(w.to.documents)); n > 0 {
			end = w.to.documents[n-1]
		}
		all = append(all, inputTokens{files[i].Name, begin + first, begin + end, w.counts.Limited && end == w.to.size()})
		first = end
	}
	return all
}

// document takes one document; errEnough says that no more are wanted.
func (w *corpusWriter) document(text string) error {
	if text == "" {
		w.counts.Empty++
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
	for i, ids := range encoded {
		if w.enough() {
			break
		}
		w.counts.Documents++
		w.counts.Bytes += int64(len(w.block[i]))
		w.to.ids = appendDocument(w.to.ids, w.tok, ids, w.options.Whole)
		w.to.documents = append(w.to.documents, w.to.size())
	}
	w.block, w.bytes = w.block[:0], 0
	if w.options.Progress != nil {
		w.options.Progress(w.to.size())
	}
	if w.enough() {
		w.counts.Limited = true
		return errEnough
	}
	return nil
}

// appendDocument puts the ids of a text and the tokens around it behind what is there.
func appendDocument(to []int32, tok Tokenizer, ids []int32, whole bool) []int32 {
	if bos, ok := tok.BOS(); ok {
		to = append(to, bos)
	}
	to = append(to, ids...)
	if eos, ok := tok.EOS(); ok && !whole {
		to = append(to, eos)
	}
	return to
}

func (w *corpusWriter) enough() bool {
	return w.options.MaxTokens > 0 && w.to.size() >= w.options.MaxTokens
}

// plus adds the counts of what was read.
func (c CorpusCounts) plus(o CorpusCounts) CorpusCounts {
	c.Files += o.Files
	c.Documents += o.Documents
	c.Empty += o.Empty
	c.Bytes += o.Bytes
	c.Tokens += o.Tokens
	c.Limited = c.Limited || o.Limited
	return c
}

// pack cuts the tokens into windows and counts them.
func (c *Corpus) pack(o CorpusOptions) error {
	switch {
	case o.Packing == Documents:
		if err := c.packDocuments(); err != nil {
			return err
		}
		c.Counts.Windows = len(c.spans)
	case o.Stride > 0:
		c.packStrided(int64(o.Stride))
		c.Counts.Windows = len(c.spans)
	default:
		c.Counts.Windows, c.Counts.Leftover = int(c.Counts.Tokens/int64(c.Length)), int(c.Counts.Tokens%int64(c.Length))
	}
	if c.Counts.Windows == 0 {
		return fmt.Errorf("corpus: %d tokens do not fill one window of %d; add text or lower the length (%v)", c.Counts.Tokens, c.Length, c.Counts)
	}
	return nil
}

// packStrided finds windows that begin a stride apart, up to the one that reaches the end of the text.
func (c *Corpus) packStrided(stride int64) {
	c.overlaps = true
	for at, end := int64(0), int64(0); end < c.Counts.Tokens; at += stride {
		end = min(at+int64(c.Length), c.Counts.Tokens)
		c.spans = append(c.spans, span{at, int32(end - at)})
	}
}

// seen is the number of tokens of window i that the one before it holds too.
func (c *Corpus) seen(i int) int {
	if !c.overlaps || i == 0 {
		return 0
	}
	before := c.spans[i-1]
	return int(before.at + int64(before.n) - c.spans[i].at)
}

// packDocuments finds the windows of the packing Documents. A window is a stretch of the corpus, so each takes 16 bytes.
func (c *Corpus) packDocuments() error {
	open, last, most := span{}, int64(0), int64(c.Length)
	closeWindow := func(next int64) {
		if open.n > 0 {
			c.spans = append(c.spans, open)
		}
		open = span{at: next}
	}
	err := c.tokens.ends(func(end int64) error {
		size := end - last
		if int64(open.n)+size > most {
			closeWindow(last)
		}
		for ; size > most; size -= most {
			open.n = int32(most)
			closeWindow(open.at + most)
		}
		open.n += int32(size)
		last = end
		return nil
	})
	closeWindow(last)
	return err
}

// Len is the number of windows.
func (c *Corpus) Len() int { return c.Counts.Windows }

// span is where window i lies.
func (c *Corpus) span(i int) span {
	if c.spans != nil {
		return c.spans[i]
	}
	return span{c.first + int64(i)*int64(c.Length), int32(c.Length)}
}

// Window is the ids of window i, [up to Length]. An error is one of reading the disk.
func (c *Corpus) Window(i int) ([]int32, error) {
	s := c.span(i)
	ids := make([]int32, s.n)
	return ids, c.tokens.read(ids, s.at)
}

// Fill is the share of the windows' positions that hold tokens: 1 unless windows are padded.
func (c *Corpus) Fill() float64 {
	if c.spans == nil {
		return 1
	}
	filled := int64(0)
	for _, s := range c.spans {
		filled += int64(s.n)
	}
	return float64(filled) / (float64(len(c.spans)) * float64(c.Length))
}

// Split takes the last n windows off as a corpus of their own. The counts of files and documents stay those of the whole.
func (c *Corpus) Split(n int) (rest, last *Corpus, err error) {
	if n < 0 || n >= c.Len() {
		return nil, nil, fmt.Errorf("corpus: %d windows cannot be set aside from %d; add text or set fewer aside", n, c.Len())
	}
	cut := c.Len() - n
	r, l := *c, *c
	r.Counts.Windows, l.Counts.Windows = cut, n
	if c.spans != nil {
		r.spans, l.spans = c.spans[:cut:cut], c.spans[cut:]
		r.Counts.Tokens = spanned(r.spans)
	} else {
		l.first += int64(cut) * int64(c.Length)
		r.Counts.Tokens, r.Counts.Leftover = int64(cut)*int64(c.Length), 0
	}
	l.Counts.Tokens = c.Counts.Tokens - r.Counts.Tokens
	return &r, &l, nil
}

func spanned(spans []span) (tokens int64) {
	for _, s := range spans {
		tokens += int64(s.n)
	}
	return tokens
}

// JoinCorpora lays the windows of corpora of one length behind one another.
func JoinCorpora(corpora ...*Corpus) *Corpus {
	if len(corpora) == 1 {
		return corpora[0]
	}
	all := *corpora[0]
	var tokens joined
	all.first, all.spans, all.Counts, all.inputs = 0, []span{}, CorpusCounts{}, nil
	begin := int64(0)
	for _, c := range corpora {
		for i := range c.Len() {
			s := c.span(i)
			all.spans = append(all.spans, span{begin + s.at, s.n})
		}
		for _, in := range c.inputs {
			all.inputs = append(all.inputs, inputTokens{in.name, begin + in.first, begin + in.end, in.part})
		}
		tokens = append(tokens, c.tokens)
		begin += c.tokens.size()
		all.Counts = all.Counts.plus(c.Counts)
	}
	all.tokens, all.Counts.Windows = tokens, len(all.spans)
	return &all
}

// Fingerprint is a hash of all tokens and of the windows. Of tokens that were stored, their checksums stand for them.
func (c *Corpus) Fingerprint() string {
	h := sha256.New()
	binary.Write(h, binary.LittleEndian, int64(c.Length)) // a hash never fails to write
	first, end := c.first, c.first+c.Counts.Tokens
	if c.spans != nil {
		binary.Write(h, binary.LittleEndian, int64(len(c.spans)))
		first, end = 0, c.tokens.size()
		for _, s := range c.spans {
			binary.Write(h, binary.LittleEndian, s.at)
			binary.Write(h, binary.LittleEndian, s.n)
		}
	}
	c.tokens.sum(h, first, end)
	return hex.EncodeToString(h.Sum(nil))
}

// PartRead is in the hash of a file of which MaxTokens left something unread: how much that is depends on the files before it.
const PartRead = "part of it: "

// Inputs are hashes of the tokens that were read of each file, or folder that was tokenized before, by its name. Those of a corpus
// that was split off are the same.
func (c *Corpus) Inputs() map[string]string {
	sums := map[string]string{}
	for _, in := range c.inputs {
		h := sha256.New()
		c.tokens.sum(h, in.first, in.end) // a hash never fails to write
		sum := hex.EncodeToString(h.Sum(nil))
		if in.part {
			sum = PartRead + sum
		}
		sums[in.name] += sum // a file may be there twice
	}
	return sums
}
