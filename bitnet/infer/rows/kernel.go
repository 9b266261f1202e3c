package rows

import "github.com/bitdistill/bitdistill/bitnet/packed"

// vectors says whether kernels compute: where there are some for the processor, unless the environment variable of package packed
// forces plain Go.
var vectors = func() bool {
	name, err := packed.Kernel()
	return capable() && (err != nil || name != "scalar")
}()
