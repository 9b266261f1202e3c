package speed

import (
	"os"
	"syscall"
)

// peakOf is the most that was resident of a process that has ended, bytes. It is at least what this process had when it started that one:
// so Linux counts.
func peakOf(p *os.ProcessState) int64 {
	if usage, ok := p.SysUsage().(*syscall.Rusage); ok {
		return int64(usage.Maxrss) << 10
	}
	return 0
}
