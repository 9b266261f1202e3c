package backend

import (
	"os"
	"runtime"
	"strings"
)

// WithFastEnvironment restarts the program in place, once, with environment variables that make the backends faster and that
// are read before main starts. It does nothing where they are set already, or where the program cannot be restarted. To be called
// first in main; a program that imports this module sets them itself.
//
// GODEBUG=cpu.fma=off, in amd64 builds with GOEXPERIMENT=simd: the pure-Go backend's SIMD kernels leave the upper halves of the
// vector registers in use, and math.Exp mixes fused (VEX) with plain SSE instructions, each change between which then costs
// more than the whole function: measured at 10 to 20 times the time of an exponential. Without fused instructions
// math.Exp does not mix. Neither the kernels nor any other function of this program are changed by it.
//
// MALLOC_*, where XLA may be used with the C library of GNU: XLA's CPU plugin allocates the buffers of every execution anew, which
// by default are mapped, cleared and unmapped each time: measured at a fifth of a training step of a small model.
func WithFastEnvironment() {
	changed := false
	for name, value := range fastEnvironment(os.LookupEnv) {
		changed = os.Setenv(name, value) == nil || changed
	}
	if changed {
		restart()
	}
}

// fastEnvironment are the variables that are missing.
func fastEnvironment(lookup func(string) (string, bool)) map[string]string {
	missing := map[string]string{}
	if settings, _ := lookup("GODEBUG"); mixesVectorCode && !strings.Contains(settings, "cpu.fma=") {
		missing["GODEBUG"] = strings.TrimPrefix(settings+",cpu.fma=off", ",")
	}
	if xlaBuilt && runtime.GOOS == "linux" {
		for name, value := range map[string]string{
			"MALLOC_MMAP_THRESHOLD_": "1000000000", // bytes
			"MALLOC_TRIM_THRESHOLD_": "2000000000",
			"MALLOC_TOP_PAD_":        "268435456",
		} {
			if _, ok := lookup(name); !ok {
				missing[name] = value
			}
		}
	}
	return missing
}
