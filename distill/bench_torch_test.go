//go:build models

package distill

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/scripts/peers"
)

// torchEnv names the Python program with torch and safetensors.
const torchEnv = "BITDISTILL_TORCH"

// The PyTorch program that `bench train --compare` measures computes the same losses, gradient norms and updates from the same
// weights.
func TestTorchModels(t *testing.T) {
	python := os.Getenv(torchEnv)
	if python == "" {
		const missing = "THE PYTORCH PROGRAM IS NOT COMPARED: " + torchEnv + " names no Python with torch " + peers.Torch + " and safetensors"
		if os.Getenv("BITDISTILL_NO_SKIP") == "1" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	// Where rounding differs in the last bit, an int8 code may, and that spreads. AdamW makes of a gradient near 0 a step of full size,
	// either way.
	const float, floatLater, ternary, ternaryLater = 1e-5, 1e-4, 1e-3, 3e-2
	for _, c := range []struct {
		name         string
		family       arch.Family
		spec         BenchSpec
		quantization bitnet.Quantization
		first, then  float64 // tolerances of the first step and of those behind it
	}{
		{"stage 2 in full precision", arch.Llama, tinySpec(2), bitnet.Full(), float, floatLater},
		{"stage 2", arch.Llama, tinySpec(2), bitnet.Ternary(bitnet.SubLNOutput), ternary, ternaryLater},
		{"stage 3 in full precision", arch.Llama, tinySpec(3), bitnet.Full(), float, floatLater},
		{"stage 3, Qwen3 in full precision", arch.Qwen3, everyPosition(tinySpec(3)), bitnet.Full(), float, floatLater},
		{"stage 3", arch.Llama, tinySpec(3), bitnet.Ternary(bitnet.SubLNOutput), ternary, ternaryLater},
		{"stage 3, Qwen3, all positions", arch.Qwen3, everyPosition(tinySpec(3)), bitnet.Ternary(bitnet.SubLNAll), ternary, ternaryLater},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.spec.Layers = 0
			p, err := c.spec.Program()
			if err != nil {
				t.Fatal(err)
			}
			p.Student.Family, p.Student.Quantization = c.family, c.quantization
			if p.Teacher != nil {
				p.Teacher.Family = c.family
			}
			compareWithTorch(t, python, p, c.first, c.then)
		})
	}
}

func everyPosition(s BenchSpec) BenchSpec {
	s.EveryPosition = true
	return s
}

// torchStep is what the program writes of a step.
type torchStep struct{ Total, CE, LD, AD, Norm float64 }

func compareWithTorch(t *testing.T, python string, p *BenchProgram, first, then float64) {
	b := openBench(t, p)
	parts := batches(b)
	dir := t.TempDir()
	save := func(name string, m *hf.Model) string {
		if err := m.Save(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name, "model.safetensors")
	}
	check := torchCheck{Student: save("student", &hf.Model{Model: files.Model{Config: p.Student}, Store: b.stepper.store})}
	if p.Teacher != nil {
		teacher, err := randomDecoder(*p.Teacher, teacherSeed)
		if err != nil {
			t.Fatal(err)
		}
		check.Teacher = save("teacher", teacher)
	}
	for _, part := range parts {
		check.IDs = slices.AppendSeq(check.IDs, slices.Chunk(part.IDs, p.Length))
		check.Targets = slices.AppendSeq(check.Targets, slices.Chunk(part.Targets(), p.Length))
	}
	p.Steps = 3
	theirs := runTorch(t, python, dir, p, check)
	for i := range p.Steps {
		ours, norm, err := b.train(t.Context(), parts)
		if err != nil {
			t.Fatal(err)
		}
		tolerance := first
		if i > 0 {
			tolerance = then
		}
		at := func(what string) string { return fmt.Sprintf("step %d: %s", i+1, what) }
		near(t, at("total"), theirs[i].Total, ours.Total, tolerance)
		near(t, at("CE"), theirs[i].CE, ours.CE, tolerance)
		near(t, at("LD"), theirs[i].LD, ours.LD, tolerance)
		near(t, at("AD"), theirs[i].AD, ours.AD, tolerance)
		near(t, at("norm"), theirs[i].Norm, norm, tolerance)
	}
}

// torchCheck are files of weights, and a batch.
type torchCheck struct {
	Student string    `json:"student"`
	Teacher string    `json:"teacher,omitempty"`
	IDs     [][]int32 `json:"ids"`
	Targets [][]int32 `json:"targets"`
}

func runTorch(t *testing.T, python, dir string, p *BenchProgram, check torchCheck) []torchStep {
	t.Helper()
	program, err := json.Marshal(struct {
		*BenchProgram
		Threads int        `json:"threads"`
		Device  string     `json:"device"`
		Check   torchCheck `json:"check"`
	}{p, 2, "cpu", check})
	if err != nil {
		t.Fatal(err)
	}
	file, script := filepath.Join(dir, "program.json"), filepath.Join(dir, "torch_train.py")
	for name, content := range map[string][]byte{file: program, script: peers.TorchTrain} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var errors bytes.Buffer
	cmd := exec.CommandContext(t.Context(), python, script, file, "eager")
	cmd.Stderr = &errors
	cmd.Env = append(os.Environ(), "OMP_WAIT_POLICY=passive")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, errors.String())
	}
	var steps []torchStep
	if err := json.Unmarshal(out, &steps); err != nil || len(steps) != p.Steps {
		t.Fatalf("%v: %s", err, out)
	}
	return steps
}
