//go:build purego || !amd64

package rows

func capable() bool { return false }

func (m *Matrix) dots([]float32, []float32, int) {}

func (m *Matrix) spread(*[panel * chunk]float32, int, int, int) {}

func tile([]float32, *[panel * chunk]float32, []float32, int, int, int, int) {}

func (m *Matrix) blocks([]float32, []codeBlock, int, int, int) {}

// ProbePeak has nothing to measure without kernels.
func ProbePeak(int) (products int) { return 0 }
