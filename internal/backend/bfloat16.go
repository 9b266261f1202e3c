package backend

import (
	"os"
	"strings"

	"github.com/gomlx/compute"
	"golang.org/x/sys/cpu"
)

// bfloat16Env decides for FastBFloat16, to measure or test the other way: on or off.
const bfloat16Env = "BITDISTILL_BFLOAT16"

// FastBFloat16 reports whether the backend multiplies bfloat16 matrices faster than float32 ones. GPUs do, and XLA on CPUs with
// instructions for it: half the time. On others it takes twice the time.
func FastBFloat16(b compute.Backend) bool {
	if Interprets(b) {
		return false
	}
	switch os.Getenv(bfloat16Env) {
	case "on":
		return true
	case "off":
		return false
	}
	return strings.Contains(strings.ToLower(b.Description()), "cuda") || cpu.X86.HasAVX512BF16 || cpu.X86.HasAMXBF16
}
