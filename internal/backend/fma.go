package backend

import (
	"os"
	"strings"
)

// fmaOff turns off math.Exp's fused instructions.
const fmaOff = "cpu.fma=off"

// WithFastExp restarts the program in place, once, with GODEBUG=cpu.fma=off, where that makes the pure-Go backend several times
// faster: in amd64 builds with GOEXPERIMENT=simd. The backend's SIMD kernels leave the upper halves of the vector registers in
// use, and math.Exp mixes fused (VEX) with plain SSE instructions, each change between which then costs more than the whole
// function: measured at 10 to 20 times the time of an exponential, half of a training step and more. Without
// fused instructions math.Exp does not mix. The setting is read before main starts, hence the restart; it changes neither the kernels
// nor any other function of this program. A program that imports this module sets the variable itself.
//
// It does nothing where GODEBUG sets cpu.fma already, or where the program cannot be restarted. To be called first in main.
func WithFastExp() {
	settings := os.Getenv("GODEBUG")
	if !mixesVectorCode || strings.Contains(settings, "cpu.fma=") {
		return
	}
	if settings != "" {
		settings += ","
	}
	if os.Setenv("GODEBUG", settings+fmaOff) == nil {
		restart()
	}
}
