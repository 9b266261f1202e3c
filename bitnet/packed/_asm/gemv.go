package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// ahead is how many bytes before their use a panel's are asked for: more than a processor looks ahead by itself while it computes. 512, 1024
// and 4096 are slower where it was measured (Zen 3, AVX2), and none slower yet: 65 % of the speed of reading alone, instead of 91 %.
const ahead = 2048

const gemvSignature = "func(sums *int32, panel *byte, codes *int8, groups int)"

// operands loads the arguments of a GEMV.
func operands() (sums, panel, codes Mem, groups GPVirtual) {
	return Mem{Base: Load(Param("sums"), GP64())}, Mem{Base: Load(Param("panel"), GP64())},
		Mem{Base: Load(Param("codes"), GP64())}, Load(Param("groups"), GP64()).(GPVirtual)
}

func gemvAVX2() {
	function("gemvAVX2", gemvSignature, "gemvAVX2 puts the products of a panel with one token into 64 sums.")
	sums, panel, codes, groups := operands()
	acc, raw, token, mask, tmp, ones := y[:8], y[8:10], Y10, Y11, y[12:14], Y14
	VPBROADCASTD(lowBits, mask)
	VPBROADCASTD(ones16, ones)
	zero(Y15)
	for i := range 8 {
		VMOVDQU(Y15, sums.Offset(32*i))
	}
	Label("blocks")
	n := GP64()
	MOVQ(U32(block), n)
	CMPQ(groups, n)
	CMOVQLT(groups, n)
	SUBQ(n, groups)
	zero(acc...)
	loop("columns", n, func() {
		PREFETCHT0(panel.Offset(ahead))
		VMOVDQU(panel, raw[0])
		VMOVDQU(panel.Offset(32), raw[1])
		VPBROADCASTD(codes, token)
		for part := range parts {
			for half := range 2 {
				shifted(part, raw[half], mask, tmp[half])
				VPMADDUBSW(token, tmp[half], tmp[half])
				VPADDW(tmp[half], acc[2*part+half], acc[2*part+half])
			}
		}
		ADDQ(U8(group), panel.Base)
		ADDQ(U8(4), codes.Base)
	})
	for i, a := range acc {
		VPMADDWD(ones, a, a)
		VPADDD(sums.Offset(32*i), a, a)
		VMOVDQU(a, sums.Offset(32*i))
	}
	TESTQ(groups, groups)
	JNZ(LabelRef("blocks"))
	VZEROUPPER()
	RET()
}

// unshifted are the masks of the parts. What they leave is 1, 4, 16 or 64 times a code, and so is the sum.
var unshifted = [parts]Mem{lowBits, constant("bits2", 0x0c0c0c0c), constant("bits4", 0x30303030), constant("bits6", 0xc0c0c0c0)}

func gemvAVXVNNI() {
	function("gemvAVXVNNI", gemvSignature, "gemvAVXVNNI is gemvAVX2 with AVX-VNNI.")
	sums, panel, codes, groups := operands()
	acc, masks, raw, token, tmp := y[:8], y[8:12], y[12:14], Y14, Y15
	for part, m := range unshifted {
		VPBROADCASTD(m, masks[part])
	}
	zero(acc...)
	loop("columns", groups, func() {
		PREFETCHT0(panel.Offset(ahead))
		VMOVDQU(panel, raw[0])
		VMOVDQU(panel.Offset(32), raw[1])
		VPBROADCASTD(codes, token)
		for part := range parts {
			for half := range 2 {
				VPAND(raw[half], masks[part], tmp)
				dpbusd(token, tmp, acc[2*part+half])
			}
		}
		ADDQ(U8(group), panel.Base)
		ADDQ(U8(4), codes.Base)
	})
	for i, a := range acc {
		if part := i / 2; part > 0 {
			VPSRAD(U8(2*part), a, a)
		}
		VMOVDQU(a, sums.Offset(32*i))
	}
	VZEROUPPER()
	RET()
}

func gemvAVX512() {
	function("gemvAVX512", gemvSignature, "gemvAVX512 is gemvAVX2 with AVX-512 VNNI.")
	sums, panel, codes, groups := operands()
	acc, more, masks := z[:4], z[4:8], z[8:12]
	for part, m := range unshifted {
		VPBROADCASTD(m, masks[part])
	}
	zero(acc...)
	zero(more...)
	columns := func(i int, acc, tmp []VecPhysical) {
		raw, token := tmp[0], tmp[1]
		PREFETCHT0(panel.Offset(group*i + ahead))
		VMOVDQU32(panel.Offset(group*i), raw)
		VPBROADCASTD(codes.Offset(4*i), token)
		for part := range parts {
			VPANDD(raw, masks[part], tmp[2+part])
			VPDPBUSD(token, tmp[2+part], acc[part])
		}
	}
	pairs := GP64()
	MOVQ(groups, pairs)
	SHRQ(U8(1), pairs)
	loop("pairs", pairs, func() { // two sets of sums, since a VPDPBUSD waits for the last one on the same
		columns(0, acc, z[12:18])
		columns(1, more, z[18:24])
		ADDQ(U8(2*group), panel.Base)
		ADDQ(U8(8), codes.Base)
	})
	ANDQ(U8(1), groups)
	JZ(LabelRef("even"))
	columns(0, acc, z[12:18])
	Label("even")
	for part, a := range acc {
		VPADDD(more[part], a, a)
		if part > 0 {
			VPSRAD(U8(2*part), a, a)
		}
		VMOVDQU32(a, sums.Offset(64*part))
	}
	VZEROUPPER()
	RET()
}
