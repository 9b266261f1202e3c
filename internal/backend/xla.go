package backend

import (
	"fmt"
	"runtime"
	"strings"
	"sync"

	"github.com/gomlx/compute"
)

// Why there is no XLA, or none on GPUs.
const (
	noXLA = "this build has no XLA (CGO_ENABLED=0, -tags noxla or a platform without it)"
	noGPU = "no NVIDIA GPU found (no /dev/nvidia* and no /dev/dxg)"
)

// cpuPluginSHA is the hash of the library in the wheel that this project is tried with (wheels/cpu.txt). Results of other versions
// differ in the 6th or 7th digit.
const cpuPluginSHA = "ad1309ac822b1b24d51b7f9947c7c9fa9ef5d67f390584cbc3d1fa2428fed9c2"

// openMu serializes opening and installing: both change process-wide state for a moment (klog, the environment, aliases).
var openMu sync.Mutex

// openXLA opens the XLA backend called name with the first plugin that loads.
func (m machine) openXLA(name string, w wish) (*Choice, error) {
	missing := &unavailableError{name: name, steps: m.steps(name)}
	if !xlaBuilt {
		missing.reason = noXLA
		missing.steps = []string{"build with cgo, a C compiler and without the tag noxla"}
		return nil, missing
	}
	if name == XLACUDA && w.path == "" && !m.hasGPU() {
		missing.reason = noGPU
		missing.steps = nil
		return nil, missing
	}
	options := ""
	if w.fits(name) {
		options = w.options
	}
	found, searched := m.candidates(name, w)
	for _, c := range found {
		b, err := loadXLA(name, c.path, options)
		if err != nil {
			missing.failed = append(missing.failed, err)
			continue
		}
		why := fmt.Sprintf("backend %s: plugin %s from %s", name, c.path, c.from)
		for _, skipped := range missing.failed {
			why += "; passed over " + oneLine(skipped)
		}
		if name == XLACPU && m.hasGPU() {
			why += `; this machine has an NVIDIA GPU, for xla:cuda see "bitdistill doctor"`
		}
		return &Choice{Backend: b, Name: name, Plugin: c.path, Why: why}, nil
	}
	missing.reason, missing.searched = "no plugin found", searched
	if len(found) > 0 {
		missing.reason = "no plugin could be loaded"
	}
	return nil, missing
}

// loadXLA opens one plugin; every error names it.
func loadXLA(name, path, options string) (compute.Backend, error) {
	if err := checkLibrary(path); err != nil {
		return nil, err
	}
	var b compute.Backend
	err := guarded("opening it panicked", func() (err error) {
		b, err = newXLA(name, path, options)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

// unavailableError says why an XLA backend did not open; it wraps ErrUnavailable.
type unavailableError struct {
	name     string
	reason   string
	failed   []error  // what was found and did not load
	searched []string // places
	steps    []string // how to get it
}

func (e *unavailableError) Unwrap() error { return ErrUnavailable }

// Error is for a person who asked for this backend, so it has as many lines as that takes.
func (e *unavailableError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "backend %s is not available: %s", e.name, e.reason)
	for _, err := range e.failed {
		fmt.Fprintf(&b, "\n  %s", oneLine(err))
	}
	list := func(title string, lines []string) {
		if len(lines) > 0 {
			fmt.Fprintf(&b, "\n%s\n    %s", title, strings.Join(lines, "\n    "))
		}
	}
	if len(e.failed) == 0 {
		list("  looked for it in", e.searched)
	}
	list("  to get it", e.steps)
	return b.String()
}

// short is the error in one line, without the backend's name and the advice.
func (e *unavailableError) short() string {
	s := e.reason
	for _, err := range e.failed {
		s += ": " + oneLine(err)
	}
	return s
}

// oneLine returns the error's text without its line breaks.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

// steps is the command that makes the XLA backend called name available.
func (m machine) steps(name string) []string {
	if name == XLACPU {
		name = "xla"
	}
	return []string{"bitdistill doctor --install " + name}
}

// manual lists the commands for where that command does not get through.
func (m machine) manual(name string) []string {
	if !onLinuxAMD64() {
		return []string{"put a PJRT CPU plugin for " + runtime.GOOS + "/" + runtime.GOARCH + ", called " +
			"pjrt_c_api_cpu_plugin" + libraryExt + ", into a folder named by " + pluginPathEnv}
	}
	if name == XLACUDA {
		return []string{
			"python3 -m venv ~/" + cudaEnv,
			"~/" + cudaEnv + `/bin/pip install "jax[cuda13]"   (brings jax-cuda13-pjrt and NVIDIA's libraries)`,
		}
	}
	return []string{
		"python3 -m venv ~/" + xlaEnv,
		"~/" + xlaEnv + "/bin/pip install --no-deps " + firstWheel(XLACPU),
		"check that sha256sum ~/" + xlaEnv + "/lib/python3*/site-packages/" + wheelMembers[XLACPU][0],
		"prints " + cpuPluginSHA,
	}
}

// hint is the step for the backend that suits this machine.
func (m machine) hint() string {
	if m.hasGPU() {
		return m.steps(XLACUDA)[0]
	}
	return m.steps(XLACPU)[0]
}

// trapped tells whether go-xla would take the plugin at path for something else: it looks for "cpu", "cuda" and
// "nvidia" anywhere in the path and for options after a comma.
func trapped(name, path string) bool {
	upper := strings.ToUpper(path)
	cuda := strings.Contains(upper, "CUDA") || strings.Contains(upper, "NVIDIA")
	cpu := strings.Contains(upper, "CPU")
	return cuda != (name == XLACUDA) || cpu != (name == XLACPU) || strings.Contains(path, ",")
}
