package distill

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/embedded"
	"github.com/bitdistill/bitdistill/internal/hub/hubtest"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
)

func TestModelID(t *testing.T) {
	for name, want := range map[string]string{
		"SmolLM2": "HuggingFaceTB/SmolLM2-135M", "SmolLM2-360M-Instruct": "HuggingFaceTB/SmolLM2-360M-Instruct", "Qwen3-0.6B": "Qwen/Qwen3-0.6B",
		"Qwen2.5-0.5B@v1": "Qwen/Qwen2.5-0.5B@v1", "gemma-3-270m": "google/gemma-3-270m", "Llama-3.2-1B": "meta-llama/Llama-3.2-1B",
		"owner/name": "owner/name", "owner/name/q8.gguf": "owner/name/q8.gguf",
	} {
		if id, ok := modelID(name); id != want || !ok {
			t.Errorf("%s: %s, %v, want %s", name, id, ok, want)
		}
	}
	for _, name := range []string{"smollm", "model", "runs/sst2/student", "./owner/name", "/owner/name", "SmolLM2-", "a/b/c/d"} {
		if id, ok := modelID(name); ok {
			t.Errorf("%s: is taken for %s", name, id)
		}
	}
}

func TestParseHubCorpus(t *testing.T) {
	for name, want := range map[string]string{
		"hf:o/n": "o/n ", "hf:o/n@v1": "o/n@v1 ", "hf:o/n/data/train": "o/n data/train", "hf:o/n@v1/data/*.parquet": "o/n@v1 data/*.parquet",
		"hf:o/n@refs/convert/parquet/default": "o/n@refs/convert/parquet default", "hf:o/n@refs/pr/3/x": "o/n@refs/pr/3 x",
	} {
		id, within, err := parseHubCorpus(name)
		if got := id.String() + " " + within; err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"hf:", "hf:name", "hf:/o/n", "hf:o/n@", "hf:o n/x", "hf:../x"} {
		if _, _, err := parseHubCorpus(name); err == nil || !strings.Contains(err.Error(), "corpus "+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Splits and versions are told apart, and chosen by the beginning of their names or a pattern.
func TestChooseShards(t *testing.T) {
	numbered := func(format string) []string { return []string{fmt.Sprintf(format, 0, 2), fmt.Sprintf(format, 1, 2)} }
	wiki := slices.Concat(numbered("raw-103/train-%05d-of-%05d.parquet"), []string{"raw-103/test-00000-of-00001.parquet"}, numbered("raw-2/train-%05d-of-%05d.parquet"))
	falcon := []string{"README.md", "data/train-00000-of-05534-b8fc5348cbe605a5.parquet", "data/train-00001-of-05534-00fc53aacbe605a5.parquet"}
	c4 := slices.Concat([]string{"LICENSE.txt"}, numbered("en/c4-train.%05d-of-%05d.json.gz"), numbered("en/c4-validation.%05d-of-%05d.json.gz"))
	for _, c := range []struct {
		within string
		names  []string
		want   []string // or the words of the error
	}{
		{"", falcon, falcon[1:]},
		{"data", falcon, falcon[1:]},
		{"data/train", falcon, falcon[1:]},
		{"data/train-00001-of-05534-00fc53aacbe605a5.parquet", falcon, falcon[2:]},
		{"raw-103/train", wiki, wiki[:2]},
		{"raw-2", wiki, wiki[3:]},
		{"raw-103/t*", wiki, wiki[:3]},
		{"en/c4-train", c4, c4[1:3]},
		{"en/c4-t", c4, []string{"none is meant"}},
		{"", wiki, []string{"3 sets of files", "raw-103/train-*-of-*.parquet", "raw-103/test-", "raw-2/train-", "behind hf:o/n to choose"}},
		{"raw-103", wiki, []string{"2 sets of files", "behind hf:o/n to choose"}},
		{"", []string{"README.md", "a.txt"}, []string{"of its 2 files none", ".parquet"}},
		{"a.txt", []string{"README.md", "a.txt"}, []string{"a.txt"}},
		{"nothing", falcon, []string{"none is meant"}},
		{"[", falcon, []string{"syntax error in pattern"}},
	} {
		name := strings.TrimSuffix("hf:o/n/"+c.within, "/")
		got, err := chooseShards(name, c.within, c.names)
		if err != nil {
			wantError(t, err, append(c.want, name)...)
		} else if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// embeddedFiles are those of the embedded model.
func embeddedFiles(t *testing.T) map[string][]byte {
	t.Helper()
	dir, files := t.TempDir(), map[string][]byte{"README.md": nil}
	if err := embedded.Model(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// A model of the hub is the one that a folder has; a folder of that name comes first.
func TestHubModel(t *testing.T) {
	const id = "HuggingFaceTB/SmolLM2-135M"
	s := hubtest.New(t, "models", id, embeddedFiles(t))
	cache := s.Environment(t)
	t.Chdir(t.TempDir())
	var log bytes.Buffer
	tok, err := OpenTokenizer(t.Context(), "SmolLM2", &log)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Seen("model.safetensors"); got != nil {
		t.Errorf("for its tokenizer, the weights are fetched: %q", got)
	}
	m, err := OpenModel(t.Context(), "SmolLM2", &log)
	if err != nil {
		t.Fatal(err)
	}
	want, err := OpenModel(t.Context(), Embedded, nil)
	if err != nil {
		t.Fatal(err)
	}
	sameBits(t, "of the hub", weights(t, m.Config, m.Store), weights(t, want.Config, want.Store))
	if tok.Hash() != want.Tokenizer.Hash() || !strings.Contains(log.String(), "model SmolLM2: "+id+" of the hub, commit 01234567, in "+cache) {
		t.Errorf("log: %s", log.String())
	}
	s.Seen("")
	if err := os.MkdirAll(id, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := embedded.Teacher(id); err != nil {
		t.Fatal(err)
	}
	if m, err = OpenModel(t.Context(), id, nil); err != nil || s.Seen("") != nil {
		t.Fatal(err)
	}
	if slices.Equal(weights(t, m.Config, m.Store)["model.norm.weight"], weights(t, want.Config, want.Store)["model.norm.weight"]) {
		t.Error("the folder was not taken")
	}
	if err := os.RemoveAll(id); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HF_HUB_OFFLINE", "1")
	if _, err := OpenModel(t.Context(), id, nil); err != nil {
		t.Errorf("from the cache: %v", err)
	}
	_, err = OpenModel(t.Context(), "owner/other", nil)
	wantError(t, err, "model owner/other: no such folder", "HF_HUB_OFFLINE", cache)
	if !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrInput) {
		t.Errorf("%v", err)
	}
	t.Setenv("HF_HUB_OFFLINE", "")
	_, err = OpenModel(t.Context(), "owner/other", nil)
	wantError(t, err, "model owner/other: no such folder", "does not exist at")
	if !errors.Is(err, ErrInput) {
		t.Errorf("%v", err)
	}
}

// A download that is interrupted goes on with the same command.
func TestHubModelInterrupted(t *testing.T) {
	s := hubtest.New(t, "models", "owner/name", embeddedFiles(t))
	s.Environment(t)
	ctx, cancel := context.WithCancel(t.Context())
	s.Set(func(w http.ResponseWriter, r *http.Request) bool {
		if !s.AtStorage(r, "model.safetensors") || ctx.Err() != nil {
			return false
		}
		data := s.Files["model.safetensors"]
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		w.Write(data[:len(data)/2])
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
		return true
	})
	_, err := OpenModel(ctx, "owner/name", nil)
	wantError(t, err, "owner/name: model.safetensors", "the same command goes on")
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrInput) {
		t.Errorf("%v", err)
	}
	if _, err := OpenModel(t.Context(), "owner/name", nil); err != nil {
		t.Error(err)
	}
}

// compressed is text, compressed as the ending of a name says.
func compressed(t *testing.T, name string, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch filepath.Ext(name) {
	case ".gz":
		w = gzip.NewWriter(&b)
	case ".zst":
		var err error
		if w, err = zstd.NewWriter(&b); err != nil {
			t.Fatal(err)
		}
	default:
		return text
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// hubTexts are the shards of a data set in several formats, all with the same kind of text.
func hubTexts(t *testing.T, names ...string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{"README.md": []byte("about"), "LICENSE.txt": []byte("for text")}
	for k, name := range names {
		var lines []byte
		type row struct {
			ID      int    `parquet:"id"`
			Content string `parquet:"content"`
		}
		var rows []row
		for i := range 40 {
			text := fmt.Sprintf("The bird number %d of file %d sang to %d cats, and %d of them ran away.", i, k, i*7%11, i*k%5)
			rows = append(rows, row{i, text})
			lines = fmt.Appendf(lines, "{\"id\":%d,\"text\":%q}\n", i, text)
		}
		if filepath.Ext(name) != ".parquet" {
			files[name] = compressed(t, name, lines)
			continue
		}
		var b bytes.Buffer
		if err := parquet.Write(&b, rows); err != nil {
			t.Fatal(err)
		}
		files[name] = b.Bytes()
	}
	return files
}

var shardNames = []string{"data/train-0.parquet", "data/train-1.jsonl.gz", "data/train-2.jsonl.zst", "data/train-3.json.gz", "data/train-4.jsonl"}

// local writes the shards of a data set to a folder.
func local(t *testing.T, files map[string][]byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range shardNames {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), files[name], 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func readAll(t *testing.T, names ...string) (*data.Corpus, error) {
	t.Helper()
	tok, err := OpenTokenizer(t.Context(), Embedded, nil)
	if err != nil {
		t.Fatal(err)
	}
	files, release, err := OpenCorpus(t.Context(), names, CorpusOptions{})
	if err != nil {
		return nil, err
	}
	c, err := data.ReadCorpus(t.Context(), files, tok, data.CorpusOptions{Length: 16})
	release(err == nil)
	return c, err
}

// once makes something happen at the first request for a file.
func once(s *hubtest.Server, name string, what func(w http.ResponseWriter)) func(w http.ResponseWriter, r *http.Request) bool {
	var n atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, name) || strings.HasPrefix(r.URL.Path, "/api/") || n.Add(1) != 1 {
			return false
		}
		what(w)
		return true
	}
}

// A corpus of the hub has the tokens of the same files on disk, whatever happens to the link; what cannot be mended is named.
func TestHubCorpus(t *testing.T) {
	files := hubTexts(t, shardNames...)
	want, err := readAll(t, local(t, files))
	if err != nil {
		t.Fatal(err)
	}
	busy := func(status int, after string) func(w http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(status)
		}
	}
	refused := func(status int, code string) func(s *hubtest.Server) func(w http.ResponseWriter, r *http.Request) bool {
		return func(s *hubtest.Server) func(w http.ResponseWriter, r *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				if code == "EntryNotFound" && !strings.HasSuffix(r.URL.Path, shardNames[3]) {
					return false
				}
				w.Header().Set("X-Error-Code", code)
				w.WriteHeader(status)
				return true
			}
		}
	}
	for name, c := range map[string]struct {
		before func(s *hubtest.Server) func(w http.ResponseWriter, r *http.Request) bool
		words  []string
	}{
		"as it should be": {before: func(s *hubtest.Server) func(http.ResponseWriter, *http.Request) bool { return nil }},
		"cut": {before: func(s *hubtest.Server) func(http.ResponseWriter, *http.Request) bool {
			name := shardNames[2]
			return once(s, "/"+name, func(w http.ResponseWriter) { hubtest.Cut(w, files[name], len(files[name])/2) })
		}},
		"429": {before: func(s *hubtest.Server) func(http.ResponseWriter, *http.Request) bool {
			return once(s, shardNames[1], busy(429, "1"))
		}},
		"503": {before: func(s *hubtest.Server) func(http.ResponseWriter, *http.Request) bool {
			return once(s, shardNames[0], busy(503, "1"))
		}},
		"missing":     {before: refused(404, "EntryNotFound"), words: []string{"owner/name: " + shardNames[3] + ": has no such file"}},
		"wrong token": {before: refused(401, ""), words: []string{"does not accept the token of HF_TOKEN"}},
		"no such":     {before: refused(404, "RepoNotFound"), words: []string{"owner/name: does not exist at"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := hubtest.New(t, "datasets", "owner/name", files)
			s.Before = c.before(s)
			cache := s.Environment(t)
			t.Setenv("HF_TOKEN", hubtest.Token)
			got, err := readAll(t, "hf:owner/name/data/train-*")
			if c.words != nil {
				wantError(t, err, c.words...)
				if strings.Contains(err.Error(), hubtest.Token) {
					t.Error("the token shows")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Fingerprint() != want.Fingerprint() || got.Counts != want.Counts {
				t.Errorf("other tokens: %v, want %v", got.Counts, want.Counts)
			}
			if left, _ := os.ReadDir(filepath.Join(cache, "datasets--owner--name", "blobs")); len(left) > 0 {
				t.Errorf("%d shards are left in the cache", len(left))
			}
		})
	}
}

// Where the list does not say how large files are, they are not fetched to find out; each is fetched once.
func TestHubCorpusWithoutSizes(t *testing.T) {
	s := hubtest.New(t, "datasets", "owner/name", hubTexts(t, shardNames...))
	s.Change = func(list map[string]any) {
		for _, f := range list["siblings"].([]map[string]any) {
			delete(f, "size")
			delete(f, "blobId")
			delete(f, "lfs")
		}
	}
	s.Environment(t)
	tokenizeInto(t, filepath.Join(t.TempDir(), "tokens"), "hf:owner/name/data/train-*")
	if got := s.Seen("GET /datasets/owner/name/resolve/"); len(got) != len(shardNames) {
		t.Errorf("requests %q", got)
	}
}
