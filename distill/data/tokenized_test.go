package data

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
)

// byteVocabulary is byteTokenizer with what a stored corpus needs.
type byteVocabulary struct {
	byteTokenizer
	hash string
	size int
}

func (v byteVocabulary) Hash() string   { return v.hash }
func (v byteVocabulary) VocabSize() int { return v.size }

var bytesA = byteVocabulary{hash: "a", size: 300}

// smallParts makes chunks and shards of few bytes, so that a short text is many of them.
func smallParts(t *testing.T, chunk int, shard uint64) {
	t.Helper()
	oldChunk, oldShard := chunkBytes, shardBytes
	chunkBytes, shardBytes = chunk, shard
	t.Cleanup(func() { chunkBytes, shardBytes = oldChunk, oldShard })
}

func packZstd(t testing.TB, content []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(content, nil)
}

// mixedFiles are corpus files of several kinds on disk, with empty documents and one that is long.
func mixedFiles(t testing.TB, seed uint64) []File {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 3))
	words := func(n int) string {
		var b strings.Builder
		for range n {
			fmt.Fprintf(&b, "w%d é ", rng.IntN(900))
		}
		return b.String()
	}
	var text, lines strings.Builder
	for i := range 60 {
		n := rng.IntN(30)
		if i == 20 {
			n = 700
		}
		text.WriteString(words(n) + endOfText)
		fmt.Fprintf(&lines, "{\"text\":%q}\n", words(rng.IntN(25)))
	}
	dir := t.TempDir()
	var files []File
	for name, content := range map[string][]byte{
		"a.txt": []byte(text.String()), "b.jsonl.gz": pack([]byte(lines.String())), "c.jsonl.zst": packZstd(t, []byte(lines.String())), "d.txt": []byte("one single document"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := Files(dir)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// tokenizeAll runs all shards, in some order, and merges.
func tokenizeAll(t testing.TB, files []File, shards int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "corpus")
	for _, i := range rand.New(rand.NewPCG(uint64(shards), 1)).Perm(shards) {
		if err := Tokenize(context.Background(), dir, files, bytesA, TokenizingOptions{Shard: i + 1, Shards: shards}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := MergeTokenized(context.Background(), dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// contents are the files of a folder.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, dir)] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTokenizedIsTheSameForAnyNumberOfShards(t *testing.T) {
	smallParts(t, 1500, 9000)
	files := mixedFiles(t, 1)
	want := contents(t, tokenizeAll(t, files, 1))
	if len(want) < 1+2*3 {
		t.Fatalf("%d files; the test wants several shards", len(want))
	}
	for _, n := range []int{2, 3, 7} {
		got := contents(t, tokenizeAll(t, files, n))
		for name := range want {
			if got[name] != want[name] {
				t.Errorf("%d shards: %s differs", n, name)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d shards: %d files, want %d", n, len(got), len(want))
		}
	}
}

func TestTokenizedAgainstReadCorpus(t *testing.T) {
	files := mixedFiles(t, 2)
	plain := readCorpus(t, CorpusOptions{Length: 16}, byteTokenizer{}, files...)
	for _, size := range []int{300, 1 << 16, 1<<16 + 1} {
		smallParts(t, 900, 5000)
		tok := byteVocabulary{hash: "h", size: size}
		dir := filepath.Join(t.TempDir(), "corpus")
		if err := Tokenize(t.Context(), dir, files, tok, TokenizingOptions{}); err != nil {
			t.Fatal(err)
		}
		info, err := MergeTokenized(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		c := plain.Counts
		if info.Tokens != uint64(c.Tokens) || info.Documents != uint64(c.Documents) || info.Empty != uint64(c.Empty) || info.Bytes != uint64(c.Bytes) {
			t.Errorf("counts %+v, want %v", info, c)
		}
		if want := map[bool]int{true: 2, false: 4}[size <= 1<<16]; info.IDBytes != want {
			t.Errorf("a vocabulary of %d has ids of %d bytes, want %d", size, info.IDBytes, want)
		}
		stored, err := OpenTokenized(dir, tok)
		if err != nil {
			t.Fatal(err)
		}
		defer stored.Close()
		if err := stored.Check(t.Context(), nil); err != nil {
			t.Error(err)
		}
		all := make([]int32, c.Tokens)
		if err := stored.read(all, 0); err != nil {
			t.Fatal(err)
		}
		text := decodeBytes(all)
		if text != decodeBytes(allIDs(t, plain)) {
			t.Error("the tokens are not those of ReadCorpus")
		}
		begin := int64(0)
		if err := stored.ends(func(end int64) error {
			if d := text[begin:end]; !strings.HasPrefix(d, "^") || strings.Index(d, "$") != len(d)-1 {
				t.Errorf("document %q", d)
			}
			begin = end
			return nil
		}); err != nil || begin != c.Tokens {
			t.Errorf("documents end at %d of %d: %v", begin, c.Tokens, err)
		}
		wantError(t, stored.read(make([]int32, 9), c.Tokens-8), "no token", fmt.Sprint(c.Tokens))
	}
}

// A process that is stopped after any piece of work goes on there, and leaves what one that was not stopped leaves.
func TestTokenizeGoesOn(t *testing.T) {
	smallParts(t, 700, 9000)
	files := mixedFiles(t, 3)
	want := contents(t, tokenizeAll(t, files, 1))
	dir := filepath.Join(t.TempDir(), "corpus")
	stops := 0
	for begin := 0; ; begin++ {
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		err := Tokenize(ctx, dir, files, bytesA, TokenizingOptions{Shard: 1 + begin%3, Shards: 3, Progress: func(TokenizeProgress) {
			if calls++; calls > 4+begin/3*3 {
				cancel()
			}
		}})
		cancel()
		if _, merge := MergeTokenized(t.Context(), dir); merge == nil {
			break
		} else if !strings.Contains(merge.Error(), "cannot be merged yet") {
			t.Fatal(merge)
		}
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			stops++
		}
		if begin > 500 {
			t.Fatal("no end")
		}
	}
	if got := contents(t, dir); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Error("the result differs from that of a process that was not stopped")
	}
	if stops < 3 {
		t.Errorf("%d stops", stops)
	}
	if err := Tokenize(t.Context(), dir, files, bytesA, TokenizingOptions{}); err != nil {
		t.Errorf("a finished corpus once more: %v", err)
	}
	if _, err := MergeTokenized(t.Context(), dir); err != nil {
		t.Errorf("a finished corpus merged once more: %v", err)
	}
}

func TestTokenizedRefuses(t *testing.T) {
	smallParts(t, 700, 9000)
	files := mixedFiles(t, 4)
	whole := contents(t, tokenizeAll(t, files, 1))
	fresh := func(change func(dir string)) string {
		dir := t.TempDir()
		for name, content := range whole {
			check(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
		}
		change(dir)
		return dir
	}
	edit := func(name string, change func([]byte) []byte) func(string) {
		return func(dir string) {
			path := filepath.Join(dir, name)
			raw, err := os.ReadFile(path)
			check(t, err)
			check(t, os.WriteFile(path, change(raw), 0o600))
		}
	}
	replace := func(old, new string) func([]byte) []byte {
		return func(raw []byte) []byte {
			if !bytes.Contains(raw, []byte(old)) {
				t.Fatalf("%s has no %s", raw, old)
			}
			return bytes.Replace(raw, []byte(old), []byte(new), 1)
		}
	}
	for _, c := range []struct {
		name   string
		tok    Vocabulary
		change func(dir string)
		parts  []string
	}{
		{"other tokenizer", byteVocabulary{hash: "b", size: 300}, func(string) {}, []string{"another tokenizer", "SHA-256"}},
		{"other end token", byteVocabulary{byteTokenizer{bare: true}, "a", 300}, func(string) {}, []string{"another tokenizer", "-1"}},
		{"truncated", bytesA, edit("00001.tokens", func(b []byte) []byte { return b[:len(b)-1] }), []string{"00001.tokens", "truncated"}},
		{"grown", bytesA, edit("00000.ends", func(b []byte) []byte { return append(b, 0) }), []string{"00000.ends", "altered"}},
		{"missing", bytesA, func(dir string) { check(t, os.Remove(filepath.Join(dir, "00000.tokens"))) }, []string{"00000.tokens", "missing"}},
		{"altered", bytesA, edit("00001.tokens", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }), []string{"00001.tokens", "altered"}},
		{"altered ends", bytesA, edit("00001.ends", func(b []byte) []byte { b[0] ^= 1; return b }), []string{"00001.ends", "altered"}},
		{"unfinished", bytesA, func(dir string) { check(t, os.Remove(filepath.Join(dir, tokenizedFile))) }, []string{"not finished", "bitdistill tokenize"}},
		{"version", bytesA, edit(tokenizedFile, replace(`"version": 1`, `"version": 2`)), []string{tokenizedFile, "version: 2"}},
		{"width", bytesA, edit(tokenizedFile, replace(`"id_bytes": 2`, `"id_bytes": 3`)), []string{tokenizedFile, "id_bytes: 3"}},
		{"counts", bytesA, edit(tokenizedFile, replace(`"tokens": `, `"tokens": 1`)), []string{tokenizedFile, "together"}},
		{"huge", bytesA, edit(tokenizedFile, replace(`"tokens_sha256"`, `"tokens": 999999999999999999, "tokens_sha256"`)), []string{tokenizedFile, "cannot be"}},
		{"path", bytesA, edit(tokenizedFile, replace(`"name": "00000"`, `"name": "../00000"`)), []string{tokenizedFile, "../00000"}},
		{"not JSON", bytesA, edit(tokenizedFile, func(b []byte) []byte { return b[:len(b)/2] }), []string{tokenizedFile, "damaged"}},
		{"unknown field", bytesA, edit(tokenizedFile, replace(`"version"`, `"versio"`)), []string{tokenizedFile, "versio"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			stored, err := OpenTokenized(fresh(c.change), c.tok)
			if err == nil {
				defer stored.Close()
				err = stored.Check(t.Context(), nil)
			}
			wantError(t, err, c.parts...)
		})
	}
	// Who skips the check still gets no id beyond the vocabulary and no documents that overlap.
	dir := fresh(func(dir string) {
		edit("00000.tokens", func(b []byte) []byte { binary.LittleEndian.PutUint16(b[8:], 300); return b })(dir)
		edit("00000.ends", func(b []byte) []byte { binary.LittleEndian.PutUint64(b[8:], 1); return b })(dir)
	})
	stored, err := OpenTokenized(dir, bytesA)
	check(t, err)
	defer stored.Close()
	wantError(t, stored.read(make([]int32, 9), 0), "00000.tokens", "300 at byte 8")
	wantError(t, stored.ends(func(int64) error { return nil }), "00000.ends", "document 1")
}

func TestTokenizeCorpusRefuses(t *testing.T) {
	smallParts(t, 700, 9000)
	files := mixedFiles(t, 5)
	begun := func(t *testing.T) string {
		dir := filepath.Join(t.TempDir(), "corpus")
		check(t, Tokenize(t.Context(), dir, files, bytesA, TokenizingOptions{Shard: 1, Shards: 2}))
		return dir
	}
	second := TokenizingOptions{Shard: 2, Shards: 2}
	t.Run("other tokenizer", func(t *testing.T) {
		wantError(t, Tokenize(t.Context(), begun(t), files, byteVocabulary{hash: "b", size: 300}, second), "another tokenizer")
	})
	t.Run("other files", func(t *testing.T) {
		wantError(t, Tokenize(t.Context(), begun(t), files[1:], bytesA, second), "from 4 files", "these 3")
	})
	t.Run("shard", func(t *testing.T) {
		for _, o := range []TokenizingOptions{{Shard: 3, Shards: 2}, {Shard: 0, Shards: 2}, {Shard: 1}} {
			wantError(t, Tokenize(t.Context(), begun(t), files, bytesA, o), "shard")
		}
	})
	t.Run("foreign folder", func(t *testing.T) {
		dir := t.TempDir()
		check(t, os.WriteFile(filepath.Join(dir, "thesis.txt"), nil, 0o600))
		wantError(t, Tokenize(t.Context(), dir, files, bytesA, TokenizingOptions{}), "thesis.txt")
	})
	t.Run("nothing there", func(t *testing.T) {
		_, err := MergeTokenized(t.Context(), t.TempDir())
		wantError(t, err, "nothing to merge")
	})
	t.Run("missing shard", func(t *testing.T) {
		_, err := MergeTokenized(t.Context(), begun(t))
		wantError(t, err, "cannot be merged yet", "parts are missing")
	})
	t.Run("changed file", func(t *testing.T) {
		dir := begun(t)
		raw, err := os.ReadFile(files[0].Name)
		check(t, err)
		changed := bytes.Replace(raw, []byte("w1"), []byte("v1"), 1)
		check(t, os.WriteFile(files[0].Name, changed, 0o600))
		defer os.WriteFile(files[0].Name, raw, 0o600)
		wantError(t, Tokenize(t.Context(), dir, files, bytesA, second), files[0].Name, "not the file any more")
	})
	t.Run("damaged part", func(t *testing.T) {
		dir := begun(t)
		check(t, Tokenize(t.Context(), dir, files, bytesA, second))
		path := filepath.Join(dir, partsFolder, partName(0, 2))
		raw, err := os.ReadFile(path)
		check(t, err)
		raw[len(raw)-3] ^= 1
		check(t, os.WriteFile(path, raw, 0o600))
		_, err = MergeTokenized(t.Context(), dir)
		wantError(t, err, path, "damaged", "remove the file")
		check(t, os.Remove(path))
		check(t, Tokenize(t.Context(), dir, files, bytesA, TokenizingOptions{}))
		_, err = MergeTokenized(t.Context(), dir)
		check(t, err)
	})
	t.Run("bad line", func(t *testing.T) {
		bad := InMemory("bad.jsonl", []byte(strings.Repeat("{\"text\":\"some words\"}\n", 200)+"{\"text\":3}\n"))
		wantError(t, Tokenize(t.Context(), filepath.Join(t.TempDir(), "c"), []File{bad}, bytesA, TokenizingOptions{}), "bad.jsonl: line 201")
	})
	t.Run("id beyond the vocabulary", func(t *testing.T) {
		wantError(t, Tokenize(t.Context(), filepath.Join(t.TempDir(), "c"), files, byteVocabulary{hash: "a", size: 100}, TokenizingOptions{}), "vocabulary ends at 100")
	})
}

func TestParquetCorpus(t *testing.T) {
	type row struct {
		ID   int64  `parquet:"id"`
		Text string `parquet:"text"`
	}
	var rows []row
	var lines strings.Builder
	for i := range 500 {
		text := strings.Repeat(fmt.Sprintf("é %d ", i), i%9)
		rows = append(rows, row{int64(i), text})
		fmt.Fprintf(&lines, "{\"text\":%q}\n", text)
	}
	path := filepath.Join(t.TempDir(), "a.parquet")
	check(t, parquet.WriteFile(path, rows))
	want := readCorpus(t, CorpusOptions{Length: 7}, byteTokenizer{}, InMemory("a.jsonl", []byte(lines.String())))
	got := readCorpus(t, CorpusOptions{Length: 7}, byteTokenizer{}, OnDisk(path))
	if got.Counts != want.Counts || got.Fingerprint() != want.Fingerprint() {
		t.Errorf("%v, want %v", got.Counts, want.Counts)
	}
	smallParts(t, 2000, 1<<30)
	stored, err := OpenTokenized(tokenizeAll(t, []File{OnDisk(path)}, 2), bytesA)
	check(t, err)
	defer stored.Close()
	raw, err := os.ReadFile(path)
	check(t, err)
	if s := stored.Info.Sources[0]; s.SHA256 != fmt.Sprintf("%x", sha256.Sum256(raw)) || s.Bytes != uint64(len(raw)) || stored.Info.Tokens != uint64(want.Counts.Tokens) {
		t.Errorf("%+v", stored.Info)
	}
	check(t, parquet.WriteFile(path, []struct{ Title string }{{"a"}}))
	_, err = ReadCorpus(t.Context(), []File{OnDisk(path)}, byteTokenizer{}, CorpusOptions{Length: 2})
	wantError(t, err, "a.parquet", `"text"`, "Title")
	_, err = ReadCorpus(t.Context(), []File{InMemory("b.parquet", raw[:len(raw)-9])}, byteTokenizer{}, CorpusOptions{Length: 2})
	wantError(t, err, "b.parquet", "Parquet")
}

// The text may be called content, and lines of JSON may be packed under the name .json; of both names, text is the one.
func TestTextNames(t *testing.T) {
	want := readCorpus(t, CorpusOptions{Length: 3}, byteTokenizer{}, InMemory("a.jsonl", []byte("{\"text\":\"one two\"}\n{\"text\":\"three\"}\n")))
	path := filepath.Join(t.TempDir(), "a.parquet")
	check(t, parquet.WriteFile(path, []struct {
		Title   string `parquet:"title"`
		Content string `parquet:"content"`
	}{{"no", "one two"}, {"no", "three"}}))
	lines := "{\"content\":\"one two\",\"title\":\"no\"}\n{\"content\":[\"no\"],\"text\":\"three\"}\n"
	for _, f := range []File{OnDisk(path), InMemory("a.jsonl", []byte(lines)), InMemory("a.json.gz", pack([]byte(lines)))} {
		if got := readCorpus(t, CorpusOptions{Length: 3}, byteTokenizer{}, f); got.Fingerprint() != want.Fingerprint() {
			t.Errorf("%s: %v, want %v", f.Name, got.Counts, want.Counts)
		}
	}
	_, err := ReadCorpus(t.Context(), []File{InMemory("a.jsonl", []byte("{\"content\":[\"x\"]}"))}, byteTokenizer{}, CorpusOptions{Length: 2})
	wantError(t, err, "a.jsonl: line 1", `"content"`, "not as text")
	config := filepath.Join(filepath.Dir(path), "config.json") // what is not packed may be anything
	check(t, os.WriteFile(config, []byte(lines), 0o666))
	_, err = Files(config)
	wantError(t, err, "config.json", "not a corpus file")
}

func TestZstandard(t *testing.T) {
	content := []byte(strings.Repeat("{\"text\":\"some words\"}\n", 3000))
	good := packZstd(t, content)
	got := readCorpus(t, CorpusOptions{Length: 2}, byteTokenizer{}, InMemory("a.jsonl.zst", append(bytes.Clone(good), good...))) // frames behind one another
	if got.Counts.Documents != 6000 {
		t.Errorf("%v", got.Counts)
	}
	spoilt := bytes.Clone(good)
	spoilt[len(spoilt)-2] ^= 1
	for _, c := range []struct {
		f     File
		parts []string
	}{
		{InMemory("a.jsonl.zst", good[:len(good)-5]), []string{"a.jsonl.zst", "truncated"}},
		{InMemory("a.jsonl.zst", spoilt), []string{"a.jsonl.zst", "damaged Zstandard"}},
		{InMemory("a.jsonl.zst", content), []string{"a.jsonl.zst", "not Zstandard"}},
		{InMemory("a.jsonl.zst", nil), []string{"a.jsonl.zst", "empty"}},
		{InMemory("a.txt.zst", packZstd(t, bytes.Repeat([]byte("abc "), 8<<20))), []string{"a.txt.zst", "unpacks"}},
	} {
		_, err := ReadCorpus(t.Context(), []File{c.f}, byteTokenizer{}, CorpusOptions{Length: 2})
		wantError(t, err, c.parts...)
	}
	if in, err := InMemory("a.txt", good).open(); err != nil {
		t.Error(err)
	} else if plain, err := io.ReadAll(in); err != nil || !bytes.Equal(plain, content) {
		t.Errorf("packed text without the ending: %v", err)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// endless is a file that ends with its context alone, which it cancels after some reads.
type endless struct {
	left   int
	cancel func()
}

func (e *endless) Close() error { return nil }

func (e *endless) Read(p []byte) (int, error) {
	if e.left--; e.left == 0 {
		e.cancel()
	}
	return len(p), nil
}

// A table is hashed before it is read, and that can be stopped too.
func TestTokenizeStopsInATable(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := File{Name: "a.parquet", Bytes: -1, Open: func() (io.ReadCloser, error) { return &endless{3, cancel}, nil }}
	if err := Tokenize(ctx, filepath.Join(t.TempDir(), "corpus"), []File{f}, bytesA, TokenizingOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
