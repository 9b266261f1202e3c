package hf

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/internal/safetensors"
)

const loadEnv = "BITDISTILL_TEST_LOAD" // folder that a process of its own loads; "-" loads nothing

// Loading holds less than 1.3 times the model in float32, from one file of BF16 and from several of F32.
func TestMemoryOfLoading(t *testing.T) {
	if dir := os.Getenv(loadEnv); dir != "" {
		if dir != "-" {
			m := mustLoad(t, dir)
			defer func() { fmt.Println(m.Config.Layers) }() // still held when the peak is read
		}
		fmt.Println("peak", peakMemory(t))
		return
	}
	c := arch.Config{Family: arch.Qwen3, VocabSize: 8000, HiddenSize: 512, IntermediateSize: 1536, Layers: 8, Heads: 8, KVHeads: 4,
		HeadDim: 64, MaxPositions: 64, NormEps: 1e-6, RopeTheta: 1e6, Quantization: bitnet.Full()}
	size := 0
	for _, tensor := range c.Tensors() {
		size += 4 * tensor.Size()
	}
	whole := &Model{Model: files.Model{Config: c}, Store: zeros(t, c)}
	one, several := t.TempDir(), t.TempDir()
	for _, dir := range []string{one, several} {
		if err := whole.Save(dir); err != nil {
			t.Fatal(err)
		}
	}
	halve(t, filepath.Join(one, "model.safetensors"))
	split(t, several, 4)
	base := peakOf(t, "-")
	for name, dir := range map[string]string{"BF16": one, "F32 in 4 files": several} {
		ratio := float64(peakOf(t, dir)-base) / float64(size)
		t.Logf("%s: %.3f times the %d MiB of the model", name, ratio, size>>20)
		if ratio > 1.3 || ratio < 0.5 {
			t.Errorf("%s: loading took %.2f times the model's size, want at most 1.3", name, ratio)
		}
	}
}

// halve rewrites a file of F32 as BF16.
func halve(t *testing.T, path string) {
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []safetensors.Tensor
	for _, name := range f.Names() {
		info, _ := f.Info(name)
		values, err := f.Float32s(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, safetensors.FromFloat32s(name, safetensors.BF16, info.Shape, values))
	}
	out, err := os.Create(path + ".new")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := safetensors.Write(out, nil, all); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// peakOf is the peak memory of a process that loads dir, bytes.
func peakOf(t *testing.T, dir string) int {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestMemoryOfLoading$")
	child.Env = append(os.Environ(), loadEnv+"="+dir)
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, rest, _ := strings.Cut(string(out), "peak ")
	number, _, _ := strings.Cut(rest, "\n")
	peak, err := strconv.Atoi(number)
	if err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return peak
}

// peakMemory is the most that was resident of this process, bytes.
func peakMemory(t *testing.T) int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
