//go:build !purego

package rows

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestCapable: a process that is told to keep math.Exp from fusing, as builds with GOEXPERIMENT=simd tell themselves, computes with kernels too.
func TestCapable(t *testing.T) {
	const off = "cpu.fma=off"
	switch child := strings.Contains(os.Getenv("GODEBUG"), off); {
	case child && !capable():
		t.Fatal("there are no kernels with " + off)
	case child:
		return
	case !capable():
		t.Skip("NOT TESTED: the processor does not run the kernels")
	}
	c := exec.Command(os.Args[0], "-test.run=^TestCapable$")
	c.Env = append(os.Environ(), "GODEBUG="+off)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
