package packed

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// EnvKernel is the environment variable that forces a kernel: a name out of [Kernels], read once at the start.
const EnvKernel = "BITDISTILL_KERNEL"

// kernel is a set of loops. Its methods are one file an architecture, which leave to the scalar ones what they have nothing better for.
type kernel int

const (
	scalar     kernel = iota // plain Go, and what the others have to equal
	avx2                     // VPMADDUBSW
	avxVNNI                  // VPDPBUSD of AVX-VNNI, 256 bits
	avx512VNNI               // VPDPBUSD of AVX-512, 512 bits
	sdot                     // SDOT of arm64
	kernels
)

var kernelNames = [kernels]string{scalar: "scalar", avx2: "avx2", avxVNNI: "avxvnni", avx512VNNI: "avx512vnni", sdot: "sdot"}

func (k kernel) String() string { return kernelNames[k] }

var active, errKernel = choose(os.Getenv(EnvKernel), supported())

// choose is the kernel of a name, or the first of those that this machine has if the name is empty.
func choose(name string, has []kernel) (kernel, error) {
	if name == "" {
		return has[0], nil
	}
	for k := range kernels {
		if k.String() != name {
			continue
		}
		if !slices.Contains(has, k) {
			return scalar, fmt.Errorf("%s=%s: this processor or this build has no such kernel; it has %s", EnvKernel, name, names(has))
		}
		return k, nil
	}
	return scalar, fmt.Errorf("%s=%s: there is no such kernel; this processor has %s", EnvKernel, name, names(has))
}

func names(has []kernel) string {
	var all []string
	for _, k := range has {
		all = append(all, k.String())
	}
	return strings.Join(all, ", ")
}

// Kernel is the name of the kernel in use: the best that this processor has, or the one that the environment variable BITDISTILL_KERNEL
// names. It is an error if that is unknown or impossible here, and then nothing in this package computes.
func Kernel() (string, error) {
	if errKernel != nil {
		return "", errKernel
	}
	return active.String(), nil
}

// Kernels are the names of the kernels that can run here, the best one first, the scalar one last.
func Kernels() []string {
	return strings.Split(names(supported()), ", ")
}
