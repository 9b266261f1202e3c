//go:build unix

package backend

import (
	"os"
	"syscall"
)

// restart replaces the process by a new one of the same program; it returns only if that fails.
func restart() {
	if path, err := os.Executable(); err == nil {
		syscall.Exec(path, os.Args, os.Environ())
	}
}
