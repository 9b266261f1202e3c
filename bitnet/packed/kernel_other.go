//go:build purego || !(amd64 || arm64)

package packed

func supported() []kernel { return []kernel{scalar} }

func (k kernel) gemv(sums *[panelRows]int32, panel []byte, codes []int8) {
	gemvScalar(sums, panel, codes)
}

func (k kernel) tiles() bool { return false }

func (k kernel) unpack(*unpacked, []byte) {}

func (k kernel) tile([][panelRows]int32, *unpacked, int, []int8, int) {}

func (k kernel) maxAbs(x []float32) uint32 { return maxAbsScalar(x) }

func (k kernel) quantize(codes []int8, x []float32, factor float32) { quantizeScalar(codes, x, factor) }

func (k kernel) sum(codes []int8) int32 { return sumScalar(codes) }

func (k kernel) scale(dst, scales *[panelRows]float32, sums *[panelRows]int32, offset int32, factor float32, add bool) {
	scaleScalar(dst, scales, sums, offset, factor, add)
}

func (k kernel) peak(n int) (products int) { return peakScalar(n) }

func (k kernel) read(x []byte) { readScalar(x) }
