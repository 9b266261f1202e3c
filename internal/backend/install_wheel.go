package backend

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// The wheels that pip installs, each pinned by version and hash.
var (
	//go:embed wheels/cpu.txt
	cpuWheels string
	//go:embed wheels/cuda.txt
	cudaWheels string
)

func wheelsOf(name string) string {
	if name == XLACUDA {
		return cudaWheels
	}
	return cpuWheels
}

// firstWheel is the one with the plugin, as name==version.
func firstWheel(name string) string {
	wheel, _, _ := strings.Cut(wheelsOf(name), " ")
	return wheel
}

// fetchWheels has pip install the wheels of a backend into dir, from wherever pip is set up to take them, and verify their hashes.
func (i installer) fetchWheels(ctx context.Context, name, dir string) (plugin string, err error) {
	if !onLinuxAMD64() {
		return "", fmt.Errorf("it is for x86-64 Linux, not for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	scratch := dir + ".pip"
	if err := os.Mkdir(scratch, 0o755); err != nil {
		return "", err
	}
	python, err := i.pip(ctx, scratch)
	if err != nil {
		return "", err
	}
	wheels := filepath.Join(scratch, "wheels.txt")
	if err := os.WriteFile(wheels, []byte(wheelsOf(name)), 0o644); err != nil {
		return "", err
	}
	err = i.run(ctx, scratch, python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-cache-dir", "--no-compile",
		"--no-deps", "--only-binary", ":all:", "--require-hashes", "--target", dir, "-r", wheels)
	if err != nil {
		return "", err
	}
	for _, member := range wheelMembers[name] {
		if plugin := filepath.Join(dir, member); exists(plugin) {
			return plugin, nil
		}
	}
	return "", fmt.Errorf("pip succeeded but left no %s", strings.Join(wheelMembers[name], " or "))
}

// pip returns a Python that has pip: the one on PATH, or one in a virtual environment of it, which brings pip along.
func (i installer) pip(ctx context.Context, scratch string) (python string, err error) {
	python, err = exec.LookPath("python3")
	if err != nil {
		return "", errors.New("there is no python3 on PATH")
	}
	quiet := i
	quiet.log = nil
	if quiet.run(ctx, scratch, python, "-m", "pip", "--version") == nil {
		return python, nil
	}
	venv := filepath.Join(scratch, "venv")
	if err := i.run(ctx, scratch, python, "-m", "venv", venv); err != nil {
		return "", fmt.Errorf("python3 has neither pip nor a working venv (on Debian and Ubuntu: apt install python3-venv): %w", err)
	}
	return filepath.Join(venv, "bin", "python3"), nil
}

// run runs a program in scratch, where it leaves its temporary files too, until it ends or ctx does. What it says goes to the log.
func (i installer) run(ctx context.Context, scratch, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = scratch // python -m imports from the current folder
	cmd.Env = append(os.Environ(), "TMPDIR="+scratch, "PIP_USER=0")
	cmd.Stdout, cmd.Stderr = i.log, i.log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", filepath.Base(program), strings.Join(args[:min(3, len(args))], " "), err)
	}
	return nil
}
