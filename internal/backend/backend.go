package backend

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/gomlx/compute"
)

// The names that Open takes; Auto is also meant by "". A Choice carries one of the other three.
const (
	Auto    = "auto"
	Go      = "go"
	XLACPU  = "xla:cpu"
	XLACUDA = "xla:cuda"
)

// Errors of Open, to be told apart with errors.Is.
var (
	// ErrConfig says that a name or GOMLX_BACKEND is not understood: the caller's input is wrong.
	ErrConfig = errors.New("backend not understood")
	// ErrUnavailable says that the backend asked for cannot be opened on this machine.
	ErrUnavailable = errors.New("backend not available")
)

// Choice is an open backend and the reason for it. Close it when nothing computes on it any more.
type Choice struct {
	Backend compute.Backend
	Name    string // Go, XLACPU or XLACUDA
	Plugin  string // absolute path of the PJRT plugin; "" for Go
	Why     string // one line: which one, why, and how to get a faster one where there is one
}

// Open opens the backend called name: Auto (or ""), Go, XLACPU or XLACUDA. The package comment says where plugins are
// searched and what GOMLX_BACKEND changes.
//
// Auto opens something on every machine: when plugins are there but none loads, it is the pure-Go backend and
// Why says so. A backend asked for by name is opened or refused with an error that lists what was tried and the
// steps to get it. Errors wrap ErrConfig or ErrUnavailable. Open never uses the network and never panics.
func Open(name string) (*Choice, error) {
	return thisMachine().open(name)
}

// Close releases the backend. It is safe on nil and when called again.
func (c *Choice) Close() {
	if c == nil || c.Backend == nil {
		return
	}
	b := c.Backend
	c.Backend = nil
	// Nothing useful is left to do with a backend that panics while it goes away.
	_ = guarded("closing the backend", func() error { b.Finalize(); return nil })
}

func (m machine) open(name string) (*Choice, error) {
	wish, err := parseWish(os.Getenv(gomlxEnv))
	if err != nil {
		return nil, err
	}
	switch name {
	case Auto, "":
		return m.openAuto(wish)
	case Go:
		return openGo(wish.goOptions(), "asked for by name")
	case XLACPU, XLACUDA:
		return m.openXLA(name, wish)
	}
	return nil, fmt.Errorf("%w: %q; it is one of %s, %s, %s, %s", ErrConfig, name, Auto, Go, XLACPU, XLACUDA)
}

// openAuto tries what the wish leaves open, fastest first, and ends with the pure-Go backend.
func (m machine) openAuto(wish wish) (*Choice, error) {
	if wish.backend == Go {
		return openGo(wish.options, gomlxEnv+" asks for it")
	}
	if !xlaBuilt {
		return openGo("", noXLA)
	}
	var problems []string // with plugins that are there and do not work, or that were asked for
	for _, name := range wish.names() {
		choice, err := m.openXLA(name, wish)
		if err == nil {
			return choice, nil
		}
		var missing *unavailableError
		if errors.As(err, &missing) && (len(missing.failed) > 0 || wish.backend != "") {
			problems = append(problems, name+": "+missing.short())
		}
	}
	if len(problems) > 0 {
		return openGo("", strings.Join(problems, "; "))
	}
	return openGo("", "no XLA plugin found; several times faster with it: "+m.hint())
}

// guarded runs f and turns a panic into an error that starts with what.
func guarded(what string, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: %v", what, r)
		}
	}()
	return f()
}
