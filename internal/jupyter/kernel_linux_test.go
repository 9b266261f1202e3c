package jupyter_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestCloseKillsWhatTheKernelStarted(t *testing.T) {
	k, _ := begin(t, "1")
	_, text, err := execute(t, t.Context(), k, "child")
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(text, &pid); err != nil || syscall.Kill(pid, 0) != nil {
		t.Fatalf("no child: %q %v", text, err)
	}
	k.Close()
	for range 100 {
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || strings.Contains(string(stat), ") Z ") {
			return // gone, or dead and not yet collected
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("process %d lives on", pid)
}
