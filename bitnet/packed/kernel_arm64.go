//go:build !purego

package packed

import "golang.org/x/sys/cpu"

// gemvSDOT puts the products of a panel with one token into 64 sums.
//
//go:noescape
func gemvSDOT(sums *int32, panel *byte, codes *int8, groups int)

// unpackSDOT spreads the codes of a panel's groups.
//
//go:noescape
func unpackSDOT(unpacked, panel *byte, groups int)

// tileSDOT adds the products of unpacked groups with 1 to 6 tokens to their sums, 64 a token.
//
//go:noescape
func tileSDOT(sums *int32, unpacked *byte, codes *int8, stride, groups, tokens int)

// peakSDOT does 24 SDOT of 16 codes a turn.
//
//go:noescape
func peakSDOT(turns int)

// supported are the kernels of this processor, the best one first.
func supported() []kernel {
	if cpu.ARM64.HasASIMDDP {
		return []kernel{sdot, scalar}
	}
	return []kernel{scalar}
}

// gemv puts the products of a panel's groups with one token's codes into sums.
func (k kernel) gemv(sums *[panelRows]int32, panel []byte, codes []int8) {
	n := len(panel) / groupBytes
	_ = codes[4*n-1]
	if k == scalar {
		gemvScalar(sums, panel, codes)
		return
	}
	gemvSDOT(&sums[0], &panel[0], &codes[0], n)
}

// tiles reports whether there are loops for several tokens.
func (k kernel) tiles() bool { return k != scalar }

// unpack spreads the codes of up to 64 groups.
func (k kernel) unpack(to *unpacked, panel []byte) {
	unpackSDOT(&to[0], &panel[0], len(panel)/groupBytes)
}

// tile adds the products of n unpacked groups with as many tokens as there are sums, 1 to 6, whose codes are stride apart.
func (k kernel) tile(sums [][panelRows]int32, from *unpacked, n int, codes []int8, stride int) {
	_ = codes[(len(sums)-1)*stride+4*n-1]
	tileSDOT(&sums[0][0], &from[0], &codes[0], stride, n, len(sums))
}

func (k kernel) maxAbs(x []float32) uint32 { return maxAbsScalar(x) }

func (k kernel) quantize(codes []int8, x []float32, factor float32) { quantizeScalar(codes, x, factor) }

func (k kernel) sum(codes []int8) int32 { return sumScalar(codes) }

func (k kernel) scale(dst, scales *[panelRows]float32, sums *[panelRows]int32, offset int32, factor float32, add bool) {
	scaleScalar(dst, scales, sums, offset, factor, add)
}

// peak does n turns of multiply-adds on registers; a turn has that many products.
func (k kernel) peak(n int) (products int) {
	if k == scalar {
		return peakScalar(n)
	}
	peakSDOT(n)
	return 24 * 16
}

func (k kernel) read(x []byte) { readScalar(x) }
