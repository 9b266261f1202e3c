package backend

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gomlx/compute"
)

// cpuDevices is the option of GOMLX_BACKEND for the number of devices that XLA makes of the CPU. They share its cores: they
// are for trying on one machine what several GPUs will do.
const (
	cpuDevices     = "cpu_device_count"
	mostCPUDevices = 1024
)

// cutDevices takes that option out of others: go-xla knows it as one of the plugin alone. devices is 0 where it is not there.
func cutDevices(options string) (others string, devices int, err error) {
	var left []string
	for option := range strings.SplitSeq(options, ",") {
		key, value, _ := strings.Cut(option, "=")
		if key != cpuDevices {
			left = append(left, option)
			continue
		}
		if devices, err = strconv.Atoi(value); err != nil || devices < 1 || devices > mostCPUDevices {
			return "", 0, fmt.Errorf("%w: %s: %s=%s is not a number from 1 to %d", ErrConfig, gomlxEnv, cpuDevices, value, mostCPUDevices)
		}
	}
	return strings.Join(left, ","), devices, nil
}

// CheckDevices refuses n devices of a backend that has fewer. Only those of this process count: GoMLX
// has no way to join those of other processes or machines.
func CheckDevices(b compute.Backend, n int) error {
	if n <= 1 {
		return nil
	}
	if Interprets(b) {
		return fmt.Errorf("devices: %d, but the backend go has one; take xla:cpu or xla:cuda (see bitdistill doctor)", n)
	}
	if have := int(b.NumDevices()); have < n {
		return fmt.Errorf("devices: %d, but the backend has %d on this machine (those of several processes or machines cannot be joined; "+
			"of a CPU, %s=xla:cpu,%s=%d makes as many)", n, have, gomlxEnv, cpuDevices, n)
	}
	return nil
}
