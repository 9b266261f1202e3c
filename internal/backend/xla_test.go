package backend

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// cpuPlugin returns this machine's first CPU plugin, or skips the test with a word; BITDISTILL_NO_SKIP=1 makes that a failure.
func cpuPlugin(t *testing.T) string {
	t.Helper()
	if xlaBuilt {
		if found, _ := thisMachine().candidates(XLACPU, wish{}); len(found) > 0 {
			return found[0].path
		}
	}
	message := "XLA IS NOT TESTED: no CPU plugin on this machine, or no XLA in this build; the steps to get it: bitdistill doctor"
	if os.Getenv("BITDISTILL_NO_SKIP") == "1" {
		t.Fatal(message)
	}
	t.Skip(message)
	return ""
}

// TestXLACPU multiplies on the plugin and compares with a loop, opens it twice, and closes it with results still alive.
func TestXLACPU(t *testing.T) {
	plugin := cpuPlugin(t)
	m, home := bare(t)
	t.Setenv(pluginPathEnv, filepath.Dir(plugin))
	for _, name := range []string{XLACPU, Auto} {
		c := mustOpen(t, m, name, XLACPU)
		mention(t, c.Why, plugin)
		exec, err := graph.NewExec(c.Backend, func(x, y *graph.Node) *graph.Node { return graph.Dot(x, y).Product() })
		if err != nil {
			t.Fatal(err)
		}
		const n = 37
		x, y := patterned(n, 7), patterned(n, 5)
		out, err := exec.Call1(tensors.FromFlatDataAndDimensions(x, n, n), tensors.FromFlatDataAndDimensions(y, n, n))
		if err != nil {
			t.Fatal(err)
		}
		got, err := tensors.CopyFlatData[float32](out)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n * n {
			var want float32
			for k := range n {
				want += x[i/n*n+k] * y[k*n+i%n]
			}
			if got[i] != want {
				t.Fatalf("entry %d: %g, want %g", i, got[i], want)
			}
		}
		c.Close()
		runtime.GC()
	}

	// A folder whose name go-xla would read as another kind of plugin with options.
	odd := filepath.Join(home, "cuda,nvidia")
	if err := os.Mkdir(odd, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(odd, "pjrt_c_api_cpu_plugin"+libraryExt)
	if err := os.Symlink(plugin, link); err != nil {
		t.Fatal(err)
	}
	t.Setenv(pluginPathEnv, odd)
	for range 2 {
		c := mustOpen(t, m, XLACPU, XLACPU)
		if c.Plugin != link {
			t.Errorf("plugin %s", c.Plugin)
		}
		c.Close()
	}
	s := m.examine(t.Context(), XLACPU)
	if !s.Available || s.Problem != "" || s.Matmul == nil || len(s.Devices) == 0 || len(s.PluginSHA256) != 64 {
		t.Errorf("%+v", s)
	}
	t.Logf("%s: tried release: %v; %.0f GFLOP/s", plugin, s.PluginTried, s.Matmul.GFLOPS)
}

// TestXLATruncatedPlugin cuts a real plugin short: the dynamic loader would crash the program.
func TestXLATruncatedPlugin(t *testing.T) {
	plugin := cpuPlugin(t)
	if runtime.GOOS != "linux" {
		t.Skip("libraries are checked by their ELF headers, on Linux")
	}
	m, home := bare(t)
	in, err := os.Open(plugin)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	half := filepath.Join(home, "pjrt_c_api_cpu_plugin.so")
	out, err := os.Create(half)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(out, in, 10<<20); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	t.Setenv(gomlxEnv, "xla:"+half)
	_, err = m.open(XLACPU)
	if err == nil {
		t.Fatal("opened")
	}
	mention(t, err.Error(), half, "install the plugin again")
	mustOpen(t, m, Auto, Go)
}
