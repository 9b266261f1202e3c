package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	eight    = 8  // rows of a vector
	rows     = 16 // rows that are added up side by side, since a sum waits for the one before
	maxTile  = 6  // tokens that are multiplied at once
	rowBytes = 4 * rows
)

// stored is a type of values in memory.
type stored struct {
	name string
	size int // bytes
	// four loads four dwords of a row and of the row four below it.
	four func(upper, lower Mem, to VecPhysical)
	// columns are how many there are in four vectors, each of a dword of eight rows.
	columns int
}

var (
	f32  = stored{"F32", 4, loadF32, 4}
	f16  = stored{"F16", 2, loadF16, 4}
	bf16 = stored{"BF16", 2, loadF32, 8} // a dword is two columns
)

func loadF32(upper, lower Mem, to VecPhysical) {
	VMOVUPS(upper, to.AsX())
	VINSERTF128(U8(1), lower, to, to)
}

func loadF16(upper, lower Mem, to VecPhysical) {
	VMOVQ(upper, to.AsX())
	VMOVHPS(lower, to.AsX(), to.AsX())
	VCVTPH2PS(to.AsX(), to)
}

// source are 16 rows in memory, and what is to be read next.
type source struct {
	stored
	at    [rows / 4]Mem // every fourth row
	pitch Register      // bytes from a row to the next
	three Register      // of them
	ahead Mem           // what comes next of what follows these rows
}

// loadSource has the parameters rows, pitch and ahead.
func loadSource(s stored) source {
	src := source{stored: s, pitch: Load(Param("pitch"), GP64()), three: GP64()}
	LEAQ(Mem{Base: src.pitch, Index: src.pitch, Scale: 2}, src.three)
	four := GP64()
	MOVQ(src.pitch, four)
	SHLQ(U8(2), four)
	src.at[0] = pointer("rows")
	for i := range src.at[1:] {
		src.at[i+1] = Mem{Base: GP64()}
		LEAQ(Mem{Base: src.at[i].Base, Index: four, Scale: 1}, src.at[i+1].Base)
	}
	src.ahead = Mem{Base: Load(Param("ahead"), GP64())}
	ADDQ(src.at[0].Base, src.ahead.Base)
	return src
}

// row is one that is addressed, or of the three that follow.
func (s source) row(i, disp int) Mem {
	m := s.at[i/4].Offset(disp)
	switch i % 4 {
	case 1, 2:
		m.Index, m.Scale = s.pitch, uint8(i%4)
	case 3:
		m.Index, m.Scale = s.three, 1
	}
	return m
}

// Registers of the kernels of 16 rows.
var (
	highBits = Y2 // a mask, for bfloat16
	free     = y[8:12]
	vectors  = [2][]VecPhysical{y[4:8], y[12:16]} // of the upper and of the lower eight rows
)

// transpose fills vectors with a dword of eight rows each, from an offset on.
func (s source) transpose(half, disp int) {
	a, t := vectors[half], free
	for i, v := range a {
		s.four(s.row(eight*half+i, disp), s.row(eight*half+4+i, disp), v)
	}
	VUNPCKLPS(a[1], a[0], t[0])
	VUNPCKLPS(a[3], a[2], t[1])
	VUNPCKHPS(a[1], a[0], t[2])
	VUNPCKHPS(a[3], a[2], t[3])
	VUNPCKLPD(t[1], t[0], a[0])
	VUNPCKHPD(t[1], t[0], a[1])
	VUNPCKLPD(t[3], t[2], a[2])
	VUNPCKHPD(t[3], t[2], a[3])
}

// column leaves one of those that were transposed in a register, in order.
func (s source) column(half, i int) VecPhysical {
	if s.columns == 4 {
		return vectors[half][i]
	}
	v, even := vectors[half][i/2], free[half]
	if i%2 == 0 {
		VPSLLD(U8(16), v, even)
		return even
	}
	VPAND(v, highBits, v)
	return v
}

var highHalf = constant("highHalf", 0xffff0000)

// begin has the constants in registers.
func (s source) begin() {
	if s.columns == 8 {
		VPBROADCASTD(highHalf, highBits)
	}
}

// line is how many columns of a row a line of the caches has.
func (s stored) line() int { return 64 / s.size }

// split gives how many lines there are in so many times eight columns, and how many times eight columns more.
func (s source) split(eights Register) (lines, rest Register) {
	lines, rest = GP64(), eights
	n := s.line() / eight
	MOVQ(eights, lines)
	SHRQ(U8(log2(n)), lines)
	ANDQ(U8(n-1), rest)
	return lines, rest
}

func log2(n int) (bits int) {
	for ; n > 1; n /= 2 {
		bits++
	}
	return bits
}

// advance goes on by some columns, and has memory bring as many bytes of what comes next.
func (s source) advance(columns int) {
	for i := range rows * columns * s.size / 64 {
		PREFETCHT0(s.ahead.Offset(64 * i))
	}
	ADDQ(U32(rows*columns*s.size), s.ahead.Base)
	for _, at := range s.at {
		ADDQ(U8(columns*s.size), at.Base)
	}
}

// dots multiplies with one token. The lower eight rows are a line of the caches behind the upper ones: where rows are a multiple of 4096 bytes
// apart, the first cache has room for the same line of few of them. (Bringing them to a buffer first is slower.)
func dots(s stored) {
	name := "dots" + s.name
	function(name, "func(sums *float32, rows *byte, x *float32, pitch, ahead, eights int)",
		name+" adds up the products of 16 rows, pitch bytes apart, with 8*eights values, each sum from first to last, and has as many bytes fetched from ahead bytes on.")
	sums, src, x := pointer("sums"), loadSource(s), pointer("x")
	lines, rest := src.split(Load(Param("eights"), GP64()))
	acc := y[:2]
	zero(acc...)
	src.begin()
	// columns adds products of columns from from[half] on; a negative number leaves a half out.
	columns := func(n int, from ...int) {
		for c := 0; c < n; c += s.columns {
			for half, at := range from {
				if at >= 0 {
					src.transpose(half, (at+c)*s.size)
				}
			}
			for i := range s.columns {
				for half, at := range from {
					if at < 0 {
						continue
					}
					w, product := src.column(half, i), free[2+half]
					VBROADCASTSS(x.Offset(4*(at+c+i)), product)
					VMULPS(w, product, product)
					VADDPS(product, acc[half], acc[half])
				}
			}
		}
	}
	advance := func(n int) {
		src.advance(n)
		ADDQ(U8(4*n), x.Base)
	}
	line := s.line()
	TESTQ(lines, lines)
	JZ(LabelRef("rest"))
	columns(line, 0, -1)
	DECQ(lines)
	loop("lines", lines, func() {
		columns(line, line, 0)
		advance(line)
	})
	columns(line, -1, 0)
	advance(line)
	Label("rest")
	loop("eights", rest, func() {
		columns(eight, 0, 0)
		advance(eight)
	})
	for half, sum := range acc {
		VMOVUPS(sum, sums.Offset(4*eight*half))
	}
	VZEROUPPER()
	RET()
}

// spread prepares what several tokens are multiplied with.
func spread(s stored) {
	name := "spread" + s.name
	function(name, "func(columns *float32, rows *byte, pitch, ahead, eights int)",
		name+" writes 8*eights columns of 16 rows, pitch bytes apart, one behind the other, and has bytes fetched as dots"+s.name+" does.")
	columns, src := pointer("columns"), loadSource(s)
	lines, rest := src.split(Load(Param("eights"), GP64()))
	src.begin()
	write := func(n int) {
		for half := range 2 {
			for c := 0; c < n; c += s.columns {
				src.transpose(half, c*s.size)
				for i := range s.columns {
					VMOVUPS(src.column(half, i), columns.Offset(rowBytes*(c+i)+4*eight*half))
				}
			}
		}
		src.advance(n)
		ADDQ(U32(rowBytes*n), columns.Base)
	}
	loop("lines", lines, func() { write(s.line()) })
	loop("eights", rest, func() { write(eight) })
	VZEROUPPER()
	RET()
}

// tokens are pointers to some of them: every third has a register.
type tokens struct {
	at    [maxTile / 3]Mem
	pitch Register
}

func loadTokens(name, pitch string) tokens {
	t := tokens{pitch: Load(Param(pitch), GP64())}
	SHLQ(U8(2), t.pitch)
	t.at[0] = pointer(name)
	t.at[1] = Mem{Base: GP64()}
	LEAQ(Mem{Base: t.at[0].Base, Index: t.pitch, Scale: 2}, t.at[1].Base)
	ADDQ(t.pitch, t.at[1].Base)
	return t
}

// token is a value of one, at an offset.
func (t tokens) token(i, disp int) Mem {
	m := t.at[i/3].Offset(disp)
	if i%3 > 0 {
		m.Index, m.Scale = t.pitch, uint8(i%3)
	}
	return m
}

// tile multiplies with several tokens.
func tile() {
	function("tileAVX2", "func(sums, columns, x *float32, sumsPitch, xPitch, n, tokens int)",
		"tileAVX2 adds the products of n columns of 16 rows with 1 to 6 tokens, whose values are xPitch apart, to their sums, which are sumsPitch apart.")
	sums, columns, x := loadTokens("sums", "sumsPitch"), pointer("columns"), loadTokens("x", "xPitch")
	n, count := Load(Param("n"), GP64()), Load(Param("tokens"), GP64())
	for i := 1; i < maxTile; i++ {
		CMPQ(count, U8(i))
		JEQ(LabelRef(fmt.Sprintf("tokens%d", i)))
	}
	for count := maxTile; count > 0; count-- {
		Label(fmt.Sprintf("tokens%d", count))
		acc, w, tmp := y[:2*count], y[12:14], y[14:16]
		for i, a := range acc {
			VMOVUPS(sums.token(i/2, 4*eight*(i%2)), a)
		}
		column := func(i int) {
			VMOVUPS(columns.Offset(rowBytes*i), w[0])
			VMOVUPS(columns.Offset(rowBytes*i+4*eight), w[1])
			for t := range count {
				VBROADCASTSS(x.token(t, 4*i), tmp[0])
				VMULPS(w[0], tmp[0], tmp[1])
				VADDPS(tmp[1], acc[2*t], acc[2*t])
				VMULPS(w[1], tmp[0], tmp[0])
				VADDPS(tmp[0], acc[2*t+1], acc[2*t+1])
			}
		}
		turns := GP64()
		MOVQ(n, turns)
		SHRQ(U8(3), turns)
		loop(fmt.Sprintf("columns%d", count), turns, func() {
			for i := range eight {
				column(i)
			}
			ADDQ(U32(rowBytes*eight), columns.Base)
			for _, at := range x.at {
				ADDQ(U8(4*eight), at.Base)
			}
		})
		for i, a := range acc {
			VMOVUPS(a, sums.token(i/2, 4*eight*(i%2)))
		}
		VZEROUPPER()
		RET()
	}
}
