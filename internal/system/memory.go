package system

import (
	"bufio"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

// MemoryLimit returns the bytes of memory that this process can use at most: the machine's memory or, where one is
// set and lower, the limit of its control group (container). ok is false where neither can be read.
func MemoryLimit() (bytes uint64, ok bool) {
	total, _ := memory()
	if limit, limited := cgroupLimit(os.DirFS("/")); limited && (total == 0 || limit < total) {
		total = limit
	}
	return total, total > 0
}

// parseMeminfo returns the total and the available bytes in the text of Linux' /proc/meminfo, 0 for what is not there.
func parseMeminfo(text string) (total, available uint64) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line) // "MemTotal:  24602452 kB"
		if len(fields) != 3 || fields[2] != "kB" {
			continue
		}
		kib, err := strconv.ParseUint(fields[1], 10, 54)
		if err != nil {
			continue
		}
		switch fields[0] {
		case "MemTotal:":
			total = kib << 10
		case "MemAvailable:":
			available = kib << 10
		}
	}
	return total, available
}

// cgroupLimit returns the lowest memory limit of this process's control group and the groups above it, of version 2
// and 1. root is the root of the file system. Inside a container the groups above are not visible; then the
// container's own limit is at the root of the hierarchy, which is always read.
func cgroupLimit(root fs.FS) (bytes uint64, ok bool) {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
		fields := strings.SplitN(lines.Text(), ":", 3) // "0::/user.slice" or "5:memory:/docker/id"
		if len(fields) != 3 {
			continue
		}
		base, file := "sys/fs/cgroup", "memory.max"
		if fields[1] == "memory" {
			base, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		} else if fields[0] != "0" {
			continue
		}
		for group := path.Clean("/" + fields[2]); ; group = path.Dir(group) {
			limit, limited := readLimit(root, path.Join(base, group, file))
			if limited && (!ok || limit < bytes) {
				bytes, ok = limit, true
			}
			if group == "/" {
				break
			}
		}
	}
	return bytes, ok
}

// readLimit reads one limit; "max" and version 1's huge default mean none.
func readLimit(root fs.FS, name string) (bytes uint64, ok bool) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	bytes, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return bytes, err == nil && bytes < 1<<60
}
