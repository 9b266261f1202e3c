package backend

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fakePip is a python3 whose pip writes a file in the place of the plugin, once it has checked how it was called.
const fakePip = `#!/bin/sh
case "$*" in
"-m pip --version") exit 0;;
*"--no-deps --only-binary :all: --require-hashes --target "*) ;;
*) echo "odd call: $*"; exit 9;;
esac
while [ "$1" != --target ]; do shift; done
grep -q '==.* --hash=sha256:................' "$4" || exit 8
/bin/mkdir -p "$2/%[1]s" && echo plugin >"$2/%[2]s" && echo installed by pip
`

// newInstaller is an installer on a machine without anything, whose network is refused.
func newInstaller(t *testing.T) (i *installer, home string, log *bytes.Buffer) {
	t.Helper()
	if !xlaBuilt {
		t.Skip(noXLA)
	}
	m, home := bare(t)
	log = &bytes.Buffer{}
	refused := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no network") }}
	return &installer{machine: m, transport: refused, log: log, try: func(_ context.Context, _, plugin string) error {
		if text, err := os.ReadFile(plugin); err != nil || !strings.HasPrefix(string(text), "plugin") {
			return fmt.Errorf("%s is not what was fetched: %q, %v", plugin, text, err)
		}
		return nil
	}}, home, log
}

// putPython puts a python3 on PATH.
func putPython(t *testing.T, home, script string) {
	t.Helper()
	t.Setenv("PATH", filepath.Dir(put(t, script, home, "bin", "python3"))+":/usr/bin:/bin")
}

func pipOf(name string) string {
	member := wheelMembers[name][0]
	return fmt.Sprintf(fakePip, filepath.Dir(member), member)
}

// files lists what an installation has left under the folder of plugins.
func files(t *testing.T, home string) (list []string) {
	t.Helper()
	root := filepath.Join(home, pluginsDir)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, strings.TrimPrefix(path, root+"/"))
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(root, ".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	return list
}

// Without go-xla's release pip is called, and what it brings is found afterwards. A plugin that did not open is replaced.
func TestInstallByPip(t *testing.T) {
	i, home, log := newInstaller(t)
	if !onLinuxAMD64() {
		t.Skip("the wheel is for x86-64 Linux alone")
	}
	putPython(t, home, pipOf(XLACPU))
	want := put(t, "broken", pluginFolder(home, XLACPU), "pjrt_c_api_cpu_plugin.so")
	done, err := i.install(t.Context(), XLACPU)
	if err != nil {
		t.Fatal(err)
	}
	if done.Plugin != want || done.Already || done.Folder != filepath.Dir(want) {
		t.Errorf("%+v", done)
	}
	mention(t, done.From, "lammps-jax-pjrt-cpu==0.11.2")
	mention(t, log.String(), "go-xla's release", "no network", "installed by pip")
	if got := files(t, home); len(got) != 1 || got[0] != "cpu/pjrt_c_api_cpu_plugin.so" {
		t.Errorf("left %q", got)
	}
	if found, _ := i.candidates(XLACPU, wish{}); len(found) != 1 || found[0].path != want {
		t.Errorf("found %v", found)
	}
}

// The packages of CUDA stay together, and are refused without a GPU.
func TestInstallCUDA(t *testing.T) {
	i, home, _ := newInstaller(t)
	if !onLinuxAMD64() {
		t.Skip("the wheels are for x86-64 Linux alone")
	}
	putPython(t, home, pipOf(XLACUDA))
	_, err := i.install(t.Context(), XLACUDA)
	if !errors.Is(err, ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	mention(t, err.Error(), noGPU)
	i.hasGPU = func() bool { return true }
	done, err := i.install(t.Context(), XLACUDA)
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(pluginFolder(home, XLACUDA), wheelMembers[XLACUDA][0])
	if done.Plugin != want || !exists(want) {
		t.Errorf("%+v", done)
	}
	if found, _ := i.candidates(XLACUDA, wish{}); len(found) != 1 || found[0].path != want {
		t.Errorf("found %v", found)
	}
}

// Where nothing works, the error has every attempt and the steps by hand, and nothing is left.
func TestInstallFails(t *testing.T) {
	for name, test := range map[string]struct{ python, want string }{
		"no python":    {"", "no python3 on PATH"},
		"no pip":       {"#!/bin/sh\nexit 1\n", "apt install python3-venv"},
		"pip fails":    {"#!/bin/sh\n[ \"$3\" = --version ] || { echo THESE PACKAGES DO NOT MATCH THE HASHES; exit 1; }\n", "pip install: exit status 1"},
		"no plugin":    {"#!/bin/sh\nexit 0\n", "left no lammps"},
		"not a plugin": {strings.ReplaceAll(pipOf(XLACPU), "echo plugin", "echo garbage"), "not what was fetched"},
	} {
		t.Run(name, func(t *testing.T) {
			i, home, _ := newInstaller(t)
			if !onLinuxAMD64() {
				t.Skip("the wheel is for x86-64 Linux alone")
			}
			if test.python != "" {
				putPython(t, home, test.python)
			}
			_, err := i.install(t.Context(), XLACPU)
			if err == nil || errors.Is(err, ErrUnavailable) {
				t.Fatalf("got %v", err)
			}
			mention(t, err.Error(), "could not be installed:\n", "no network", test.want, "by hand:\npython3 -m venv", cpuPluginSHA)
			if got := files(t, home); len(got) > 0 {
				t.Errorf("left %q", got)
			}
		})
	}
}

// Ctrl-C while pip runs leaves nothing, and is reported as such.
func TestInstallInterrupted(t *testing.T) {
	i, home, _ := newInstaller(t)
	if !onLinuxAMD64() {
		t.Skip("the wheel is for x86-64 Linux alone")
	}
	started := filepath.Join(home, "started")
	putPython(t, home, "#!/bin/sh\n[ \"$3\" = --version ] && exit 0\necho >"+started+"\nexec sleep 60\n")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for !exists(started) {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
	}()
	_, err := i.install(ctx, XLACPU)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := files(t, home); len(got) > 0 {
		t.Errorf("left %q", got)
	}
}

// releases is a stand-in for the servers of go-xla's releases: all requests arrive there.
func releases(t *testing.T, digest func(archive []byte) string) http.RoundTripper {
	t.Helper()
	var archive bytes.Buffer
	zipped := gzip.NewWriter(&archive)
	packed := tar.NewWriter(zipped)
	text := "plugin of a release\n"
	for _, err := range []error{
		packed.WriteHeader(&tar.Header{Name: "pjrt_c_api_cpu_v0.114.0_plugin.so", Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg}),
		func() error { _, err := io.WriteString(packed, text); return err }(), packed.Close(), zipped.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	type asset struct {
		Name   string `json:"name"`
		URL    string `json:"browser_download_url"`
		Digest string `json:"digest"`
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".tar.gz") {
			w.Write(archive.Bytes())
			return
		}
		var assets []asset
		for _, platform := range []string{"linux_amd64", "linux_arm64", "darwin_arm64"} {
			name := "pjrt_cpu_" + platform + ".tar.gz"
			assets = append(assets, asset{name, "https://files.example/v/" + name, digest(archive.Bytes())})
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		json.NewEncoder(w).Encode(map[string]any{"tag_name": "v0.114.0", "assets": assets})
	}))
	t.Cleanup(server.Close)
	to, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return redirected(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.URL.Scheme, r.URL.Host = to.Scheme, to.Host
		return server.Client().Transport.RoundTrip(r)
	})
}

type redirected func(*http.Request) (*http.Response, error)

func (f redirected) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestInstallRelease(t *testing.T) {
	sum := func(archive []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(archive)) }
	for name, test := range map[string]struct {
		digest  func([]byte) string
		problem string
	}{
		"whole":       {sum, ""},
		"altered":     {func(b []byte) string { return sum(b[1:]) }, "as the release page states"},
		"no checksum": {func([]byte) string { return "" }, "states no checksum"},
	} {
		t.Run(name, func(t *testing.T) {
			i, home, log := newInstaller(t)
			i.transport = releases(t, test.digest)
			stdout, client := os.Stdout, http.DefaultTransport
			done, err := i.install(t.Context(), XLACPU)
			if os.Stdout != stdout || http.DefaultTransport != client || os.Getenv("HOME") != home {
				t.Error("the process was not put back as it was")
			}
			got := files(t, home)
			if test.problem != "" {
				if err == nil || len(got) > 0 {
					t.Fatalf("%+v, %v, left %q", done, err, got)
				}
				mention(t, err.Error(), test.problem)
				return
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			if len(got) != 1 || got[0] != "cpu/pjrt_c_api_cpu_plugin"+libraryExt || done.From != "go-xla's release" {
				t.Errorf("%+v, left %q", done, got)
			}
		})
	}
}

// A server that takes the request and says nothing does not hold an installation up once the user ends it.
func TestInstallReleaseHangs(t *testing.T) {
	i, home, _ := newInstaller(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	i.transport = redirected(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	if _, err := i.install(ctx, XLACPU); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if got := files(t, home); len(got) > 0 {
		t.Errorf("left %q", got)
	}
}

// What works is left alone; a real plugin passes the trial, a text file does not.
func TestInstallAlready(t *testing.T) {
	plugin := cpuPlugin(t)
	i, home, _ := newInstaller(t)
	if err := tryPlugin(t.Context(), XLACPU, plugin); err != nil {
		t.Error(err)
	}
	if err := tryPlugin(t.Context(), XLACPU, put(t, "text", home, "x.so")); err == nil {
		t.Error("a text file passed for a plugin")
	}
	t.Setenv(pluginPathEnv, filepath.Dir(plugin))
	done, err := i.install(t.Context(), XLACPU)
	if err != nil || !done.Already || done.Plugin != plugin {
		t.Errorf("%+v, %v", done, err)
	}
	if got := files(t, home); len(got) > 0 {
		t.Errorf("left %q", got)
	}
}
