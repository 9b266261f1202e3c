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
// math.Exp does not mix. Packages that look for FMA themselves have to ask the processor: golang.org/x/sys/cpu obeys GODEBUG too.
//
// GLIBC_TUNABLES, where XLA may be used: its CPU plugin allocates the buffers of every execution anew, and by default the C
// library of GNU maps and unmaps each of them, 4 KiB at a time: up to half of a training step of a small model. With large pages that
// are kept it is a few per cent. Of one arena, since each thread of the plugin would else take memory from one of its own and leave it there:
// trainings of SmolLM2-135M took 11 GB in place of 6, and 1.5 times as long. Other C libraries do not look at the variable.
func WithFastEnvironment() {
	changed := false
	for name, value := range FastEnvironment(mixesVectorCode, os.LookupEnv) {
		changed = os.Setenv(name, value) == nil || changed
	}
	if changed {
		restart()
	}
}

// FastEnvironment are the variables of [WithFastEnvironment] that lookup does not find, for a program of which the caller knows
// whether it is an amd64 build with GOEXPERIMENT=simd.
func FastEnvironment(simd bool, lookup func(string) (string, bool)) map[string]string {
	missing := map[string]string{}
	if settings, _ := lookup("GODEBUG"); simd && !strings.Contains(settings, "cpu.fma=") {
		missing["GODEBUG"] = strings.TrimPrefix(settings+",cpu.fma=off", ",")
	}
	if _, set := lookup("GLIBC_TUNABLES"); xlaBuilt && runtime.GOOS == "linux" && !set {
		missing["GLIBC_TUNABLES"] = "glibc.malloc.arena_max=1:glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=33554432:" + // bytes, the largest that is taken
			"glibc.malloc.trim_threshold=2000000000:glibc.malloc.top_pad=268435456"
	}
	return missing
}
