package system

import (
	"testing"
	"testing/fstest"
)

func TestParseMeminfo(t *testing.T) {
	total, available := parseMeminfo("MemTotal:       24602452 kB\nMemFree: 1 kB\nMemAvailable:   20 kB\nHugePages_Total: 0\n")
	if total != 24602452*1024 || available != 20480 {
		t.Errorf("%d, %d", total, available)
	}
	if total, available = parseMeminfo("MemTotal: x kB\nMemAvailable"); total != 0 || available != 0 {
		t.Errorf("%d, %d", total, available)
	}
}

func TestCgroupLimit(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for name, c := range map[string]struct {
		root fstest.MapFS
		want uint64 // 0: none
	}{
		"nothing": {fstest.MapFS{}, 0},
		"version 2, a parent is lower": {fstest.MapFS{
			"proc/self/cgroup":                        file("0::/user.slice/run\n"),
			"sys/fs/cgroup/user.slice/run/memory.max": file("max\n"),
			"sys/fs/cgroup/user.slice/memory.max":     file("1000\n"),
			"sys/fs/cgroup/memory.max":                file("2000\n"),
		}, 1000},
		"version 2 in a container": {fstest.MapFS{
			"proc/self/cgroup":         file("0::/../other\n"),
			"sys/fs/cgroup/memory.max": file("4096\n"),
		}, 4096},
		"version 1": {fstest.MapFS{
			"proc/self/cgroup": file("5:memory:/docker/x\n1:cpu:/docker/x\n"),
			"sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes": file("77\n"),
		}, 77},
		"version 1, none": {fstest.MapFS{
			"proc/self/cgroup":                           file("5:memory:/\n"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712\n"),
		}, 0},
	} {
		got, ok := cgroupLimit(c.root)
		if got != c.want || ok != (c.want > 0) {
			t.Errorf("%s: %d, %v", name, got, ok)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	total, _ := memory()
	if limit, ok := MemoryLimit(); ok && (limit < 16<<20 || total > 0 && limit > total) {
		t.Errorf("limit %d of %d bytes", limit, total)
	}
}
