package backend

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// bare is a machine without system folders, with an empty home folder and an environment that names no plugin.
func bare(t *testing.T) (m machine, home string) {
	t.Helper()
	home = t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("PATH", home)
	for _, name := range []string{gomlxEnv, pluginPathEnv, "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		t.Setenv(name, "")
	}
	return machine{hasGPU: func() bool { return false }}, home
}

// put writes a file with its folders and returns its path.
func put(t *testing.T, content string, elements ...string) string {
	t.Helper()
	path := filepath.Join(elements...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func mention(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not mention %q", text, want)
		}
	}
}

func mustOpen(t *testing.T, m machine, name, want string) *Choice {
	t.Helper()
	c, err := m.open(name)
	if err != nil {
		t.Fatalf("open %q: %v", name, err)
	}
	t.Cleanup(c.Close)
	if c.Name != want || strings.Contains(c.Why, "\n") {
		t.Fatalf("open %q: %s, want %s; why: %q", name, c.Name, want, c.Why)
	}
	return c
}

func TestOpenUnknownName(t *testing.T) {
	m, _ := bare(t)
	_, err := m.open("tpu")
	if !errors.Is(err, ErrConfig) {
		t.Fatalf("got %v", err)
	}
	mention(t, err.Error(), "tpu", Auto, Go, XLACPU, XLACUDA)
}

func TestOpenWithoutPlugins(t *testing.T) {
	m, home := bare(t)
	for _, name := range []string{Auto, ""} {
		c := mustOpen(t, m, name, Go)
		if xlaBuilt {
			mention(t, c.Why, "no XLA plugin found", "bitdistill doctor")
		} else {
			mention(t, c.Why, noXLA)
		}
	}
	mustOpen(t, m, Go, Go)

	_, err := m.open(XLACPU)
	if !errors.Is(err, ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	if !xlaBuilt {
		mention(t, err.Error(), noXLA)
		return
	}
	mention(t, err.Error(), home, "bitdistill doctor --install xla")
	_, err = m.open(XLACUDA)
	if !errors.Is(err, ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	mention(t, err.Error(), "no NVIDIA GPU")
}

func TestOpenGarbagePlugin(t *testing.T) {
	if !xlaBuilt {
		t.Skip(noXLA)
	}
	const file = "pjrt_c_api_cpu_plugin.so"
	places := map[string]func(t *testing.T, m *machine, home string) string{
		"home": func(t *testing.T, _ *machine, home string) string {
			return put(t, "garbage", home, ".local/lib/go-xla", file)
		},
		"system": func(t *testing.T, m *machine, home string) string {
			m.folders = []string{home + "/s"}
			return put(t, "", home, "s", file)
		},
		"wheel": func(t *testing.T, _ *machine, home string) string {
			return put(t, "\x7fELF", home, xlaEnv, "lib/python3.12/site-packages", wheelMembers[XLACPU][0])
		},
		"folders": func(t *testing.T, _ *machine, home string) string {
			t.Setenv(pluginPathEnv, "/nowhere:"+home+"/p")
			return put(t, "x", home, "p", file)
		},
		"path": func(t *testing.T, _ *machine, home string) string {
			p := put(t, "x", home, file)
			t.Setenv(gomlxEnv, "xla:"+p)
			return p
		},
		"missing": func(t *testing.T, _ *machine, home string) string {
			p := home + "/cpu/" + file
			t.Setenv(gomlxEnv, "xla:"+p)
			return p
		},
	}
	for place, prepare := range places {
		t.Run(place, func(t *testing.T) {
			if runtime.GOOS == "darwin" && place == "home" {
				t.Skip("another folder on this system")
			}
			m, home := bare(t)
			path := prepare(t, &m, home)
			_, err := m.open(XLACPU)
			if !errors.Is(err, ErrUnavailable) {
				t.Fatalf("got %v", err)
			}
			mention(t, err.Error(), path, "could be loaded")
			c := mustOpen(t, m, Auto, Go)
			mention(t, c.Why, path)
		})
	}
}

func TestOpenHonoursEnvironment(t *testing.T) {
	m, _ := bare(t)
	t.Setenv(gomlxEnv, "go:creation_order")
	mention(t, mustOpen(t, m, Auto, Go).Why, gomlxEnv)
	t.Setenv(gomlxEnv, "xla:cpu,tf32=false") // a name given by the caller wins
	mention(t, mustOpen(t, m, Go, Go).Why, "asked for by name")
	if xlaBuilt {
		mention(t, mustOpen(t, m, Auto, Go).Why, "xla:cpu: no plugin found")
	}
	t.Setenv(gomlxEnv, "go:ops_parallel")
	for _, name := range []string{Auto, Go} {
		if _, err := m.open(name); !errors.Is(err, ErrConfig) {
			t.Errorf("%s with ops_parallel: %v", name, err)
		}
	}
}

func TestCloseTwice(t *testing.T) {
	m, _ := bare(t)
	c := mustOpen(t, m, Go, Go)
	c.Close()
	c.Close()
	(*Choice)(nil).Close()
}

// TestGoBackendDoesNotDeadlock runs a graph of independent products, on which GoMLX's parallel executor hangs.
func TestGoBackendDoesNotDeadlock(t *testing.T) {
	m, _ := bare(t)
	c := mustOpen(t, m, Go, Go)
	const n = 256
	exec, err := graph.NewExec(c.Backend, func(x *graph.Node) *graph.Node {
		sum := graph.ScalarZero(x.Graph(), x.DType())
		for i := range 16 {
			y := graph.AddScalar(x, float64(i))
			sum = graph.Add(sum, graph.ReduceAllSum(graph.Dot(y, y).Product()))
		}
		return sum
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		var err error
		for range 3 {
			if _, err = exec.Call1(tensors.FromFlatDataAndDimensions(patterned(n, 7), n, n)); err != nil {
				break
			}
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("the pure-Go backend hangs")
	}
}
