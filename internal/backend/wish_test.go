package backend

import (
	"errors"
	"testing"
)

func TestParseWish(t *testing.T) {
	for value, want := range map[string]wish{
		"":                                 {},
		"go":                               {backend: Go},
		"go:":                              {backend: Go},
		"go:ops_sequential,creation_order": {backend: Go, options: "ops_sequential,creation_order"},
		"xla":                              {backend: "xla"},
		"hlo:cpu":                          {backend: "xla", name: XLACPU},
		"xla:cuda,tf32=false,a=b":          {backend: "xla", name: XLACUDA, options: "tf32=false,a=b"},
		"xla:cpu_v0.114.0":                 {backend: "xla", name: XLACPU, plugin: "cpu_v0.114.0"},
		"xla:/a/pjrt_c_api_cpu_plugin.so":  {backend: "xla", name: XLACPU, path: "/a/pjrt_c_api_cpu_plugin.so"},
		"xla:/a/cpu/xla_cuda_plugin.so,x":  {backend: "xla", name: XLACUDA, path: "/a/cpu/xla_cuda_plugin.so", options: "x"},
	} {
		if got, err := parseWish(value); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", value, got, err, want)
		}
	}
	for _, value := range []string{"tpu", ":cpu", "xla:tpu", "xla:cpu/plugin.so", "xla:/a/cpu.so", "go:ops_parallel",
		"go:parallelism=3", "go:fast", "GO"} {
		if got, err := parseWish(value); !errors.Is(err, ErrConfig) {
			t.Errorf("%q: %+v, %v; want an error", value, got, err)
		}
	}
}

func TestTrapped(t *testing.T) {
	for _, c := range []struct {
		name, path string
		want       bool
	}{
		{XLACPU, "/lib/pjrt_c_api_cpu_plugin.so", false},
		{XLACPU, "/opt/CUDA-12/pjrt_c_api_cpu_plugin.so", true},
		{XLACPU, "/lib/go-xla/nvidia/pjrt_c_api_cpu_plugin.so", true},
		{XLACPU, "/a,b/pjrt_c_api_cpu_plugin.so", true},
		{XLACPU, "/lib/plugin.so", true},
		{XLACUDA, "/lib/nvidia/pjrt_c_api_cuda_plugin.so", false},
		{XLACUDA, "/cpu-host/xla_cuda_plugin.so", true},
	} {
		if got := trapped(c.name, c.path); got != c.want {
			t.Errorf("%s at %s: %v", c.name, c.path, got)
		}
	}
}
