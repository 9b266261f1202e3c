package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// entry is that of a file in a list.
func entry(list map[string]any, name string) map[string]any {
	for _, f := range list["siblings"].([]map[string]any) {
		if f["rfilename"] == name {
			return f
		}
	}
	return nil
}

// A list that lies is refused before anything is fetched.
func TestHostileList(t *testing.T) {
	for name, c := range map[string]struct {
		change func(list map[string]any)
		want   string
	}{
		"twice":       {func(l map[string]any) { entry(l, "README.md")["rfilename"] = "config.json" }, "config.json: refused: is listed twice"},
		"commit":      {func(l map[string]any) { l["sha"] = "../../main" }, `sha: "../../main" is not a commit`},
		"no commit":   {func(l map[string]any) { delete(l, "sha") }, "is not a commit"},
		"checksum":    {func(l map[string]any) { entry(l, "config.json")["blobId"] = "../x" }, `"../x" is not a checksum`},
		"negative":    {func(l map[string]any) { entry(l, "config.json")["size"] = -1 }, "config.json: refused: a size of -1"},
		"huge":        {func(l map[string]any) { entry(l, "config.json")["size"] = int64(1) << 60 }, "a size of 1152921504606846976"},
		"huge config": {func(l map[string]any) { entry(l, "config.json")["size"] = int64(1) << 32 }, "config.json: refused: a size of 4294967296"},
		"fraction":    {func(l map[string]any) { entry(l, "config.json")["size"] = 1.5 }, "does not answer as a hub does"},
		"text":        {func(l map[string]any) { l["siblings"] = "none" }, "check HF_ENDPOINT"},
		"no files":    {func(l map[string]any) { delete(l, "siblings") }, "has no config.json"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStandIn(t, modelFiles())
			s.Change = func(l map[string]any) { c.change(l) }
			o := s.options()
			if _, err := getModel(context.Background(), testID, o); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), testID) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if got := s.Seen("/resolve/"); got != nil {
				t.Errorf("requests %q", got)
			}
			if _, err := os.Stat(o.Cache); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("something was written: %v", err)
			}
		})
	}
}

// A name that leads out of the cache is passed over, and refused where it is asked for; the rest of the repository can be had.
func TestHostileName(t *testing.T) {
	odd := []string{"../../../x", "a/../../x", "/etc/passwd", "", ".", "..", "a/", "a//b", "./a", "a\nb", "\x1b[2J", "a\x00", strings.Repeat("a", 2000)}
	windows := []string{`C:\x`, `..\x`, "logs/2024-01-01T00:00:00.txt", "what?"}
	if runtime.GOOS == "windows" {
		odd, windows = append(odd, windows...), nil
	}
	s := newStandIn(t, modelFiles())
	var name string
	s.Change = func(l map[string]any) { entry(l, "README.md")["rfilename"] = name }
	for _, name = range append(odd, windows...) {
		o := s.options()
		var said []string
		o.Log = func(text string) { said = append(said, text) }
		r, err := Open(t.Context(), Models, testID, o)
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if _, err := r.Model(t.Context()); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if slices.Contains(windows, name) {
			if !r.has(name) || said != nil {
				t.Errorf("%q is passed over: %q", name, said)
			}
			continue
		}
		if len(said) != 1 || !strings.Contains(said[0], testID+": 1 of its files are passed over") || len(said[0]) > 400 || strings.ContainsAny(said[0], "\n\x1b\x00") {
			t.Errorf("%q: said %q", name, said)
		}
		if _, err := r.Fetch(t.Context(), name); err == nil || !strings.Contains(err.Error(), "could lead out") || errors.Is(err, ErrNotFound) {
			t.Errorf("%q: got %v", name, err)
		}
	}
	if got := s.Seen("/resolve/"); len(got) != 3*len(append(odd, windows...)) {
		t.Errorf("requests %q", got)
	}
}

// endless sends without an end, and tells how much was taken.
func endless(w http.ResponseWriter) (sent int) {
	data := make([]byte, 64<<10)
	for {
		n, err := w.Write(data)
		if sent += n; err != nil {
			return sent
		}
	}
}

// A file that is not what the list states does not get its name.
func TestHostileFile(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(w http.ResponseWriter, r *http.Request, data []byte)
		want  string
	}{
		"other bytes": {func(w http.ResponseWriter, r *http.Request, data []byte) {
			w.Write(append([]byte{data[0] ^ 1}, data[1:]...))
		}, "do not have the checksum"},
		"longer": {func(w http.ResponseWriter, r *http.Request, data []byte) {
			w.Header().Set("Content-Length", fmt.Sprint(len(data)+1))
			w.Write(append(data[:len(data):len(data)], 0))
		}, "sends 300001 bytes, the hub states 300000"},
		"shorter":   {func(w http.ResponseWriter, r *http.Request, data []byte) { w.Write(data[:10]) }, "sends 10 bytes, the hub states 300000"},
		"no length": {func(w http.ResponseWriter, r *http.Request, data []byte) { endless(w) }, "more than the 300000 bytes that the hub states"},
		"other range": {func(w http.ResponseWriter, r *http.Request, data []byte) {
			w.Header().Set("Content-Range", "bytes 5-9/300000")
			w.WriteHeader(206)
			w.Write(data[5:10])
		}, `sends "bytes 5-9/300000"`},
		"empty success": {func(w http.ResponseWriter, r *http.Request, data []byte) { w.WriteHeader(204) }, "answers 204"},
		"always cut": {func(w http.ResponseWriter, r *http.Request, data []byte) {
			w.Header().Set("Content-Length", "300000")
			panic(http.ErrAbortHandler)
		}, "(4 attempts)"},
		"round and round": {func(w http.ResponseWriter, r *http.Request, data []byte) {
			http.Redirect(w, r, r.URL.Path+"?Signature=secretSignature", http.StatusFound)
		}, "redirect refused: 10 in a row"},
		"other scheme": {func(w http.ResponseWriter, r *http.Request, data []byte) {
			http.Redirect(w, r, "file:///etc/passwd?secretSignature", http.StatusFound)
		}, "unsupported protocol scheme"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStandIn(t, modelFiles())
			s.Storage.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c.serve(w, r, s.Files["model.safetensors"])
			})
			o := s.options()
			o.Token = testToken
			_, err := getModel(context.Background(), testID, o)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "owner/name: model.safetensors: ") {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if strings.Contains(err.Error(), testToken) || strings.Contains(err.Error(), "secretSignature") {
				t.Errorf("a secret in %v", err)
			}
			filepath.WalkDir(o.Cache, func(path string, _ fs.DirEntry, _ error) error {
				if info, err := os.Stat(path); err == nil && info.Size() > 300_000 {
					t.Errorf("%s has %d bytes", path, info.Size())
				}
				if filepath.Base(path) == "model.safetensors" || filepath.Base(filepath.Dir(path)) == "refs" {
					t.Errorf("%s is there", path)
				}
				return nil
			})
		})
	}
}

func TestEndlessList(t *testing.T) {
	s := newStandIn(t, nil)
	s.Hub.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { endless(w) })
	if _, err := getModel(context.Background(), testID, s.options()); err == nil || !strings.Contains(err.Error(), "the list of files has more than 67108864 bytes") {
		t.Errorf("got %v", err)
	}
}

// Partial files that are links are not written through.
func TestLinkAsPartial(t *testing.T) {
	s := newStandIn(t, modelFiles())
	o := s.options()
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	path := partialPath(s, o)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, path); err != nil {
		t.Skip(err)
	}
	if _, err := getModel(context.Background(), testID, o); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("got %v", err)
	}
	checkFile(t, victim, nil)
}

// The token stays with the hub, and what was asked over TLS is not answered without.
func TestRedirect(t *testing.T) {
	request := func(method, address string) *http.Request {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		return &http.Request{Method: method, URL: u, Header: http.Header{"Authorization": {"Bearer x"}}}
	}
	c := &client{}
	for _, k := range []struct {
		method, next string
		err          error
		kept         bool
	}{
		{"GET", "https://hub.example/b", nil, true},
		{"GET", "https://cdn.hub.example/b", nil, false},
		{"GET", "https://hub.example:444/b", nil, false},
		{"GET", "http://hub.example/b", errRedirect, true},
		{"HEAD", "https://hub.example/b", nil, true},
		{"HEAD", "https://cdn.example/b", http.ErrUseLastResponse, true},
	} {
		next := request(k.method, k.next)
		err := c.redirect(next, []*http.Request{request(k.method, "https://hub.example/a")})
		if !errors.Is(err, k.err) || err == nil && (next.Header.Get("Authorization") != "") != k.kept {
			t.Errorf("%s %s: %v, %v", k.method, k.next, err, next.Header)
		}
	}
}

// TestRefusal: what the hub answers, in words that say what to do. The token is never among them.
func TestRefusal(t *testing.T) {
	for name, c := range map[string]struct {
		at, token, code, message string
		status                   int
		kind                     error
		want                     string
	}{
		"unknown":          {status: 401, code: "RepoNotFound", kind: ErrNotFound, want: "does not exist at 127.0.0.1"},
		"unknown, token":   {status: 404, code: "RepoNotFound", token: testToken, kind: ErrNotFound, want: "or the token of HF_TOKEN may not see it"},
		"no token":         {status: 401, kind: ErrNotFound, want: "set HF_TOKEN"},
		"wrong token":      {status: 401, token: testToken, kind: ErrDenied, want: "does not accept the token of HF_TOKEN"},
		"wrong, with code": {status: 401, token: testToken, code: "RepoNotFound", message: "Invalid credentials in Authorization header", kind: ErrDenied, want: "does not accept the token"},
		"gated":            {at: "/resolve/", status: 401, code: "GatedRepo", kind: ErrDenied, want: "config.json: is gated: its conditions must be accepted"},
		"gated, token":     {at: "/resolve/", status: 403, code: "GatedRepo", token: testToken, kind: ErrDenied, want: "is not of an account that has"},
		"revision":         {status: 404, code: "RevisionNotFound", kind: ErrNotFound, want: "owner/name@v9: has no revision v9"},
		"file":             {at: "/resolve/", status: 404, code: "EntryNotFound", kind: ErrNotFound, want: "config.json: has no such file"},
		"disabled":         {status: 403, message: "Access to this resource is disabled.", kind: ErrDenied, want: `"Access to this resource is disabled."`},
		"echo":             {status: 403, token: testToken, message: "bad " + testToken, kind: ErrDenied, want: `"bad ***"`},
		"proxy":            {status: 404, kind: ErrNotFound, want: "is not at 127.0.0.1"},
		"teapot":           {status: 418, message: "\x1b[2J" + strings.Repeat("x", 3000), want: `answers 418: "\x1b[2Jxxx`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStandIn(t, modelFiles())
			s.Set(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, c.at) {
					return false
				}
				if c.code != "" {
					w.Header().Set("X-Error-Code", c.code)
				}
				w.WriteHeader(c.status)
				json.NewEncoder(w).Encode(map[string]string{"error": c.message})
				return true
			})
			o := s.options()
			t.Setenv("HF_TOKEN", c.token)
			_, err := getModel(context.Background(), testID+"@v9", o)
			if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 500 || strings.Contains(err.Error(), testToken) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			for _, kind := range []error{ErrNotFound, ErrDenied, ErrUnreachable} {
				if errors.Is(err, kind) != (kind == c.kind) {
					t.Errorf("%v is %v: %v", err, kind, errors.Is(err, kind))
				}
			}
			if got := s.Seen(""); c.at == "" && len(got) != 1 {
				t.Errorf("asked again: %q", got)
			}
		})
	}
}
