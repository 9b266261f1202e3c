package system

import "golang.org/x/sys/unix"

// memory returns the machine's total memory in bytes, 0 if it is not known; what is available has no simple answer here.
func memory() (total, available uint64) {
	total, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0, 0
	}
	return total, 0
}

// cpuModel returns the processor's name, or "".
func cpuModel() string {
	name, err := unix.Sysctl("machdep.cpu.brand_string")
	if err != nil {
		return ""
	}
	return name
}

// peakMemory is not known on this platform.
func peakMemory() int64 { return 0 }

// residentMemory is not known on this platform.
func residentMemory() int64 { return 0 }
