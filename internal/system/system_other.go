//go:build !linux && !darwin

package system

// memory knows nothing on this platform.
func memory() (total, available uint64) { return 0, 0 }

// cpuModel knows nothing on this platform.
func cpuModel() string { return "" }

// peakMemory is not known on this platform.
func peakMemory() int64 { return 0 }

// residentMemory is not known on this platform.
func residentMemory() int64 { return 0 }
