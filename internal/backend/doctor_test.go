package backend

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
)

func TestDoctorWithoutPlugins(t *testing.T) {
	m, _ := bare(t)
	r := m.doctor(t.Context())
	if len(r.Backends) != 3 || r.Auto.Name != Go || r.Cores < 1 {
		t.Fatalf("%+v", r)
	}
	if s := r.Backends[0]; !s.Available || s.Problem != "" || s.Matmul == nil || s.Matmul.GFLOPS <= 0 || s.Matmul.Runs < 2 {
		t.Errorf("%+v", s)
	}
	for _, s := range r.Backends[1:] {
		if s.Available || s.Problem == "" {
			t.Errorf("%+v", s)
		}
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	mention(t, string(text), `"simd":`, `"matmul":{"size":`, `"auto":{"name":"go"`)
}

func TestDoctorGarbagePlugin(t *testing.T) {
	if !xlaBuilt {
		t.Skip(noXLA)
	}
	m, home := bare(t)
	path := put(t, "garbage", home, "pjrt_c_api_cpu_plugin.so")
	t.Setenv(pluginPathEnv, home)
	r := m.doctor(t.Context())
	mention(t, r.Backends[1].Problem, path)
	mention(t, r.Auto.Why, path)
}

func TestDoctorBadEnvironment(t *testing.T) {
	m, _ := bare(t)
	t.Setenv(gomlxEnv, "tpu")
	r := m.doctor(t.Context())
	mention(t, r.Auto.Error, gomlxEnv, "tpu")
}

func TestDoctorCancelled(t *testing.T) {
	m, _ := bare(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, s := range m.doctor(ctx).Backends {
		mention(t, s.Problem, "not examined")
	}
}

func TestCheckProduct(t *testing.T) {
	const n = 8
	x, y := patterned(n, 7), patterned(n, 5)
	product := make([]float32, n*n)
	for i := range product {
		for k := range n {
			product[i] += x[i/n*n+k] * y[k*n+i%n]
		}
	}
	if err := checkProduct(tensors.FromFlatDataAndDimensions(product, n, n), x, y, n); err != nil {
		t.Error(err)
	}
	product[3*n+3]++
	err := checkProduct(tensors.FromFlatDataAndDimensions(product, n, n), x, y, n)
	if err == nil {
		t.Fatal("a wrong product was accepted")
	}
	mention(t, err.Error(), "wrong result", "[3, 3]")
}

func TestMatmulCancelled(t *testing.T) {
	m, _ := bare(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := measureMatmul(ctx, mustOpen(t, m, Go, Go).Backend, 8); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestWriteText(t *testing.T) {
	r := Report{
		OS: "linux", Arch: "amd64", CPU: "Fast 9000", Cores: 4, GoVersion: "go1", SIMD: true, XLA: true,
		MemoryTotal: 8 << 30, MemoryAvailable: 3 << 29, MemoryLimit: 4 << 30,
		Modules: []Module{{"github.com/gomlx/gomlx", "v0.28.2"}, {Path: "example.com/other"}},
		Backends: []Status{
			{Name: Go, Available: true, Description: "portable", Devices: []string{"device#0"},
				Matmul: &Speed{Size: 1024, DType: "float32", Runs: 5, Seconds: 0.0123, GFLOPS: 174.6}},
			{Name: XLACPU, Problem: "no plugin found", Searched: []string{"/a", "/b"}, Steps: []string{"first", "second"}},
		},
		Auto: Decision{Name: Go, Why: "backend go: because"},
	}
	const want = `
system          linux/amd64
cpu             Fast 9000, 4 cores
memory          8.0 GiB, 1.5 GiB available, limited to 4.0 GiB by the control group
go              go1, GOEXPERIMENT=simd: yes, XLA in the build: yes
gomlx           v0.28.2
other           not in this program

go              available: portable
  devices       1: device#0
  matmul        174.6 GFLOP/s (1024 x 1024 float32, 12.3 ms, best of 5)

xla:cpu         not available
  problem       no plugin found
  looked for    /a
                /b
  to get it     first
                second

auto            backend go: because
`
	var got strings.Builder
	if err := r.WriteText(&got); err != nil {
		t.Fatal(err)
	}
	if "\n"+got.String() != want {
		t.Errorf("got:\n%s\nwant:%s", got.String(), want)
	}
}
