package backend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	goxla "github.com/gomlx/go-xla/installer"
)

// silence is how long a server may say nothing.
const silence = 15 * time.Second

// errSilent ends a download that no longer moves.
var errSilent = fmt.Errorf("no answer for %s", silence)

// fetchRelease has go-xla's installer download and unpack its release of the CPU plugin under dir. The installer verifies nothing, so
// the archive that it leaves in its cache is held against the checksum that the release page states.
func (i installer) fetchRelease(ctx context.Context, dir string) (plugin string, err error) {
	watch := newWatch(ctx, i.transport, i.log)
	defer watch.end()
	if err := apart(dir, watch, func() error { return goxla.CPUAutoInstall(filepath.Join(dir, "lib"), true, goxla.Quiet) }); err != nil {
		if cause := context.Cause(watch.ctx); cause != nil {
			return "", cause
		}
		return "", err
	}
	archives, _ := filepath.Glob(filepath.Join(globEscape.Replace(dir), "cache", "go-xla", "*.tar.gz"))
	if len(archives) == 0 { // where the user's caches are elsewhere
		archives, _ = filepath.Glob(filepath.Join(globEscape.Replace(dir), "Library", "Caches", "go-xla", "*.tar.gz"))
	}
	if len(archives) != 1 {
		return "", fmt.Errorf("the installer left %d archives, not one", len(archives))
	}
	if err := watch.verify(archives[0]); err != nil {
		return "", err
	}
	plugins := pluginsIn(filepath.Join(dir, "lib"), XLACPU)
	if len(plugins) == 0 {
		return "", errors.New("the release holds no CPU plugin")
	}
	return filepath.EvalSymlinks(plugins[0]) // the first is a link to the versioned one
}

// apart calls the installer with its temporary files and caches under dir, its spinner, which would write to standard output, unseen,
// and its requests made by transport. It changes what the whole process shares for that time, since the installer knows no other way.
func apart(dir string, transport http.RoundTripper, call func() error) error {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	openMu.Lock() // opening a backend depends on the environment too
	defer openMu.Unlock()
	for name, value := range map[string]string{"TMPDIR": dir, "XDG_CACHE_HOME": filepath.Join(dir, "cache"), "HOME": dir} {
		was, set := os.LookupEnv(name)
		os.Setenv(name, value)
		defer func() {
			if os.Setenv(name, was); !set {
				os.Unsetenv(name)
			}
		}()
	}
	stdout, client := os.Stdout, http.DefaultTransport
	os.Stdout, http.DefaultTransport = null, transport
	defer func() { os.Stdout, http.DefaultTransport = stdout, client }()
	return guarded("go-xla's installer panicked", call)
}

// watch is a transport whose requests end with a context, or when nothing comes for some time; it logs the progress of what is long,
// and keeps the page that describes the release.
type watch struct {
	ctx     context.Context
	end     context.CancelFunc
	idle    *time.Timer
	base    http.RoundTripper
	log     io.Writer
	mu      sync.Mutex
	release []byte
}

func newWatch(ctx context.Context, base http.RoundTripper, log io.Writer) *watch {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{ctx: ctx, end: func() { cancel(nil) }, base: base, log: log}
	w.idle = time.AfterFunc(silence, func() { cancel(errSilent) })
	context.AfterFunc(ctx, func() { w.idle.Stop() })
	return w
}

func (w *watch) RoundTrip(r *http.Request) (*http.Response, error) {
	w.idle.Reset(silence)
	answer, err := w.base.RoundTrip(r.WithContext(w.ctx))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusOK && strings.Contains(answer.Header.Get("Content-Type"), "json") {
		page, err := io.ReadAll(io.LimitReader(answer.Body, 8<<20))
		answer.Body.Close()
		if err != nil {
			return nil, err
		}
		w.mu.Lock()
		w.release = page
		w.mu.Unlock()
		answer.Body = io.NopCloser(bytes.NewReader(page))
		return answer, nil
	}
	answer.Body = &watchedBody{ReadCloser: answer.Body, watch: w, total: answer.ContentLength, shown: time.Now()}
	return answer, nil
}

type watchedBody struct {
	io.ReadCloser
	*watch
	read, total int64
	shown       time.Time
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.idle.Reset(silence)
	b.read += int64(n)
	if time.Since(b.shown) > 2*time.Second {
		b.shown = time.Now()
		fmt.Fprintf(b.log, "%d of %d MB\n", b.read>>20, b.total>>20)
	}
	return n, err
}

// verify holds an archive, whose name ends in that of a file of the release, against its checksum.
func (w *watch) verify(archive string) error {
	var page struct {
		Assets []struct {
			Name   string `json:"name"`
			Digest string `json:"digest"` // "sha256:…"
		} `json:"assets"`
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := json.Unmarshal(w.release, &page); err != nil {
		return fmt.Errorf("the release page: %w", err)
	}
	for _, a := range page.Assets {
		if want, ok := strings.CutPrefix(a.Digest, "sha256:"); ok && strings.HasSuffix(filepath.Base(archive), "_"+a.Name) {
			if got := fileSHA256(archive); got != want {
				return fmt.Errorf("%s has the checksum %s, not %s as the release page states", a.Name, got, want)
			}
			return nil
		}
	}
	return errors.New("the release page states no checksum")
}
