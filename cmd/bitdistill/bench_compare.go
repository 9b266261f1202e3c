package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/bitdistill/bitdistill/scripts/peers"
)

// torchModes are what the PyTorch program can be run in.
var torchModes = []string{"eager", "compile", "bf16"}

// ready is what a measured process says before each repetition.
type ready struct {
	Ready bool `json:"ready"`
}

// compareTraining measures this program and the PyTorch program, in processes of their own that take turns.
func (c *cli) compareTraining(ctx context.Context, f *benchFlags, p *distill.BenchProgram, report *benchReport) error {
	for _, mode := range f.peers {
		if !slices.Contains(torchModes, mode) {
			return inputf("--peers: %q is not one of %s", mode, strings.Join(torchModes, ", "))
		}
	}
	if p.Training.Remat || p.Training.Precision == "bf16" || p.Student.Quantization.FP16Scales {
		return inputf("--compare: the PyTorch program knows neither remat, precision nor fp16_scales")
	}
	if f.spec.Devices > 1 {
		return inputf("--compare: the PyTorch program computes on one device; leave out --devices")
	}
	if err := f.settleBackend(); err != nil {
		return err
	}
	if err := hasTorch(ctx, f.python); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bitdistill-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	commands, err := f.commands(ctx, dir, p, report.Threads)
	if err != nil {
		return err
	}
	var all []*turn
	defer func() {
		for _, t := range all {
			t.stop()
		}
	}()
	for _, cmd := range commands {
		t := start(cmd)
		all = append(all, t)
		c.progressf("%s: the first steps, which compile", t.name)
		t.next()
		if all[0].err != nil {
			return all[0].err // there is nothing to compare with
		}
	}
	for i := range f.spec.Repetitions {
		for _, t := range all {
			if err := ctx.Err(); err != nil {
				return err
			}
			c.progressf("repetition %d of %d: %s", i+1, f.spec.Repetitions, t.name)
			t.goOn()
			t.next()
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, t := range all {
		switch {
		case t.err == nil:
			report.add(p, t.result)
		case i == 0:
			return fmt.Errorf("%s: %w", t.name, t.err)
		default:
			row := newBenchRow(p, t.name)
			row.Problem = t.err.Error()
			report.Rows = append(report.Rows, row)
		}
	}
	return nil
}

// progressf says what is being done, on stderr.
func (c *cli) progressf(format string, args ...any) {
	fmt.Fprintf(c.log, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// hasTorch checks that Python has PyTorch.
func hasTorch(ctx context.Context, python string) error {
	out, err := exec.CommandContext(ctx, python, "-c", "import torch; print(torch.__version__)").CombinedOutput()
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	why := lines[len(lines)-1]
	if why == "" {
		why = err.Error()
	}
	return inputf("--compare: %s cannot import torch (%s); install it with\npython3 -m venv torch-venv && torch-venv/bin/pip install torch==%s\nand name it with --torch torch-venv/bin/python",
		python, why, peers.Torch)
}

// settleBackend chooses the backend for all processes where that is left to the machine, so that PyTorch computes on the same device.
func (f *benchFlags) settleBackend() error {
	if f.spec.Backend != backend.Auto && f.spec.Backend != "" {
		return nil
	}
	choice, err := backend.Open(backend.Auto)
	if err != nil {
		return err
	}
	f.spec.Backend = choice.Name
	choice.Close()
	return nil
}

// measured is a command and the name of the engine it is.
type measured struct {
	name string
	*exec.Cmd
}

// commands are this program and the PyTorch program in each mode.
func (f *benchFlags) commands(ctx context.Context, dir string, p *distill.BenchProgram, threads int) ([]measured, error) {
	script, program := filepath.Join(dir, "torch_train.py"), filepath.Join(dir, "program.json")
	device := "cpu"
	if f.spec.Backend == backend.XLACUDA {
		device = "cuda"
	}
	content, err := json.Marshal(struct {
		*distill.BenchProgram
		Threads int    `json:"threads"`
		Device  string `json:"device"`
		Wait    bool   `json:"wait"`
	}{p, threads, device, true})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.WriteFile(script, peers.TorchTrain, 0o600), os.WriteFile(program, content, 0o600)); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	all := []measured{{"bitdistill", exec.CommandContext(ctx, self, f.childArguments()...)}}
	for _, mode := range f.peers {
		cmd := exec.CommandContext(ctx, f.python, script, program, mode)
		// Without it, threads that wait spin, and take the cores from those that compute.
		cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GLIBC_TUNABLES=") }), "OMP_WAIT_POLICY=passive")
		all = append(all, measured{"torch " + mode, cmd})
	}
	return all, nil
}

// childArguments have this program measure the same in another process.
func (f *benchFlags) childArguments() []string {
	s := f.spec
	args := []string{"bench", "train", "--child", "--shape", s.Shape, "--backend", s.Backend, fmt.Sprintf("--every-position=%t", s.EveryPosition)}
	for name, value := range map[string]int{
		"layers": s.Layers, "stage": s.Stage, "batch": s.Batch, "length": s.Length, "steps": s.Steps, "repetitions": s.Repetitions,
	} {
		args = append(args, fmt.Sprintf("--%s=%d", name, value))
	}
	for _, set := range s.Set {
		args = append(args, "--set", set)
	}
	return args
}

// turn is a process that measures while the others wait.
type turn struct {
	measured
	stdin  io.WriteCloser
	lines  *bufio.Scanner
	errors bytes.Buffer
	result distill.BenchResult
	err    error // why it goes on no more
}

func start(m measured) *turn {
	t := &turn{measured: m}
	t.Stderr = &t.errors
	stdout, err := t.StdoutPipe()
	if err == nil {
		t.stdin, err = t.StdinPipe()
	}
	if err == nil {
		err = t.Start()
	}
	t.err = err
	t.lines = bufio.NewScanner(stdout)
	return t
}

// goOn lets the process measure the next repetition.
func (t *turn) goOn() {
	if t.err == nil {
		io.WriteString(t.stdin, "\n") // what has ended in the meantime, next finds out, with the reason
	}
}

// next waits until the process is ready for the next repetition, or has its result.
func (t *turn) next() {
	for t.err == nil && t.lines.Scan() {
		line := t.lines.Bytes()
		var r ready
		if json.Unmarshal(line, &r) == nil && r.Ready {
			return
		}
		if json.Unmarshal(line, &t.result) == nil && len(t.result.Seconds) > 0 {
			return
		}
	}
	if t.err == nil {
		t.err = t.failure(t.Wait())
	}
}

// failure is why the process ended without a result: what this program said, which may be several lines, or the last line of another.
func (t *turn) failure(err error) error {
	const own = "bitdistill: "
	said := strings.TrimSpace(t.errors.String())
	if at := strings.LastIndex("\n"+said, "\n"+own); at >= 0 {
		return errors.New(said[at+len(own):])
	}
	if last := said[strings.LastIndex(said, "\n")+1:]; last != "" {
		return errors.New(last)
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// stop ends the process if it has not ended.
func (t *turn) stop() {
	if t.Process == nil || t.ProcessState != nil {
		return
	}
	t.stdin.Close()
	if t.err != nil {
		t.Process.Kill()
	}
	t.Wait() // the result is there, or why not is known
}
