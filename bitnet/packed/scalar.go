package packed

import "math"

// gemvScalar puts the products of a panel's groups with one token's codes into sums.
func gemvScalar(sums *[panelRows]int32, panel []byte, codes []int8) {
	clear(sums[:])
	for g := 0; g < len(panel); g += groupBytes {
		for i := range 4 {
			a := int32(codes[g/16+i])
			for j := range 16 {
				b := panel[g+4*j+i]
				sums[j] += int32(b&3) * a
				sums[j+16] += int32(b>>2&3) * a
				sums[j+32] += int32(b>>4&3) * a
				sums[j+48] += int32(b>>6) * a
			}
		}
	}
}

func maxAbsScalar(x []float32) (bits uint32) {
	for _, v := range x {
		bits = max(bits, math.Float32bits(v)&^signBit)
	}
	return bits
}

func quantizeScalar(codes []int8, x []float32, factor float32) {
	for i, v := range x {
		codes[i] = int8(math.RoundToEven(float64(v * factor)))
	}
}

func sumScalar(codes []int8) (sum int32) {
	for _, c := range codes {
		sum += int32(c)
	}
	return sum
}

// scaleScalar is dst = (sums-offset) * (factor*scales), or adds that to dst. Every operation rounds: no fused ones, so that all kernels
// agree.
func scaleScalar(dst, scales *[panelRows]float32, sums *[panelRows]int32, offset int32, factor float32, add bool) {
	for r := range dst {
		v := float32(float32(sums[r]-offset) * float32(factor*scales[r]))
		if add {
			v += dst[r]
		}
		dst[r] = v
	}
}
