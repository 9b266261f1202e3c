// Command killresume shows that a run survives kill -9 at any moment. It makes a run in one go, then the same run again
// and again, killed at random times and resumed until it is done, and compares: models bit for bit, losses of all steps,
// results. Each time it resumes, it must go on from the newest checkpoint on disk.
//
//	go run ./scripts/killresume -bitdistill ./bitdistill -kills 20 -- --backend go --set stage2.steps=20
//
// What follows "--" goes to `bitdistill run`; the backend has to be one that repeats itself bit for bit.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// maxStarts ends a run that does not get on.
const maxStarts = 1000

func main() {
	program := flag.String("bitdistill", "./bitdistill", "`path` of the program")
	kills := flag.Int("kills", 20, "number of kills to survive at least")
	seed := flag.Uint64("seed", 1, "decides the times of the kills")
	flag.Parse()
	log.SetFlags(0)
	dir, err := os.MkdirTemp("", "killresume-")
	if err == nil {
		err = check(harness{*program, flag.Args(), rand.New(rand.NewPCG(*seed, 0))}, dir, *kills)
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		log.Fatalf("FAIL: %v", err)
	}
}

func check(h harness, dir string, kills int) error {
	whole := filepath.Join(dir, "whole")
	began := time.Now()
	if _, _, err := h.start(whole, 0); err != nil {
		return err
	}
	took := time.Since(began)
	fmt.Printf("in one go: %.1f s\n", took.Seconds())
	for round, total := 1, 0; total < kills; round++ {
		run := filepath.Join(dir, fmt.Sprint("killed-", round))
		n, err := h.untilDone(run, took/3)
		if err != nil {
			return err
		}
		if err := same(whole, run); err != nil {
			return err
		}
		total += n
		fmt.Printf("killed %d times: the same models, losses and results\n", n)
	}
	return nil
}

// harness starts the program.
type harness struct {
	program string
	args    []string
	random  *rand.Rand
}

// untilDone starts the run until it is done, killing it within the given time after each start.
func (h harness) untilDone(run string, within time.Duration) (kills int, err error) {
	for range maxStarts {
		newest, err := newestCheckpoints(run)
		if err != nil {
			return kills, err
		}
		stderr, killed, err := h.start(run, time.Duration(h.random.Int64N(int64(within))))
		if err != nil {
			return kills, err
		}
		if err := wentOn(stderr, newest); err != nil {
			return kills, err
		}
		if !killed {
			return kills, nil
		}
		kills++
	}
	return kills, fmt.Errorf("not done after %d starts", maxStarts)
}

// start runs the program on the folder, and kills it after a while unless that is 0.
func (h harness) start(run string, after time.Duration) (stderr string, killed bool, err error) {
	args := append([]string{"run", "--out", run}, h.args...)
	if _, err := os.Stat(run); err == nil {
		args = append(args, "--resume")
	}
	var log bytes.Buffer
	cmd := exec.Command(h.program, args...)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		return "", false, err
	}
	if after > 0 {
		timer := time.AfterFunc(after, func() { cmd.Process.Kill() })
		defer timer.Stop()
	}
	err = cmd.Wait()
	if err != nil && cmd.ProcessState.ExitCode() != -1 { // -1: ended by a signal
		return "", false, fmt.Errorf("%v: %w\n%s", cmd.Args, err, &log)
	}
	return log.String(), err != nil, nil
}

// folders of the trainings, by the names in the log.
var folders = map[string]string{"Teacher": "teacher", "FP16-SFT": "fp16-sft", "BitNet-SFT": "bitnet-sft", "Stage-2": "stage2", "Stage-3": "student"}

// newestCheckpoints are the steps of the newest checkpoints in a run folder, by the folder of the training.
func newestCheckpoints(run string) (map[string]int, error) {
	paths, err := filepath.Glob(filepath.Join(run, "checkpoints", "*", "step-*"))
	newest := map[string]int{}
	for _, p := range paths {
		step, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(p), "step-"))
		if err != nil {
			return nil, fmt.Errorf("%s: not a checkpoint's name", p)
		}
		training := filepath.Base(filepath.Dir(p))
		newest[training] = max(newest[training], step)
	}
	return newest, err
}

var firstStep = regexp.MustCompile(`(?m)^(\S+) Step (\d+): (?:Loss|Total)=`)

// wentOn checks that the first step in a log is the one behind the newest checkpoint that was there. Every step has to be
// logged.
func wentOn(log string, newest map[string]int) error {
	seen := map[string]bool{}
	for _, m := range firstStep.FindAllStringSubmatch(log, -1) {
		training := folders[m[1]]
		if seen[training] {
			continue
		}
		seen[training] = true
		if step, _ := strconv.Atoi(m[2]); step != newest[training]+1 {
			return fmt.Errorf("%s: went on with step %d, the newest checkpoint is of step %d", training, step, newest[training])
		}
	}
	return nil
}
