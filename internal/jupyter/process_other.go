//go:build !unix

package jupyter

import (
	"os"
	"os/exec"
)

func ownGroup(*exec.Cmd) {}

func killGroup(p *os.Process) { p.Kill() }

// interrupt is left to a message on the control socket: there are no signals here.
func interrupt(*os.Process) bool { return false }
