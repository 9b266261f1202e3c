package gguf

// decodeQ2_K: 16 pairs of four-bit scale and minimum, 64 bytes of two-bit
// codes, scale of the scales, scale of the minima. Sub-blocks have 16 values.
func decodeQ2_K(y []float32, b []byte) {
	for ; len(b) > 0; y, b = y[256:], b[84:] {
		d, dmin := halfAt(b[80:]), halfAt(b[82:])
		for s, pair := range b[:16] {
			scale, minimum := d*float32(int32(pair&15)), float32(dmin*float32(int32(pair>>4)))
			codes, shift := subBlock(b[16:80], s)
			out := (*[16]float32)(y[16*s:])
			for j, q := range codes {
				out[j] = float32(scale*float32(int32(q>>shift&3))) - minimum
			}
		}
	}
}

// decodeQ3_K: 32 bytes of the codes' third bits, 64 bytes of their low bits, 16
// scales of six bits, scale of the scales. A third bit that is not set takes 4
// off.
func decodeQ3_K(y []float32, b []byte) {
	for ; len(b) > 0; y, b = y[256:], b[110:] {
		d, packed := halfAt(b[108:]), b[96:108]
		for s := range 16 {
			six := packed[s%8]>>(s/8*4)&15 | packed[8+s%4]>>(s/4*2)&3<<4
			scale := d * float32(int32(six)-32)
			codes, shift := subBlock(b[32:96], s)
			high := (*[16]byte)(b[s%2*16:])
			out := (*[16]float32)(y[16*s:])
			for j, q := range codes {
				bit := high[j] >> (s / 2) & 1
				out[j] = scale * float32(int32(q>>shift&3|bit<<2)-4)
			}
		}
	}
}

// subBlock returns where the s-th 16 of 256 two-bit codes lie: 16 bytes and the
// place in them. 32 bytes hold 128 codes, the first 32 in the lowest bits.
func subBlock(b []byte, s int) (codes *[16]byte, shift int) {
	return (*[16]byte)(b[s/8*32+s%2*16:]), s % 8 / 2 * 2
}

// decodeQ4_K: scale of the scales, scale of the minima, 8 pairs of six-bit
// scale and minimum, 128 bytes of codes. 32 bytes hold two sub-blocks of 32,
// the first in the low bits.
func decodeQ4_K(y []float32, b []byte) {
	for ; len(b) > 0; y, b = y[256:], b[144:] {
		scales, minima := scalesAndMinima(b)
		for n := range 4 {
			out := (*[64]float32)(y[64*n:])
			d1, m1, d2, m2 := scales[2*n], minima[2*n], scales[2*n+1], minima[2*n+1]
			for j, q := range (*[32]byte)(b[16+32*n:]) {
				out[j] = float32(d1*float32(int32(q&15))) - m1
				out[j+32] = float32(d2*float32(int32(q>>4))) - m2
			}
		}
	}
}

// decodeQ5_K: as Q4_K, with 32 bytes before the codes that hold their fifth
// bits, those of the first sub-block lowest.
func decodeQ5_K(y []float32, b []byte) {
	for ; len(b) > 0; y, b = y[256:], b[176:] {
		scales, minima := scalesAndMinima(b)
		high := (*[32]byte)(b[16:])
		for n := range 4 {
			out := (*[64]float32)(y[64*n:])
			d1, m1, d2, m2 := scales[2*n], minima[2*n], scales[2*n+1], minima[2*n+1]
			for j, q := range (*[32]byte)(b[48+32*n:]) {
				bits := high[j] >> (2 * n)
				out[j] = float32(d1*float32(int32(q&15|bits&1<<4))) - m1
				out[j+32] = float32(d2*float32(int32(q>>4|bits&2<<3))) - m2
			}
		}
	}
}

// scalesAndMinima reads the start of a Q4_K or Q5_K block. Of the 12 bytes of
// pairs, four hold scales and four minima of the first four sub-blocks; the
// last four hold the low bits of the others, whose high bits are atop the first
// eight bytes.
func scalesAndMinima(b []byte) (scales, minima [8]float32) {
	d, dmin, packed := halfAt(b), halfAt(b[2:]), (*[12]byte)(b[4:])
	for s := range 4 {
		scales[s] = d * float32(int32(packed[s]&63))
		minima[s] = float32(dmin * float32(int32(packed[s+4]&63)))
		scales[s+4] = d * float32(int32(packed[s+8]&15|packed[s]>>6<<4))
		minima[s+4] = float32(dmin * float32(int32(packed[s+8]>>4|packed[s+4]>>6<<4)))
	}
	return scales, minima
}

// decodeQ6_K: 128 bytes of the codes' low four bits, 64 of their high two, 16
// signed scales of sub-blocks of 16, scale of the scales; codes around 32. Each
// half of the bytes holds 128 values in four runs of 32.
func decodeQ6_K(y []float32, b []byte) {
	for ; len(b) > 0; y, b = y[256:], b[210:] {
		d := halfAt(b[208:])
		for n := range 2 {
			low, high := (*[64]byte)(b[64*n:]), (*[32]byte)(b[128+32*n:])
			var scales [8]float32
			for s := range scales {
				scales[s] = d * float32(int8(b[192+8*n+s]))
			}
			out := (*[128]float32)(y[128*n:])
			for j, h := range high {
				s, p, q := j/16, low[j], low[j+32]
				out[j] = scales[s] * float32(int32(p&15|h&3<<4)-32)
				out[j+32] = scales[s+2] * float32(int32(q&15|h>>2&3<<4)-32)
				out[j+64] = scales[s+4] * float32(int32(p>>4|h>>4&3<<4)-32)
				out[j+96] = scales[s+6] * float32(int32(q>>4|h>>6<<4)-32)
			}
		}
	}
}
