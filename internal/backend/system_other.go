//go:build !linux && !darwin

package backend

// systemMemory knows nothing on this platform.
func systemMemory() (total, available uint64) { return 0, 0 }

// cpuModel knows nothing on this platform.
func cpuModel() string { return "" }

// peakMemory is not known on this platform.
func peakMemory() int64 { return 0 }
