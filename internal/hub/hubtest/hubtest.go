// Package hubtest is a stand-in for the Hugging Face hub, for tests that need
// one without a network: the list of a repository's files, and the files
// themselves, large ones at a storage server of another address. What is asked
// of it can be watched, delayed, refused or cut.
//
// Here belongs what several packages' tests share, and nothing that is no test.
package hubtest

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Commit is that of every revision, and Token one that must not show anywhere.
const (
	Commit = "0123456789abcdef0123456789abcdef01234567"
	Token  = "hf_secretSecretSecret"
)

// Server has one repository.
type Server struct {
	Hub, Storage *httptest.Server
	Kind, ID     string // "models" or "datasets", owner/name
	Files        map[string][]byte
	Change       func(list map[string]any)                                // of the list that is sent; may be nil
	Before       func(w http.ResponseWriter, r *http.Request) (done bool) // sees every request first; may be nil

	t        testing.TB
	mu       sync.Mutex
	requests []string // METHOD path [range]
}

// New starts a server, which ends with the test. Its fields may be changed until it is first asked.
func New(t testing.TB, kind, id string, files map[string][]byte) *Server {
	s := &Server{t: t, Kind: kind, ID: id, Files: files}
	s.Hub = httptest.NewServer(s.handler(s.serveHub))
	s.Storage = httptest.NewServer(s.handler(s.serveStorage))
	t.Cleanup(s.Hub.Close)
	t.Cleanup(s.Storage.Close)
	return s
}

// ClearEnvironment takes away all that the environment says about the hub, for the time of a test.
func ClearEnvironment(t testing.TB) {
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "HF_") || strings.HasPrefix(name, "HUGGING") || name == "TRANSFORMERS_OFFLINE" {
			t.Setenv(name, "")
		}
	}
	t.Setenv("HF_HOME", t.TempDir()) // holds no token
}

// Environment makes programs take the server for the hub, with an empty cache, which is returned.
func (s *Server) Environment(t testing.TB) (cache string) {
	ClearEnvironment(t)
	t.Setenv("HF_ENDPOINT", s.Hub.URL)
	return path.Join(os.Getenv("HF_HOME"), "hub")
}

func (s *Server) handler(serve http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+r.Header.Get("Range")))
		before := s.Before
		s.mu.Unlock()
		if before == nil || !before(w, r) {
			serve(w, r)
		}
	})
}

// Set changes Before while the server is in use.
func (s *Server) Set(before func(w http.ResponseWriter, r *http.Request) (done bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Before = before
}

// large tells which files are kept at the storage.
func large(name string) bool {
	return slices.Contains([]string{".safetensors", ".gguf", ".parquet", ".gz", ".zst"}, path.Ext(name))
}

// BlobHash is the checksum that the hub states.
func BlobHash(name string, data []byte) string {
	if large(name) {
		return fmt.Sprintf("%x", sha256.Sum256(data))
	}
	return fmt.Sprintf("%x", sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(data)), data...)))
}

func (s *Server) list() map[string]any {
	var siblings []map[string]any
	for _, name := range slices.Sorted(maps.Keys(s.Files)) {
		data := s.Files[name]
		f := map[string]any{"rfilename": name, "size": len(data), "blobId": BlobHash("", data)}
		if large(name) {
			f["lfs"] = map[string]any{"size": len(data), "sha256": BlobHash(name, data), "pointerSize": 134}
		}
		siblings = append(siblings, f)
	}
	return map[string]any{"id": s.ID, "sha": Commit, "siblings": siblings}
}

func (s *Server) serveHub(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/api/"+s.Kind+"/"+s.ID+"/revision/") {
		list := s.list()
		if s.Change != nil {
			s.Change(list)
		}
		json.NewEncoder(w).Encode(list)
		return
	}
	prefix := "/" + s.ID
	if s.Kind != "models" {
		prefix = "/" + s.Kind + prefix
	}
	asked := strings.Replace(r.URL.Path, "/resolve/main/", "/resolve/"+Commit+"/", 1) // as Python asks
	name, ok := strings.CutPrefix(asked, prefix+"/resolve/"+Commit+"/")
	data, found := s.Files[name]
	if !ok || !found {
		code := "EntryNotFound"
		if strings.HasPrefix(r.URL.Path, "/api/") {
			code = "RepoNotFound"
		}
		w.Header().Set("X-Error-Code", code)
		w.WriteHeader(404)
		return
	}
	w.Header().Set("X-Repo-Commit", Commit)
	w.Header().Set("ETag", `"`+BlobHash(name, data)+`"`)
	if large(name) {
		w.Header().Set("X-Linked-ETag", `"`+BlobHash(name, data)+`"`)
		w.Header().Set("ETag", `"of the pointer"`)
		w.Header().Set("X-Linked-Size", strconv.Itoa(len(data)))
		http.Redirect(w, r, s.Storage.URL+"/"+name+"?Signature=secretSignature", http.StatusFound)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(data)))
}

func (s *Server) serveStorage(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" {
		s.t.Error("the token went to the storage")
	}
	if r.URL.RawQuery != "Signature=secretSignature" {
		s.t.Errorf("query %q", r.URL.RawQuery)
	}
	data := s.Files[r.URL.Path[1:]]
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(data)))
}

// AtStorage tells whether a request is for a large file itself.
func (s *Server) AtStorage(r *http.Request, name string) bool {
	return "http://"+r.Host == s.Storage.URL && r.URL.Path == "/"+name
}

// Seen returns the requests that contain a text, and forgets all.
func (s *Server) Seen(text string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	for _, r := range s.requests {
		if strings.Contains(r, text) {
			found = append(found, r)
		}
	}
	s.requests = nil
	return found
}

// Cut sends the first n bytes of an answer that states all, then ends the link.
func Cut(w http.ResponseWriter, data []byte, n int) {
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.Write(data[:n])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}
