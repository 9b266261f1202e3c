package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testID     = "owner/name"
	testCommit = "0123456789abcdef0123456789abcdef01234567"
	testToken  = "hf_secretSecretSecret"
)

// standIn speaks the hub's API, with large files at a storage server of
// another address.
type standIn struct {
	t       *testing.T
	hub     *httptest.Server
	storage *httptest.Server
	kind    Kind
	files   map[string][]byte
	change  func(list map[string]any)                                // of the list that is sent
	before  func(w http.ResponseWriter, r *http.Request) (done bool) // sees every request first

	mu       sync.Mutex
	requests []string // METHOD path [range]
}

func newStandIn(t *testing.T, files map[string][]byte) *standIn {
	s := &standIn{t: t, kind: Models, files: files}
	s.hub = httptest.NewServer(s.handler(s.serveHub))
	s.storage = httptest.NewServer(s.handler(s.serveStorage))
	t.Cleanup(s.hub.Close)
	t.Cleanup(s.storage.Close)
	return s
}

func (s *standIn) handler(serve http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+r.Header.Get("Range")))
		before := s.before
		s.mu.Unlock()
		if before == nil || !before(w, r) {
			serve(w, r)
		}
	})
}

// large tells which files are kept at the storage.
func large(name string) bool {
	return filepath.Ext(name) == ".safetensors" || filepath.Ext(name) == ".gguf"
}

// blobHash is the checksum that the hub states.
func blobHash(name string, data []byte) string {
	if large(name) {
		return fmt.Sprintf("%x", sha256.Sum256(data))
	}
	return fmt.Sprintf("%x", sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(data)), data...)))
}

func (s *standIn) list() map[string]any {
	var siblings []map[string]any
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		data := s.files[name]
		f := map[string]any{"rfilename": name, "size": len(data), "blobId": blobHash("", data)}
		if large(name) {
			f["lfs"] = map[string]any{"size": len(data), "sha256": blobHash(name, data), "pointerSize": 134}
		}
		siblings = append(siblings, f)
	}
	return map[string]any{"id": testID, "sha": testCommit, "siblings": siblings}
}

func (s *standIn) serveHub(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/api/"+string(s.kind)+"/"+testID+"/revision/") {
		list := s.list()
		if s.change != nil {
			s.change(list)
		}
		json.NewEncoder(w).Encode(list)
		return
	}
	prefix := "/" + testID
	if s.kind != Models {
		prefix = "/" + string(s.kind) + prefix
	}
	path := strings.Replace(r.URL.Path, "/resolve/main/", "/resolve/"+testCommit+"/", 1) // as Python asks
	name, ok := strings.CutPrefix(path, prefix+"/resolve/"+testCommit+"/")
	data, found := s.files[name]
	if !ok || !found {
		w.Header().Set("X-Error-Code", "EntryNotFound")
		w.WriteHeader(404)
		return
	}
	w.Header().Set("X-Repo-Commit", testCommit)
	w.Header().Set("ETag", `"`+blobHash(name, data)+`"`)
	if large(name) {
		w.Header().Set("X-Linked-ETag", `"`+blobHash(name, data)+`"`)
		w.Header().Set("ETag", `"of the pointer"`)
		w.Header().Set("X-Linked-Size", strconv.Itoa(len(data)))
		http.Redirect(w, r, s.storage.URL+"/"+name+"?Signature=secretSignature", http.StatusFound)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(data)))
}

func (s *standIn) serveStorage(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" {
		s.t.Error("the token went to the storage")
	}
	if r.URL.RawQuery != "Signature=secretSignature" {
		s.t.Errorf("query %q", r.URL.RawQuery)
	}
	data := s.files[r.URL.Path[1:]]
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(data)))
}

// seen returns the requests whose path ends so, and forgets all.
func (s *standIn) seen(suffix string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	for _, r := range s.requests {
		if strings.Contains(r, suffix) {
			found = append(found, r)
		}
	}
	s.requests = nil
	return found
}

// options lead to the stand-in and a fresh cache, with short waits and nothing from
// the environment.
func (s *standIn) options() Options {
	clearEnvironment(s.t)
	return Options{Endpoint: s.hub.URL, Cache: filepath.Join(s.t.TempDir(), "hub"), pace: testPace}
}

var testPace = pace{attempts: 4, first: time.Millisecond, longest: 2 * time.Second, stall: 5 * time.Second}

func clearEnvironment(t *testing.T) {
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "HF_") || strings.HasPrefix(name, "HUGGING") || name == "TRANSFORMERS_OFFLINE" {
			t.Setenv(name, "")
		}
	}
	t.Setenv("HF_HOME", t.TempDir()) // holds no token
}

// noise is n bytes that do not repeat.
func noise(n int) []byte {
	data := make([]byte, n)
	x := uint32(1)
	for i := range data {
		x = x*1664525 + 1013904223
		data[i] = byte(x >> 24)
	}
	return data
}

func modelFiles() map[string][]byte {
	return map[string][]byte{
		"config.json":       []byte(`{"model_type":"llama"}`),
		"tokenizer.json":    []byte(`{}`),
		"model.safetensors": noise(300_000),
		"README.md":         []byte("not needed"),
		"onnx/model.onnx":   []byte("not needed"),
	}
}

func mustModel(t *testing.T, id string, o Options) string {
	t.Helper()
	folder, err := Model(context.Background(), id, o)
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

func checkFile(t *testing.T, path string, want []byte) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != string(want) {
		t.Errorf("%s: %d bytes, %v, want %d", path, len(got), err, len(want))
	}
}

// cut sends the first n bytes of an answer that states all, then ends the link.
func cut(w http.ResponseWriter, data []byte, n int) {
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.Write(data[:n])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}
