package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bitdistill/bitdistill/internal/hub/hubtest"
)

const weightsPath = "/model.safetensors"

func isWeights(s *standIn, r *http.Request) bool {
	return s.AtStorage(r, "model.safetensors")
}

// A link that is cut goes on where it was.
func TestCut(t *testing.T) {
	s := newStandIn(t, modelFiles())
	data := s.Files["model.safetensors"]
	var cuts atomic.Int32
	s.Set(func(w http.ResponseWriter, r *http.Request) bool {
		if isWeights(s, r) && cuts.Add(1) == 1 {
			hubtest.Cut(w, data, 123_456)
		}
		return false
	})
	folder := mustModel(t, testID, s.options())
	checkFile(t, filepath.Join(folder, "model.safetensors"), data)
	got := s.Seen("GET " + weightsPath)
	if len(got) != 2 || !strings.HasPrefix(got[1], "GET "+weightsPath+" bytes=") || strings.HasSuffix(got[1], "bytes=0-") {
		t.Errorf("requests %q", got)
	}
}

// partialPath is where weights are while they are incomplete.
func partialPath(s *standIn, o Options) string {
	return filepath.Join(o.Cache, "models--owner--name", "blobs", hubtest.BlobHash("model.safetensors", s.Files["model.safetensors"])+".incomplete")
}

func putPartial(t *testing.T, s *standIn, o Options, data []byte) {
	t.Helper()
	path := partialPath(s, o)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

// What an earlier process left is used, or not, by its content.
func TestLeftover(t *testing.T) {
	data := modelFiles()["model.safetensors"]
	wrong := bytes.Clone(data[:1000])
	wrong[500] ^= 1
	for name, c := range map[string]struct {
		left   []byte
		ranges []string
	}{
		"part":         {data[:1000], []string{" bytes=1000-"}},
		"whole":        {data, nil},
		"damaged":      {wrong, []string{" bytes=1000-", ""}},
		"too long":     {append(bytes.Clone(data), 1), []string{""}},
		"damaged, all": {append(wrong, data[1000:]...), []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStandIn(t, modelFiles())
			o := s.options()
			putPartial(t, s, o, c.left)
			folder := mustModel(t, testID, o)
			checkFile(t, filepath.Join(folder, "model.safetensors"), data)
			var want []string
			for _, r := range c.ranges {
				want = append(want, "GET "+weightsPath+r)
			}
			if got := s.Seen("GET " + weightsPath); !slices.Equal(got, want) {
				t.Errorf("requests %q, want %q", got, want)
			}
			if _, err := os.Stat(partialPath(s, o)); err == nil {
				t.Error("the temporary file is still there")
			}
		})
	}
}

// A server that knows no ranges sends all again.
func TestNoRanges(t *testing.T) {
	s := newStandIn(t, modelFiles())
	o := s.options()
	putPartial(t, s, o, s.Files["model.safetensors"][:1000])
	s.Set(func(w http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("Range")
		return false
	})
	folder := mustModel(t, testID, o)
	checkFile(t, filepath.Join(folder, "model.safetensors"), s.Files["model.safetensors"])
}

// A server that sends another part than was asked for is not believed.
func TestOtherRange(t *testing.T) {
	s := newStandIn(t, modelFiles())
	o := s.options()
	data := s.Files["model.safetensors"]
	putPartial(t, s, o, data[:1000])
	s.Set(func(w http.ResponseWriter, r *http.Request) bool {
		if isWeights(s, r) {
			w.Header().Set("Content-Range", "bytes 0-298999/299000")
			w.WriteHeader(http.StatusPartialContent)
			w.Write(data[:299_000])
		}
		return isWeights(s, r)
	})
	if _, err := getModel(context.Background(), testID, o); err == nil || !strings.Contains(err.Error(), `sends "bytes 0-298999/299000" where bytes 1000-299999/300000 was asked for`) {
		t.Errorf("got %v", err)
	}
}

// Cancelling keeps what has come; a second call goes on.
func TestCancel(t *testing.T) {
	s := newStandIn(t, modelFiles())
	o := s.options()
	ctx, cancel := context.WithCancel(context.Background())
	o.Progress = func(done, total int64) {
		if done > 50_000 {
			cancel()
		}
	}
	s.Set(func(w http.ResponseWriter, r *http.Request) bool {
		if isWeights(s, r) && ctx.Err() == nil {
			w.Header().Set("Content-Length", "300000")
			w.Write(s.Files["model.safetensors"][:100_000])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		}
		return false
	})
	if _, err := getModel(ctx, testID, o); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnreachable) {
		t.Fatalf("got %v", err)
	}
	s.Seen("")
	o.Progress = nil
	mustModel(t, testID, o)
	if got := s.Seen("GET " + weightsPath); len(got) != 1 || !strings.Contains(got[0], "bytes=") {
		t.Errorf("requests %q", got)
	}
}

// Reading back what an earlier process left can be cancelled, and leaves it there.
func TestCancelReadBack(t *testing.T) {
	s := newStandIn(t, modelFiles())
	o := s.options()
	data := s.Files["model.safetensors"]
	putPartial(t, s, o, data[:1000])
	want := File{Name: "model.safetensors", Size: int64(len(data)), hash: hubtest.BlobHash("model.safetensors", data)}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := openPartial(ctx, partialPath(s, o), want); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	checkFile(t, partialPath(s, o), data[:1000])
}

// direct is a link without a network: what takes time is waiting alone, which tests need not wait for.
type direct struct{ s *standIn }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	server := d.s.Hub
	if "http://"+r.URL.Host == d.s.Storage.URL {
		server = d.s.Storage
	}
	asked := r.Clone(r.Context())
	asked.Host = r.URL.Host
	body, end := io.Pipe()
	w := &answer{header: http.Header{}, body: end, began: make(chan int, 1)}
	context.AfterFunc(r.Context(), func() { body.CloseWithError(r.Context().Err()) })
	go func() {
		server.Config.Handler.ServeHTTP(w, asked)
		w.WriteHeader(http.StatusOK)
		if r.Context().Err() == nil { // else the body ends with that
			end.Close()
		}
	}()
	select {
	case status := <-w.began:
		length, err := strconv.ParseInt(w.header.Get("Content-Length"), 10, 64)
		if err != nil {
			length = -1
		}
		return &http.Response{StatusCode: status, Header: w.header, Body: body, ContentLength: length, Request: r}, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// answer is what a server writes to.
type answer struct {
	header http.Header
	body   io.Writer
	began  chan int // gets the status
	sent   bool
}

func (a *answer) Header() http.Header { return a.header }
func (a *answer) Flush()              {}

func (a *answer) WriteHeader(status int) {
	if !a.sent {
		a.sent = true
		a.began <- status
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// timed runs a test whose time passes at once, wherever it only waits.
func timed(t *testing.T, test func(t *testing.T, s *standIn, o Options)) {
	s := newStandIn(t, modelFiles())
	o := s.options()
	o.transport = direct{s}
	synctest.Test(t, func(t *testing.T) { test(t, s, o) })
}

// A silent server is asked again.
func TestStall(t *testing.T) {
	timed(t, func(t *testing.T, s *standIn, o Options) {
		var said []string
		o.Log = func(text string) { said = append(said, text) }
		stalls := 0
		s.Set(func(w http.ResponseWriter, r *http.Request) bool {
			if !isWeights(s, r) || stalls > 0 {
				return false
			}
			stalls++
			w.Header().Set("Content-Length", "300000")
			w.Write(s.Files["model.safetensors"][:1000])
			<-r.Context().Done()
			return true
		})
		began := time.Now()
		mustModel(t, testID, o)
		if took := time.Since(began); took != o.pace.stall+o.pace.first {
			t.Errorf("took %v", took)
		}
		if len(said) != 1 || !strings.Contains(said[0], "silent") {
			t.Errorf("said %q", said)
		}
		if got := s.Seen("GET " + weightsPath); len(got) != 2 || got[1] != "GET "+weightsPath+" bytes=1000-" {
			t.Errorf("requests %q", got)
		}
	})
}

// A server that is slow but not silent is let be.
func TestSlow(t *testing.T) {
	timed(t, func(t *testing.T, s *standIn, o Options) {
		o.Log = func(text string) { t.Error(text) }
		s.Set(func(w http.ResponseWriter, r *http.Request) bool {
			if !isWeights(s, r) {
				return false
			}
			for part := range slices.Chunk(s.Files["model.safetensors"], minChunk) {
				time.Sleep(o.pace.stall * 9 / 10)
				w.Write(part)
			}
			return true
		})
		mustModel(t, testID, o)
	})
}

// TestBusy: what passes is waited for, as long as the server asks but within bounds.
func TestBusy(t *testing.T) {
	for _, c := range []struct {
		status, times int
		after         string
		took          time.Duration
		want          string // of the error
	}{
		{status: 429, times: 1, after: "1", took: time.Second},
		{status: 503, times: 2, took: 3 * time.Millisecond},
		{status: 500, times: 3, took: 7 * time.Millisecond},
		{status: 503, times: 1, after: "Thu, 01 Jan 1998 00:00:00 GMT", took: time.Millisecond},
		{status: 503, times: 1, after: "Sat, 01 Jan 2000 00:00:02 GMT", took: 2 * time.Second}, // time begins at the year 2000
		{status: 503, times: 4, took: 7 * time.Millisecond, want: "answers 503 (4 attempts)"},
		{status: 429, times: 1, after: "100000", want: "asks to wait 27h46m40s"},
		{status: 429, times: 1, after: "Mon, 03 Jan 2000 02:00:00 GMT", want: "asks to wait 50h0m0s"},
	} {
		for _, at := range []string{"/revision/main", "/resolve/" + testCommit + weightsPath} {
			t.Run(fmt.Sprint(c.status, " ", c.times, c.after, at), func(t *testing.T) {
				timed(t, func(t *testing.T, s *standIn, o Options) {
					n := 0
					s.Set(func(w http.ResponseWriter, r *http.Request) bool {
						if !strings.HasSuffix(r.URL.Path, at) || n >= c.times {
							return false
						}
						n++
						w.Header().Set("Retry-After", c.after)
						w.WriteHeader(c.status)
						return true
					})
					began := time.Now()
					_, err := getModel(context.Background(), testID, o)
					switch took := time.Since(began); {
					case c.want == "" && err != nil:
						t.Error(err)
					case c.want != "" && (!errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), c.want)):
						t.Errorf("got %v, want %q", err, c.want)
					case took != c.took:
						t.Errorf("took %v, want %v", took, c.took)
					}
				})
			})
		}
	}
}

// Waiting ends when the caller gives up.
func TestCancelWait(t *testing.T) {
	s := newStandIn(t, modelFiles())
	o := s.options()
	o.pace.longest = time.Hour
	ctx, cancel := context.WithCancel(context.Background())
	o.Log = func(text string) { cancel() }
	s.Set(func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Retry-After", "600")
		w.WriteHeader(429)
		return true
	})
	if _, err := getModel(ctx, testID, o); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// An address of the storage that has expired is asked for anew.
func TestExpiredAddress(t *testing.T) {
	s := newStandIn(t, modelFiles())
	var n atomic.Int32
	s.Set(func(w http.ResponseWriter, r *http.Request) bool {
		if isWeights(s, r) && n.Add(1) == 1 {
			w.WriteHeader(403)
			return true
		}
		return false
	})
	mustModel(t, testID, s.options())
}

func TestFullDisk(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /dev/full")
	}
	t.Cleanup(func() { openFile = os.OpenFile })
	openFile = func(string, int, os.FileMode) (*os.File, error) { return os.OpenFile("/dev/full", os.O_RDWR, 0) }
	s := newStandIn(t, modelFiles())
	_, err := getModel(context.Background(), testID, s.options())
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "owner/name: config.json: ") || !strings.Contains(err.Error(), "22 bytes are still to come; make room") {
		t.Errorf("got %v", err)
	}
}

// Processes that want the same file at once fetch it once.
func TestProcesses(t *testing.T) {
	if endpoint := os.Getenv("HUB_TEST_ENDPOINT"); endpoint != "" { // one of them
		folder, err := getModel(context.Background(), testID, Options{Endpoint: endpoint, Cache: os.Getenv("HUB_TEST_CACHE")})
		if err != nil {
			t.Fatal(err)
		}
		checkFile(t, filepath.Join(folder, "model.safetensors"), modelFiles()["model.safetensors"])
		return
	}
	s := newStandIn(t, modelFiles())
	s.Set(func(w http.ResponseWriter, r *http.Request) bool {
		if isWeights(s, r) {
			time.Sleep(300 * time.Millisecond) // so that they meet
		}
		return false
	})
	o := s.options()
	var all []*exec.Cmd
	for range 3 {
		c := exec.Command(os.Args[0], "-test.run=^TestProcesses$", "-test.count=1")
		c.Env = append(os.Environ(), "HUB_TEST_ENDPOINT="+s.Hub.URL, "HUB_TEST_CACHE="+o.Cache)
		c.Stdout, c.Stderr = os.Stderr, os.Stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	for _, c := range all {
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
	if got := s.Seen("GET " + weightsPath); len(got) != 1 {
		t.Errorf("requests %q", got)
	}
}
