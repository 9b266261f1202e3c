//go:build cgo && !noxla && ((linux && (amd64 || arm64)) || (darwin && arm64))

package backend

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/go-xla/pjrt"
	"k8s.io/klog/v2"
)

const xlaBuilt = true

// newXLA hands the plugin at path to go-xla. The plugin's own logging is already low: go-xla sets
// TF_CPP_MIN_LOG_LEVEL when the program starts, unless the user has set it.
func newXLA(name, path, options string) (compute.Backend, error) {
	openMu.Lock()
	defer openMu.Unlock()
	xla.EnableAutoInstall(false) // never the network
	defer quietKlog()()

	if name == XLACUDA {
		setCUDADataDir(path)
	}
	config, done, err := safePath(name, path)
	if err != nil {
		return nil, err
	}
	defer done()
	options, devices, err := cutDevices(options)
	if err != nil {
		return nil, err
	}
	if options != "" {
		config += "," + options
	}
	plugin := pjrt.NamedValuesMap{}
	if devices > 0 {
		plugin[cpuDevices] = int64(devices)
	}
	b, err := xla.NewWithOptions(config, plugin)
	if err != nil {
		return nil, err // not b: a nil *xla.Backend is no nil interface
	}
	return b, nil
}

// quietKlog discards go-xla's log lines, which repeat the errors it returns, until the returned function is called.
func quietKlog() (restore func()) {
	state := klog.CaptureState()
	klog.SetLogger(klog.Logger{}) // the zero Logger drops everything
	return state.Restore
}

// aliases remembers under which path go-xla knows a plugin, since it loads each path it has not seen anew.
var aliases = map[string]string{}

// safePath returns a path for the plugin that go-xla understands (see trapped): a link in a temporary folder for a CPU
// plugin in, say, /opt/cuda-env. A CUDA plugin finds NVIDIA's libraries relative to its path, so a link to it would
// not load. done removes the link; a loaded library does not need it.
func safePath(name, path string) (safe string, done func(), err error) {
	if !trapped(name, path) {
		return path, func() {}, nil
	}
	if alias, ok := aliases[path]; ok {
		return alias, func() {}, nil
	}
	if name == XLACUDA {
		return "", nil, errTrapped
	}
	dir, err := os.MkdirTemp("", "bitdistill-")
	if err != nil {
		return "", nil, err
	}
	done = func() { os.RemoveAll(dir) }
	alias := filepath.Join(dir, "pjrt_c_api_cpu_plugin"+libraryExt)
	if err := os.Symlink(path, alias); err != nil {
		done()
		return "", nil, err
	}
	if trapped(name, alias) {
		done()
		return "", nil, errTrapped
	}
	aliases[path] = alias
	return alias, done, nil
}

var errTrapped = errors.New(`go-xla would misread this path: of "cpu", "cuda" and "nvidia" it may hold only what the plugin is, and no comma; move the plugin or its environment`)

// setCUDADataDir tells XLA where ptxas and libdevice are when the plugin is in a Python environment:
// in nvidia/cu13 or nvidia/cuda_nvcc beside jax_plugins.
func setCUDADataDir(plugin string) {
	const flag = "--xla_gpu_cuda_data_dir"
	flags := os.Getenv("XLA_FLAGS")
	if strings.Contains(flags, flag) {
		return
	}
	site := filepath.Dir(filepath.Dir(filepath.Dir(plugin)))
	for _, dir := range []string{"nvidia/cu13", "nvidia/cuda_nvcc"} {
		if dir = filepath.Join(site, dir); exists(dir) {
			os.Setenv("XLA_FLAGS", strings.TrimSpace(flags+" "+flag+"="+dir))
			return
		}
	}
}
