package main

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/distill"
)

func inspected(t *testing.T, args ...string) (i distill.Inspection) {
	t.Helper()
	r := call(t, append([]string{"inspect", "--json"}, args...)...)
	r.want(t, exitDone)
	r.decode(t, &i)
	return i
}

// ternaryByHand is the absmean quantizer of the paper in float64.
func ternaryByHand(values []float32) (scale float64, shares [3]float64) {
	for _, v := range values {
		scale += math.Abs(float64(v)) / float64(len(values))
	}
	for _, v := range values {
		shares[1+int(max(-1, min(1, math.RoundToEven(float64(v)/scale))))] += 1 / float64(len(values))
	}
	return scale, shares
}

// TestInspect compares codes, scales and sizes of a folder and of its packed file with what the weights say.
func TestInspect(t *testing.T) {
	file, folder := packedFile(t)
	m, weights, err := files.Open(folder)
	check(t, err)
	defer weights.Close()
	of := inspected(t, folder)
	packed := inspected(t, "--model", file, "--run", "--context", "100")
	if of.Format != "folder" || packed.Format != "bitdistill" || packed.Task != "sst2" || of.Task != "sst2" || !packed.Tokenizer || packed.Chat != "" || packed.Provenance == nil {
		t.Errorf("%s, %s, task %q, provenance %s", of.Format, packed.Format, packed.Task, packed.Provenance)
	}
	info, err := os.Stat(file)
	check(t, err)
	if packed.FileBytes != info.Size() || packed.Weights != arch.AbsMean || packed.Layers != m.Config.Layers {
		t.Errorf("%+v", packed)
	}
	values, bytes := 0, int64(0)
	for n, tensor := range m.Config.Tensors() {
		a, b := of.Tensors[n], packed.Tensors[n]
		values, bytes = values+tensor.Size(), bytes+b.Bytes
		if a.Name != tensor.Name || b.Name != tensor.Name || a.Values != tensor.Size() || a.Type != "F32" || a.Bits != 32 {
			t.Errorf("%+v, %+v, want %+v", a, b, tensor)
		}
		if tensor.Kind != arch.Linear {
			if a.Codes != nil || b.Codes != nil || b.Bits != 32 || b.MemoryBits != 32 {
				t.Errorf("%+v, %+v", a, b)
			}
			continue
		}
		w := make([]float32, tensor.Size())
		check(t, weights.Read(tensor, w))
		scale, shares := ternaryByHand(w)
		for _, s := range []distill.TensorStats{a, b} {
			off := math.Abs(s.Codes.Minus-shares[0]) + math.Abs(s.Codes.Zero-shares[1]) + math.Abs(s.Codes.Plus-shares[2])
			if off > 1e-3 || math.Abs(s.Scale.Mean-scale) > 1e-5*scale || s.Scale.N != 1 || s.Scale.Min != s.Scale.Max {
				t.Errorf("%s: %+v, %+v; want %v, %g", s.Name, *s.Codes, *s.Scale, shares, scale)
			}
		}
		panels := int64((tensor.Dims[0]+63)/64) * int64((tensor.Dims[1]+3)/4) * 64
		if *a.Codes != *b.Codes || *a.Scale != *b.Scale || a.Memory != b.Memory || b.Memory != b.Bytes || b.Bytes != panels+4 {
			t.Errorf("%+v in the file, %+v in the folder", b, a)
		}
	}
	total := packed.Totals[len(packed.Totals)-1]
	if total.Values != values || total.Bytes != bytes || total.Values != m.Config.Parameters() || bytes > info.Size() {
		t.Errorf("total %+v, want %d values, %d bytes", total, values, bytes)
	}
	mem := packed.Memory
	if c := m.Config; mem.Context != 100 || mem.Cache != int64(100*c.Layers*2*c.KVHeads*c.HeadDim*4) || mem.Expected != mem.Cache+mem.Weights || mem.Weights != total.Memory {
		t.Errorf("%+v", mem)
	}
	if runtime.GOOS == "linux" && (mem.Resident == nil || mem.Resident.After <= 1e6) {
		t.Errorf("resident: %+v", mem.Resident)
	}
}

// TestInspectText prints a line for each tensor, of a model in full precision too.
func TestInspectText(t *testing.T) {
	file, _ := packedFile(t)
	r := call(t, "inspect", file)
	r.want(t, exitDone)
	for _, part := range []string{"model.layers.0.mlp.down_proj.weight", "64×172", "2-bit panels", "all linear", "expected", "task: sst2", "chat template: none", "provenance: from embedded"} {
		if !strings.Contains(r.out, part) {
			t.Errorf("no %q in\n%s", part, r.out)
		}
	}
	r = call(t, "inspect", talker(t))
	r.want(t, exitDone)
	for _, part := range []string{"linears none", "chat_template.jinja", "task: none", "provenance: none"} {
		if !strings.Contains(r.out, part) {
			t.Errorf("no %q in\n%s", part, r.out)
		}
	}
}

// TestInspectRefused finds codes that are none, which running a model does not look for.
func TestInspectRefused(t *testing.T) {
	file, _ := packedFile(t)
	raw, err := os.ReadFile(file)
	check(t, err)
	cut, bad := filepath.Join(t.TempDir(), "cut.gguf"), filepath.Join(t.TempDir(), "bad.gguf")
	check(t, os.WriteFile(cut, raw[:len(raw)/2], 0o666))
	i := inspected(t, file)
	for at := len(raw) - int(i.Totals[len(i.Totals)-1].Bytes); at < len(raw); at++ {
		raw[at] = 0xff
	}
	check(t, os.WriteFile(bad, raw, 0o666))
	for name, c := range map[string]struct {
		args  []string
		words []string
	}{
		"no model": {nil, []string{"--model: missing"}},
		"missing":  {[]string{file + "x"}, []string{file + "x", "no such folder or file"}},
		"cut":      {[]string{cut}, []string{cut}},
		"codes":    {[]string{bad}, []string{bad}},
		"words":    {[]string{file, "more"}, []string{`"more"`}},
		"context":  {[]string{file, "--context", "9999"}, []string{"--context: 9999", "512"}},
		"threads":  {[]string{file, "--threads", "-2"}, []string{"--threads: -2"}},
	} {
		t.Run(name, func(t *testing.T) { call(t, append([]string{"inspect"}, c.args...)...).want(t, exitInput, c.words...) })
	}
}
