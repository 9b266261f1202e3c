package vector

import (
	"os"

	"github.com/bitdistill/bitdistill/bitnet/packed"
)

// kernel is a set of loops. Its methods are one file an architecture, which leave to the Go loops what they have nothing better for.
type kernel struct {
	avx2 bool
	half bool // has conversions of float16
	exp  expKind
}

// expKind is how exp is computed.
type expKind int

const (
	goExp    expKind = iota // math.Exp
	plainExp                // as math.Exp does without fused operations
	fusedExp                // as it does with them
)

// scalar are the Go loops.
var scalar kernel

// active is what is computed with: the best there is, unless the environment variable that chooses the kernel of ternary products asks for
// plain Go. Other values of it are judged by packed.Kernel.
var active = func() kernel {
	if os.Getenv(packed.EnvKernel) == "scalar" {
		return scalar
	}
	return supported()[0]
}()
