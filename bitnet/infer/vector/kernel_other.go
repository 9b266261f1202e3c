//go:build purego || !amd64

package vector

func supported() []kernel { return []kernel{scalar} }

func (k kernel) add(dst, x []float32) { addScalar(dst, x) }

func (k kernel) multiply(dst, x []float32) { multiplyScalar(dst, x) }

func (k kernel) scale(x []float32, by float32) { scaleScalar(x, by) }

func (k kernel) scaleBy(dst, x, weight []float32, factor float32) {
	scaleByScalar(dst, x, weight, factor)
}

func (k kernel) sumSquares(dst *[lanes]float32, x []float32, width, rows int) {
	sumSquaresScalar(dst, x, 0, width, rows)
}

func (k kernel) rotate(first, second, cos, sin []float32) { rotateScalar(first, second, cos, sin) }

func (k kernel) max(x []float32) float32 { return maxScalar(x) }

func (k kernel) exponential(x []float32, less float32) { expScalar(x, less) }

func (k kernel) silu(dst, x, up []float32) { siluScalar(dst, x, up) }

func (k kernel) gelu(dst, x, up []float32) { geluScalar(dst, x, up) }

func (k kernel) product(dst, x Rows, m Blocks) { productScalar(dst, x, m) }

func (k kernel) toHalf(dst []uint16, x []float32) { toHalfScalar(dst, x) }

func (k kernel) fromHalf(dst []float32, x []uint16) { fromHalfScalar(dst, x) }

func (k kernel) toInt8(dst []int8, x []float32, factor float32) { toInt8Scalar(dst, x, factor) }

func (k kernel) fromInt8(dst []float32, x []int8) { fromInt8Scalar(dst, x) }

func (k kernel) maxAbs(x []float32) uint32 { return maxAbsScalar(x) }
