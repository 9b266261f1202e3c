//go:build unix

package jupyter

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup lets the process lead a group of its own: a Ctrl-C in our terminal does not reach it, and killing the group reaches
// what it started.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// killGroup kills the process and all that it started, also when the process itself has ended.
func killGroup(p *os.Process) { syscall.Kill(-p.Pid, syscall.SIGKILL) }

// interrupt does what Jupyter does to stop a running cell. The answer says whether that can be done here.
func interrupt(p *os.Process) bool { return p.Signal(os.Interrupt) == nil }
