package backend

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/bitdistill/bitdistill/internal/system"
	"github.com/gomlx/compute"
)

// Report is what `doctor` shows: the machine, this build, every backend, and what Auto would open.
type Report struct {
	OS              string   `json:"os"`
	Arch            string   `json:"arch"`
	CPU             string   `json:"cpu,omitempty"` // model; "" where the system does not say
	Cores           int      `json:"cores"`         // logical ones that this process may use
	MemoryTotal     uint64   `json:"memory_total_bytes,omitempty"`
	MemoryAvailable uint64   `json:"memory_available_bytes,omitempty"`
	MemoryLimit     uint64   `json:"memory_limit_bytes,omitempty"` // see system.MemoryLimit
	GoVersion       string   `json:"go"`
	SIMD            bool     `json:"simd"` // built with GOEXPERIMENT=simd
	XLA             bool     `json:"xla"`  // XLA is in the build
	Modules         []Module `json:"modules"`
	Backends        []Status `json:"backends"`
	Auto            Decision `json:"auto"`
}

// Module is a library in this program and its version.
type Module struct {
	Path    string `json:"path"`
	Version string `json:"version"` // "" when the program holds no such module
}

// Status is one backend on this machine.
type Status struct {
	Name         string   `json:"name"`
	Available    bool     `json:"available"`
	Problem      string   `json:"problem,omitempty"` // why it is not available, or what failed when it computed
	Searched     []string `json:"searched,omitempty"`
	Steps        []string `json:"steps,omitempty"` // how to get it, where it is not available
	Plugin       string   `json:"plugin,omitempty"`
	PluginSHA256 string   `json:"plugin_sha256,omitempty"`
	PluginTried  bool     `json:"plugin_tried,omitempty"` // the plugin is the release that this project is tried with
	Description  string   `json:"description,omitempty"`
	Devices      []string `json:"devices,omitempty"`
	Matmul       *Speed   `json:"matmul,omitempty"`
}

// Decision is what Open(Auto) does.
type Decision struct {
	Name  string `json:"name,omitempty"`
	Why   string `json:"why,omitempty"`
	Error string `json:"error,omitempty"`
}

// Doctor opens every backend in turn, multiplies matrices on it and reports. It takes a few seconds; when ctx is done
// it stops at the next step and what is missing says so. It needs no network and returns a report in every case.
func Doctor(ctx context.Context) Report { return thisMachine().doctor(ctx) }

func (m machine) doctor(ctx context.Context) Report {
	r := Report{
		OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: system.CPUModel(), Cores: runtime.NumCPU(),
		GoVersion: runtime.Version(), SIMD: SIMD(), XLA: xlaBuilt, Modules: Modules(),
	}
	r.MemoryTotal, r.MemoryAvailable = system.Memory()
	r.MemoryLimit, _ = system.MemoryLimit()
	for _, name := range []string{Go, XLACPU, XLACUDA} {
		r.Backends = append(r.Backends, m.examine(ctx, name))
	}
	choice, err := m.open(Auto)
	if err != nil {
		r.Auto.Error = err.Error()
		return r
	}
	defer choice.Close()
	r.Auto.Name, r.Auto.Why = choice.Name, choice.Why
	return r
}

// examine opens one backend and tries it.
func (m machine) examine(ctx context.Context, name string) Status {
	s := Status{Name: name}
	if err := ctx.Err(); err != nil {
		s.Problem = "not examined: " + err.Error()
		return s
	}
	choice, err := m.open(name)
	if err != nil {
		s.Problem = oneLine(err)
		var missing *unavailableError
		if errors.As(err, &missing) {
			s.Problem, s.Steps = missing.short(), missing.steps
			if len(missing.failed) == 0 {
				s.Searched = missing.searched
			}
		}
		return s
	}
	defer choice.Close()
	s.Available, s.Plugin = true, choice.Plugin
	s.PluginSHA256 = fileSHA256(choice.Plugin)
	s.PluginTried = s.PluginSHA256 == cpuPluginSHA
	s.Description, s.Devices = describe(choice)
	s.Matmul, err = measureMatmul(ctx, choice.Backend, matmulSize(name))
	if err != nil {
		s.Problem = oneLine(err)
	}
	return s
}

// matmulSize is smaller where 1024 would take half a second a run.
func matmulSize(name string) int {
	if name == Go && !SIMD() {
		return 384
	}
	return 1024
}

// describe returns what the backend says of itself, without the plugin's path, and of its devices.
func describe(c *Choice) (description string, devices []string) {
	err := guarded("describing it panicked", func() error {
		description = c.Backend.Description()
		if i := strings.LastIndex(description, ") v"); c.Plugin != "" && i >= 0 { // "xla:… plugin (path) v0.115 […]"
			description = "PJRT " + description[i+2:]
		}
		for i := range c.Backend.NumDevices() {
			device := c.Backend.DeviceDescription(compute.DeviceNum(i))
			devices = append(devices, strings.TrimSuffix(device, " [processId=0]"))
		}
		return nil
	})
	if err != nil {
		description = err.Error()
	}
	return strings.Join(strings.Fields(description), " "), devices
}

// fileSHA256 returns the hexadecimal SHA-256 of a file, "" where it cannot be read.
func fileSHA256(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Modules lists the versions of the libraries that results depend on, as recorded in this program.
func Modules() []Module {
	modules := []Module{
		{Path: "github.com/gomlx/gomlx"},
		{Path: "github.com/gomlx/compute"},
		{Path: "github.com/gomlx/go-xla"},
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return modules
	}
	for i := range modules {
		known := slices.IndexFunc(info.Deps, func(d *debug.Module) bool { return d.Path == modules[i].Path })
		if known < 0 {
			continue
		}
		modules[i].Version = info.Deps[known].Version
		if by := info.Deps[known].Replace; by != nil {
			modules[i].Version += " => " + strings.TrimSpace(by.Path+" "+by.Version)
		}
	}
	return modules
}
