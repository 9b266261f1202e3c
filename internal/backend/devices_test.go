package backend

import (
	"errors"
	"testing"
)

// The option of GOMLX_BACKEND is taken out from among others, and refused where it is no number of devices.
func TestCutDevices(t *testing.T) {
	for options, want := range map[string]struct {
		others  string
		devices int
	}{
		"":                                  {"", 0},
		"tf32=false":                        {"tf32=false", 0},
		"cpu_device_count=3":                {"", 3},
		"tf32=false,cpu_device_count=8,a=b": {"tf32=false,a=b", 8},
	} {
		others, devices, err := cutDevices(options)
		if err != nil || others != want.others || devices != want.devices {
			t.Errorf("%q: %q and %d devices, %v", options, others, devices, err)
		}
	}
	for _, options := range []string{"cpu_device_count", "cpu_device_count=0", "cpu_device_count=two", "cpu_device_count=100000"} {
		if _, _, err := cutDevices(options); !errors.Is(err, ErrConfig) {
			t.Errorf("%q: %v", options, err)
		}
	}
}

// The CPU has as many devices as asked for, and doctor names them.
func TestCPUDevices(t *testing.T) {
	cpuPlugin(t)
	t.Setenv(gomlxEnv, "xla:cpu,cpu_device_count=3")
	c := mustOpen(t, thisMachine(), XLACPU, XLACPU)
	defer c.Close()
	if err := CheckDevices(c.Backend, 3); err != nil {
		t.Error(err)
	}
	err := CheckDevices(c.Backend, 4)
	if err == nil {
		t.Fatal("4 devices of 3 are not refused")
	}
	mention(t, err.Error(), "devices: 4", "has 3")
	if _, devices := describe(c); len(devices) != 3 {
		t.Errorf("doctor names %v", devices)
	}
}
