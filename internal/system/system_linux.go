package system

import (
	"fmt"
	"os"
	"strings"
)

// memory returns the machine's total and available memory in bytes, 0 for what is not known.
func memory() (total, available uint64) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, 0
	}
	return parseMeminfo(string(text))
}

// cpuModel returns the processor's name, or "" (most arm64 kernels give none).
func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// peakMemory returns the most that was resident of this process, bytes; 0 where it is not known.
func peakMemory() int64 { return status("VmHWM:") }

// residentMemory returns what is resident of this process, bytes; 0 where it is not known.
func residentMemory() int64 { return status("VmRSS:") }

// status is a number of bytes among what the kernel says of this process.
func status(key string) int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), key)
	var kib int64
	fmt.Sscan(rest, &kib) // it stays 0 where the line is missing
	return kib << 10
}
