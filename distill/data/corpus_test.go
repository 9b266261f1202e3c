package data

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func readCorpus(t *testing.T, o CorpusOptions, tok Tokenizer, files ...File) *Corpus {
	t.Helper()
	c, err := ReadCorpus(t.Context(), files, tok, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// allIDs are all tokens that a corpus was made from.
func allIDs(t *testing.T, c *Corpus) []int32 {
	t.Helper()
	ids := make([]int32, c.tokens.size())
	check(t, c.tokens.read(ids, 0))
	return ids
}

func window(t *testing.T, c *Corpus, i int) []int32 {
	t.Helper()
	ids, err := c.Window(i)
	check(t, err)
	return ids
}

func TestDocuments(t *testing.T) {
	for _, c := range []struct{ file, content, want string }{
		{"a.txt", "\ufeff One.\n\nStill one.\n", "^One.\n\nStill one.$"},
		{"a.txt", "one\n<|endoftext|>\ntwo<|endoftext|><|endoftext|>three<|endoftext|>\n", "^one$^two$^three$"},
		{"a.jsonl", "{\"text\":\"one\\n\\ntwo\"}\n\n{\"id\":3,\"text\":\" three \"}\r\n{\"text\":\"\"}", "^one\n\ntwo$^three$"},
	} {
		for _, f := range []File{InMemory(c.file, []byte(c.content)), InMemory(c.file+".gz", pack([]byte(c.content)))} {
			corpus := readCorpus(t, CorpusOptions{Length: 2}, byteTokenizer{}, f)
			if got := decodeBytes(allIDs(t, corpus)); got != c.want {
				t.Errorf("%s: got %q, want %q", f.Name, got, c.want)
			}
		}
	}
	whole := readCorpus(t, CorpusOptions{Length: 2, Whole: true}, byteTokenizer{}, InMemory("a.txt", []byte(" a <|endoftext|> b\n")))
	if got := decodeBytes(allIDs(t, whole)); got != "^ a <|endoftext|> b\n" {
		t.Errorf("whole text: %q", got)
	}
	bare := readCorpus(t, CorpusOptions{Length: 2}, byteTokenizer{bare: true}, InMemory("a.txt", []byte("abc")))
	if got := decodeBytes(allIDs(t, bare)); got != "abc" {
		t.Errorf("without special tokens: %q", got)
	}
}

// TestCorpusAgainstNaive reads many documents in several files and compares with a plain loop.
func TestCorpusAgainstNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var files []File
	var want strings.Builder
	counts := CorpusCounts{}
	for k := range 3 {
		var content strings.Builder
		for range 2000 {
			text := strings.Repeat("x", rng.IntN(40)) + fmt.Sprint(rng.IntN(1000))
			if rng.IntN(20) == 0 {
				text = ""
				counts.Empty++
			} else {
				want.WriteString("^" + text + "$")
				counts.Documents++
				counts.Bytes += int64(len(text))
			}
			fmt.Fprintf(&content, "{\"text\":%q}\n", text)
		}
		files = append(files, InMemory(fmt.Sprintf("%d.jsonl", k), []byte(content.String())))
	}
	const length = 23
	counts.Files, counts.Tokens = 3, int64(want.Len())
	counts.Windows, counts.Leftover = want.Len()/length, want.Len()%length
	c := readCorpus(t, CorpusOptions{Length: length}, byteTokenizer{}, files...)
	if c.Counts != counts {
		t.Errorf("counts %+v, want %+v", c.Counts, counts)
	}
	for i := range c.Len() {
		if got := decodeBytes(window(t, c, i)); got != want.String()[i*length:(i+1)*length] {
			t.Fatalf("window %d is %q", i, got)
		}
	}

	limit := int64(want.Len() / 2)
	half := readCorpus(t, CorpusOptions{Length: length, MaxTokens: limit}, byteTokenizer{}, files...)
	if half.Counts.Tokens != limit || !half.Counts.Limited || decodeBytes(allIDs(t, half)) != want.String()[:limit] {
		t.Errorf("half of it: %+v", half.Counts)
	}
	if half.Fingerprint() == c.Fingerprint() {
		t.Error("half of the text has the fingerprint of the whole")
	}
}

// TestSplitAtMark reads byte by byte, so that a mark is always cut in two.
func TestSplitAtMark(t *testing.T) {
	split := splitAtMark()
	data := []byte("ab<|endoftext|>c<|endoftext<|endoftext|>d")
	var got []string
	for from, to := 0, 0; to <= len(data); to++ {
		advance, token, _ := split(data[from:to], to == len(data))
		if token != nil {
			got = append(got, string(token))
		}
		from += advance
	}
	if want := []string{"ab", "c<|endoftext", "d"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPackedServesEveryWindowOncePerEpoch(t *testing.T) {
	const length = 5
	for _, windows := range []int{1, 4, 37} {
		var text strings.Builder
		for i := range windows {
			fmt.Fprintf(&text, "%05d", i)
		}
		c := readCorpus(t, CorpusOptions{Length: length}, byteTokenizer{bare: true}, InMemory("a.txt", []byte(text.String())))
		for _, rows := range []int{1, 3, 8} {
			source, err := NewPacked(c, rows, 11)
			if err != nil {
				t.Fatal(err)
			}
			var stream []string
			for step := 0; len(stream) < 3*windows; step++ {
				b := source.Batch(step)
				if b.Tokens != rows*length || b.Length != length || b.Counted() != rows*(length-1) {
					t.Fatalf("%d tokens, length %d, %d counted", b.Tokens, b.Length, b.Counted())
				}
				if _, _, width := b.Answers(); width != length-1 {
					t.Fatalf("%d positions predict something, want %d", width, length-1)
				}
				stream = append(stream, rowsOf(t, b)...)
			}
			for epoch := range 3 {
				for i, got := range slices.Sorted(slices.Values(stream[epoch*windows : (epoch+1)*windows])) {
					if got != fmt.Sprintf("%05d", i) {
						t.Fatalf("%d windows, %d rows: epoch %d has %q at %d", windows, rows, epoch, got, i)
					}
				}
			}
			if got := source.Epoch(windows); got != float64(rows) {
				t.Errorf("epoch %g after %d steps, want %d", got, windows, rows)
			}
		}
		checkWindows(t, c, windows)
	}
}

// checkWindows: all windows in order, each once, the last batch filled up.
func checkWindows(t *testing.T, c *Corpus, windows int) {
	t.Helper()
	w, err := NewWindows(c, 3)
	if err != nil {
		t.Fatal(err)
	}
	counted, next := 0, 0
	for i := range w.Len() {
		b := w.Batch(i)
		counted += b.Counted()
		for row := range b.Rows {
			if next < windows && decodeBytes(b.IDs[row*b.Length:][:b.Length]) != fmt.Sprintf("%05d", next) {
				t.Fatalf("batch %d row %d is not window %d", i, row, next)
			}
			next++
		}
	}
	if counted != windows*(c.Length-1) {
		t.Errorf("%d predictions in %d windows of %d", counted, windows, c.Length)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.txt", "a.jsonl.gz", "c.TXT.gz", "notes.md"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	names := func(patterns ...string) string {
		files, err := Files(patterns...)
		if err != nil {
			return err.Error()
		}
		var all []string
		for _, f := range files {
			all = append(all, filepath.Base(f.Name))
		}
		return strings.Join(all, " ")
	}
	for _, c := range []struct{ got, want string }{
		{names(dir), "a.jsonl.gz b.txt c.TXT.gz"},
		{names(filepath.Join(dir, "*.txt"), dir), "b.txt a.jsonl.gz c.TXT.gz"},
		{names(filepath.Join(dir, "b.txt")), "b.txt"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	for pattern, part := range map[string]string{"notes.md": "must end in", "none.txt": "none.txt", "*.csv": "no files", "[": "pattern"} {
		if _, err := Files(filepath.Join(dir, pattern)); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", pattern, err)
		}
	}
	if _, err := Files(); err == nil {
		t.Error("no patterns: no error")
	}
}

func TestCorpusRefuses(t *testing.T) {
	old := maxDocument
	maxDocument = 1 << 20
	t.Cleanup(func() { maxDocument = old })
	packed := pack([]byte(strings.Repeat("{\"text\":\"some words\"}\n", 30000)))
	for _, c := range []struct {
		name  string
		f     File
		o     CorpusOptions
		parts []string
	}{
		{"extension", InMemory("a.pdf", []byte("x")), CorpusOptions{Length: 2}, []string{"a.pdf", ".jsonl.gz"}},
		{"empty", InMemory("a.txt", nil), CorpusOptions{Length: 2}, []string{"a.txt", "empty"}},
		{"too short", InMemory("a.txt", []byte("abc")), CorpusOptions{Length: 9}, []string{"5 tokens", "window of 9"}},
		{"length", InMemory("a.txt", []byte("abc")), CorpusOptions{Length: 1}, []string{"length: 1"}},
		{"tokens", InMemory("a.txt", []byte("abc")), CorpusOptions{Length: 2, MaxTokens: -1}, []string{"tokens: -1"}},
		{"not UTF-8", InMemory("a.txt", []byte("abc<|endoftext|>\xff")), CorpusOptions{Length: 2}, []string{"a.txt: document 2", "UTF-8"}},
		{"not UTF-8 in JSON", InMemory("a.jsonl", []byte("{\"text\":\"\xff\"}")), CorpusOptions{Length: 2}, []string{"a.jsonl: line 1", "UTF-8"}},
		{"not JSON", InMemory("a.jsonl", []byte("{\"text\":\"a\"}\n{\"text\"")), CorpusOptions{Length: 2}, []string{"a.jsonl: line 2", "JSON"}},
		{"no text", InMemory("a.jsonl", []byte("{\"t\":\"a\"}")), CorpusOptions{Length: 2}, []string{"a.jsonl: line 1", `"text"`}},
		{"text is a number", InMemory("a.jsonl", []byte("{\"text\":1}")), CorpusOptions{Length: 2}, []string{"a.jsonl: line 1", "number"}},
		{"endless document", InMemory("a.txt", bytes.Repeat([]byte("abc "), 1<<19)), CorpusOptions{Length: 2}, []string{"a.txt: document 1", "larger than 1 MiB"}},
		{"truncated", InMemory("a.jsonl.gz", packed[:len(packed)/2]), CorpusOptions{Length: 2}, []string{"a.jsonl.gz", "truncated"}},
		{"bomb", InMemory("a.jsonl.gz", pack(bytes.Repeat([]byte("\n"), 20<<20))), CorpusOptions{Length: 2}, []string{"a.jsonl.gz", "unpacks"}},
		{"whole of JSON", InMemory("a.jsonl", []byte("{}")), CorpusOptions{Length: 2, Whole: true}, []string{"a.jsonl", ".txt"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ReadCorpus(t.Context(), []File{c.f}, byteTokenizer{}, c.o)
			wantError(t, err, c.parts...)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ReadCorpus(ctx, []File{InMemory("a.txt", []byte("abc"))}, byteTokenizer{}, CorpusOptions{Length: 2}); err != ctx.Err() {
		t.Errorf("cancelled: %v", err)
	}
}

func TestTokenBudgets(t *testing.T) {
	for text, want := range map[string]int64{
		"123": 123, "500K": 500_000, "2M": 2_000_000, "10B": 10_000_000_000, "1.5m": 1_500_000, "1.1B": 1_100_000_000, " 7k ": 7000, "0.001K": 1,
	} {
		if got, err := ParseTokens(text); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "M", "-1M", "0", "0.0B", "1.5", "0.0001K", "1e9", "2MB", "1,000", "10T", "999999999999999999B", strings.Repeat("9", 99)} {
		if got, err := ParseTokens(text); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", text)) {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for n, want := range map[int64]string{
		0: "0.00K", 123: "0.12K", 12_345: "12.35K", 99_999: "100.00K", 100_000: "0.10M", 1_500_000: "1.50M",
		99_000_000: "99.00M", 200_000_000: "0.20B", 10_000_000_000: "10.00B",
	} {
		if got := FormatTokens(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// Inputs tell which file has changed, wherever the others end, and what MaxTokens cut.
func TestCorpusInputs(t *testing.T) {
	a, b := strings.Repeat("first text. ", 40), strings.Repeat("second text, longer. ", 40)
	inputs := func(limit int64, texts ...string) map[string]string {
		var files []File
		for i, text := range texts {
			files = append(files, InMemory(string(rune('a'+i))+".txt", []byte(text)))
		}
		c := readCorpus(t, CorpusOptions{Length: 10, MaxTokens: limit}, byteTokenizer{}, files...)
		rest, _, err := c.Split(5)
		if err != nil || fmt.Sprint(rest.Inputs()) != fmt.Sprint(c.Inputs()) || fmt.Sprint(JoinCorpora(c, c).Inputs()["a.txt"]) != c.Inputs()["a.txt"]+c.Inputs()["a.txt"] {
			t.Errorf("of parts: %v, %v; of the whole %v", rest.Inputs(), err, c.Inputs())
		}
		return c.Inputs()
	}
	was := inputs(0, a, b)
	if now := inputs(0, a+" more", b); len(now) != 2 || now["a.txt"] == was["a.txt"] || now["b.txt"] != was["b.txt"] {
		t.Errorf("a changed: %v, before %v", now, was)
	}
	if now := inputs(0, a, b+" more"); now["a.txt"] != was["a.txt"] || now["b.txt"] == was["b.txt"] {
		t.Errorf("b changed: %v, before %v", now, was)
	}
	if now := inputs(700, a, b); now["a.txt"] != was["a.txt"] || !strings.HasPrefix(now["b.txt"], PartRead) {
		t.Errorf("limited: %v, without a limit %v", now, was)
	}
	if now := inputs(300, a, b); !strings.HasPrefix(now["a.txt"], PartRead) {
		t.Errorf("limited in the first file: %v", now)
	}
}
