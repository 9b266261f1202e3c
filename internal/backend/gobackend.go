package backend

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
)

// openGo opens the pure-Go backend with the given options of GOMLX_BACKEND (already checked by checkGoOptions).
//
// Operations of a graph always run one after the other (each still uses all cores): GoMLX's executor that runs
// independent operations side by side deadlocks when every worker waits in the pool for a worker that is free.
// It is chosen by ops_parallel, and by default for a single running graph, so ops_sequential is always given.
func openGo(options, why string) (*Choice, error) {
	config := "ops_sequential"
	if options != "" {
		config += "," + options
	}
	var b compute.Backend
	err := guarded("opening the pure-Go backend", func() (err error) {
		b, err = gobackend.New(config)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("backend %s: %w", Go, err)
	}
	return &Choice{Backend: b, Name: Go, Why: "backend " + goLabel() + ": " + why + simdHint()}, nil
}

// goLabel names the pure-Go backend and the kind of kernels it was built with.
func goLabel() string {
	if SIMD() {
		return "go (SIMD)"
	}
	return "go (no SIMD)"
}

// simdHint says how to rebuild for speed; Go 1.26 has its SIMD package on amd64 alone.
func simdHint() string {
	if SIMD() || runtime.GOARCH != "amd64" {
		return ""
	}
	return "; a build with GOEXPERIMENT=simd multiplies matrices about 10 times faster"
}

// checkGoOptions refuses what must not reach the pure-Go backend and what it does not know.
func checkGoOptions(options string) error {
	for option := range strings.SplitSeq(options, ",") {
		key, _, _ := strings.Cut(option, "=")
		switch key {
		case "", "ops_sequential", "dependency_order", "creation_order":
		case "ops_parallel":
			return fmt.Errorf("%w: %s=go:%s: ops_parallel can deadlock; leave it out", ErrConfig, gomlxEnv, options)
		case "parallelism":
			// GoMLX reports this option on stdout, in the middle of a command's data.
			return fmt.Errorf("%w: %s=go:%s: set the number of threads with GOMAXPROCS", ErrConfig, gomlxEnv, options)
		default:
			return fmt.Errorf("%w: %s=go:%s: option %q is unknown; it is one of ops_sequential, dependency_order, creation_order",
				ErrConfig, gomlxEnv, options, option)
		}
	}
	return nil
}

// Interprets reports whether the backend is the pure-Go one, which runs a graph operation by operation: a further shape of a
// batch costs it nothing, while XLA compiles each for seconds.
func Interprets(b compute.Backend) bool { return b.String() == gobackend.BackendName }

// PaddedLengths is the number of lengths worth padding batches to: where each is compiled, few are better than little
// padding.
func PaddedLengths(b compute.Backend) int {
	if Interprets(b) {
		return 16
	}
	return 2
}

// MicroBatches is the number of parts that a batch is best computed in where memory does not ask for more. It is the same on
// every machine, since sums of floats depend on it.
func MicroBatches(b compute.Backend) int {
	if Interprets(b) {
		return 2
	}
	return 1
}

// Concurrency is the number of executions of a graph that are worth running side by side. The pure-Go backend runs all but
// matrix products on one core, so that there it is the number of cores; the others use all cores for one.
func Concurrency(b compute.Backend) int {
	if Interprets(b) {
		return runtime.GOMAXPROCS(0)
	}
	return 1
}
