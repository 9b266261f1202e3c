package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// pluginsDir holds the plugins that Install brings, relative to the home folder: in cpu the plugin itself, in cuda the Python packages
// with it and with NVIDIA's libraries.
const pluginsDir = ".local/share/bitdistill/plugins"

// Installed says what Install did.
type Installed struct {
	Backend string `json:"backend"`
	Plugin  string `json:"plugin"`            // its path
	Already bool   `json:"already,omitempty"` // it was there and computed before
	From    string `json:"from,omitempty"`    // where it came from, in words
	Folder  string `json:"folder,omitempty"`  // remove this to remove the plugin
}

// Install brings the plugin of an XLA backend to where this package finds it: for XLACPU go-xla's release where that can be reached
// and states a checksum, else the pinned wheel through pip; for XLACUDA the pinned wheels. Checksums are verified, and the plugin has
// opened and multiplied before it gets its name; until then everything is in a temporary folder, which is removed at the end, also
// when ctx ends. One that works already is left as it is. log is told what happens.
//
// Errors wrap ErrUnavailable where this machine or build cannot have the backend; others name every attempt and the steps by hand.
func Install(ctx context.Context, name string, log io.Writer) (*Installed, error) {
	i := installer{machine: thisMachine(), transport: http.DefaultTransport, try: tryPlugin, log: log}
	return i.install(ctx, name)
}

// installer is Install with what tests replace.
type installer struct {
	machine
	transport http.RoundTripper
	try       func(ctx context.Context, name, plugin string) error
	log       io.Writer
}

// source is a place that a plugin may come from: fetch puts it under dir, an empty folder, and returns its path.
type source struct {
	from  string // in words
	fetch func(ctx context.Context, dir string) (plugin string, err error)
}

func (i installer) sources(name string) []source {
	wheels := source{"the Python package " + firstWheel(name) + " by pip", func(ctx context.Context, dir string) (string, error) { return i.fetchWheels(ctx, name, dir) }}
	if name == XLACUDA {
		return []source{wheels}
	}
	return []source{{"go-xla's release", i.fetchRelease}, wheels}
}

func (i installer) install(ctx context.Context, name string) (*Installed, error) {
	if err := i.refuse(name); err != nil {
		return nil, err
	}
	if choice, err := i.open(name); err == nil {
		defer choice.Close()
		return &Installed{Backend: name, Plugin: choice.Plugin, Already: true}, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, fmt.Errorf("no folder to install into: %w", err)
	}
	all := filepath.Join(home, pluginsDir)
	if err := os.MkdirAll(all, 0o755); err != nil {
		return nil, err
	}
	removeOld(all)
	defer os.Remove(all) // stays unless empty
	var failed []string
	for _, s := range i.sources(name) {
		plugin, err := i.bring(ctx, name, s, all)
		if err == nil {
			return &Installed{Backend: name, Plugin: plugin, From: s.from, Folder: pluginFolder(home, name)}, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		failed = append(failed, s.from+": "+oneLine(err))
		fmt.Fprintf(i.log, "%s: %s\n", s.from, oneLine(err))
	}
	return nil, fmt.Errorf("%s could not be installed:\n%s\nby hand:\n%s", name, strings.Join(failed, "\n"), strings.Join(i.manual(name), "\n"))
}

// refuse tells what this machine or build cannot have.
func (i installer) refuse(name string) error {
	missing := &unavailableError{name: name}
	switch {
	case name != XLACPU && name != XLACUDA:
		return fmt.Errorf("%w: %q is nothing to install; it is xla:cpu or xla:cuda", ErrConfig, name)
	case !xlaBuilt:
		missing.reason = noXLA
	case name == XLACUDA && !i.hasGPU():
		missing.reason = noGPU
	case name == XLACUDA && !onLinuxAMD64():
		missing.reason = "the pinned packages are for x86-64 Linux, not for " + runtime.GOOS + "/" + runtime.GOARCH
	default:
		return nil
	}
	return missing
}

// bring fetches a plugin into a temporary folder beside its place, tries it there, and moves it.
func (i installer) bring(ctx context.Context, name string, s source, all string) (plugin string, err error) {
	fmt.Fprintf(i.log, "%s: trying %s\n", name, s.from)
	dir, err := os.MkdirTemp(all, unfinished)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	ready := filepath.Join(dir, "fetched")
	if err := os.Mkdir(ready, 0o755); err != nil {
		return "", err
	}
	plugin, err = s.fetch(ctx, ready)
	if err == nil {
		err = i.try(ctx, name, plugin)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return "", err
	}
	return i.place(name, plugin, ready, filepath.Join(all, strings.TrimPrefix(name, "xla:")))
}

// place moves what was fetched to its folder in one rename: the plugin alone, or all of it where the plugin needs what is beside it.
func (i installer) place(name, plugin, fetched, folder string) (string, error) {
	keep, within := filepath.Join(filepath.Dir(fetched), "keep"), ""
	var err error
	if name == XLACPU {
		within = "pjrt_c_api_cpu_plugin" + libraryExt
		if err = os.Mkdir(keep, 0o755); err == nil {
			err = os.Rename(plugin, filepath.Join(keep, within))
		}
	} else if within, err = filepath.Rel(fetched, plugin); err == nil {
		err = os.Rename(fetched, keep)
	}
	if err != nil {
		return "", err
	}
	// A plugin from before, which did not open, goes the way of the temporary folder.
	if err := os.Rename(folder, keep+".before"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err := os.Rename(keep, folder); err != nil {
		return "", err
	}
	return filepath.Join(folder, within), nil
}

// unfinished begins the names of temporary folders.
const unfinished = ".unfinished-"

// removeOld removes what an installation that was killed has left, and none that may still run.
func removeOld(all string) {
	left, _ := filepath.Glob(filepath.Join(globEscape.Replace(all), unfinished+"*"))
	for _, dir := range left {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			os.RemoveAll(dir)
		}
	}
}

// tryPlugin opens a plugin and has it multiply.
func tryPlugin(ctx context.Context, name, plugin string) error {
	b, err := loadXLA(name, plugin, "")
	if err != nil {
		return err
	}
	c := Choice{Backend: b}
	defer c.Close()
	_, err = measureMatmul(ctx, b, 64)
	return err
}

// pluginFolder is where Install puts the plugin of a backend.
func pluginFolder(home, name string) string {
	return filepath.Join(home, pluginsDir, strings.TrimPrefix(name, "xla:"))
}

func onLinuxAMD64() bool { return runtime.GOOS == "linux" && runtime.GOARCH == "amd64" }
