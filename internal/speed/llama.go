package speed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// EnvLlama is the environment variable that names the folder of llama.cpp's programs.
const EnvLlama = "BITDISTILL_LLAMA"

const llamaBench = "llama-bench"

// Llama is a program llama-bench.
type Llama struct{ path string }

// FindLlama finds it in a folder, or below it where builds leave programs; without a folder in the one that BITDISTILL_LLAMA names, else
// on the path.
func FindLlama(folder string) (Llama, error) {
	if folder == "" {
		folder = os.Getenv(EnvLlama)
	}
	if folder == "" {
		path, err := exec.LookPath(llamaBench)
		if err != nil {
			return Llama{}, fmt.Errorf("no %s on the path; scripts/peers.sh FOLDER builds it, and the folder is then named with --llama or %s", llamaBench, EnvLlama)
		}
		return Llama{path}, nil
	}
	for _, below := range []string{"bin", ".", "build/bin"} {
		path, err := filepath.Abs(filepath.Join(folder, below, llamaBench))
		if info, errStat := os.Stat(path); err == nil && errStat == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return Llama{path}, nil
		}
	}
	return Llama{}, fmt.Errorf("%s: no program %s in it; scripts/peers.sh %s builds it there", folder, llamaBench, folder)
}

// LlamaTimes are what llama-bench says of a test.
type LlamaTimes struct {
	Pass float64 // seconds
	RSS  int64   // most that was resident, bytes; 0 where the system does not say
}

// Measure has llama-bench time a test in a process of its own, with a first pass before it. Several sequences it does not know.
func (l Llama) Measure(ctx context.Context, r Run) (LlamaTimes, error) {
	if r.Test.Sequences > 1 {
		return LlamaTimes{}, fmt.Errorf("%s has one sequence at a time", llamaBench)
	}
	cmd := exec.CommandContext(ctx, l.path, l.arguments(r)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return LlamaTimes{}, ctx.Err()
	}
	if err != nil {
		return LlamaTimes{}, fmt.Errorf("%s: %w", llamaBench, lastLine(stderr.String(), err))
	}
	t, err := parseLlama(out, r.Test)
	t.RSS = peakOf(cmd.ProcessState)
	return t, err
}

func (l Llama) arguments(r Run) []string {
	args := []string{"-m", r.Model, "-t", strconv.Itoa(r.Threads), "-r", "1", "-o", "json"}
	if t := r.Test; t.Prompt > 0 && t.Generate > 0 {
		return append(args, "-p", "0", "-n", "0", "-pg", fmt.Sprintf("%d,%d", t.Prompt, t.Generate))
	}
	return append(args, "-p", strconv.Itoa(r.Test.Prompt), "-n", strconv.Itoa(r.Test.Generate))
}

// lastLine is what a program said last, or the error if it said nothing.
func lastLine(said string, err error) error {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return errors.New(last)
	}
	return err
}

// parseLlama finds the one test in llama-bench's JSON.
func parseLlama(out []byte, want Test) (LlamaTimes, error) {
	var tests []struct {
		Prompt   int       `json:"n_prompt"`
		Generate int       `json:"n_gen"`
		Samples  []float64 `json:"samples_ns"`
	}
	if err := json.Unmarshal(out, &tests); err != nil {
		return LlamaTimes{}, fmt.Errorf("%s: what it wrote is not its JSON: %w", llamaBench, err)
	}
	if len(tests) != 1 || tests[0].Prompt != want.Prompt || tests[0].Generate != want.Generate || len(tests[0].Samples) != 1 || !(tests[0].Samples[0] > 0) {
		return LlamaTimes{}, fmt.Errorf("%s: its JSON has not one sample of %s alone; a version that is not known", llamaBench, want)
	}
	return LlamaTimes{Pass: tests[0].Samples[0] / 1e9}, nil
}
