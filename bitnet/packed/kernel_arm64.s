//go:build !purego

#include "textflag.h"

// The layout of panels and unpacked codes is in doc.go and mul.go. A vector has four rows times four columns.

// SDOT adds to the four sums of Vd the products of four bytes each of Vn (weights) and Vm (a token's codes). Go's assembler does not know
// it: SDOT Vd.4S, Vn.16B, Vm.16B.
#define SDOT(m, n, d) WORD $(0x4E809400 | (m)<<16 | (n)<<5 | (d))

// QUARTER multiplies 16 bytes of a group, with the rows of the four parts in their bits, with the codes in V20.
#define QUARTER(raw, a, b, c, d) \
	VAND  raw.B16, V21.B16, V22.B16 \
	SDOT(20, 22, a)                 \
	VUSHR $2, raw.B16, V23.B16      \
	VAND  V23.B16, V21.B16, V23.B16 \
	SDOT(20, 23, b)                 \
	VUSHR $4, raw.B16, V22.B16      \
	VAND  V22.B16, V21.B16, V22.B16 \
	SDOT(20, 22, c)                 \
	VUSHR $6, raw.B16, V23.B16      \
	SDOT(20, 23, d)

// func gemvSDOT(sums *int32, panel *byte, codes *int8, groups int)
TEXT ·gemvSDOT(SB), NOSPLIT, $0-32
	MOVD sums+0(FP), R0
	MOVD panel+8(FP), R1
	MOVD codes+16(FP), R2
	MOVD groups+24(FP), R3
	VEOR V0.B16, V0.B16, V0.B16
	VEOR V1.B16, V1.B16, V1.B16
	VEOR V2.B16, V2.B16, V2.B16
	VEOR V3.B16, V3.B16, V3.B16
	VEOR V4.B16, V4.B16, V4.B16
	VEOR V5.B16, V5.B16, V5.B16
	VEOR V6.B16, V6.B16, V6.B16
	VEOR V7.B16, V7.B16, V7.B16
	VEOR V8.B16, V8.B16, V8.B16
	VEOR V9.B16, V9.B16, V9.B16
	VEOR V10.B16, V10.B16, V10.B16
	VEOR V11.B16, V11.B16, V11.B16
	VEOR V12.B16, V12.B16, V12.B16
	VEOR V13.B16, V13.B16, V13.B16
	VEOR V14.B16, V14.B16, V14.B16
	VEOR V15.B16, V15.B16, V15.B16
	VMOVI $3, V21.B16

columns:
	VLD1.P  64(R1), [V16.B16, V17.B16, V18.B16, V19.B16]
	VLD1R.P 4(R2), [V20.S4]
	QUARTER(V16, 0, 4, 8, 12)
	QUARTER(V17, 1, 5, 9, 13)
	QUARTER(V18, 2, 6, 10, 14)
	QUARTER(V19, 3, 7, 11, 15)
	SUB     $1, R3
	CBNZ    R3, columns

	VST1.P [V0.S4, V1.S4, V2.S4, V3.S4], 64(R0)
	VST1.P [V4.S4, V5.S4, V6.S4, V7.S4], 64(R0)
	VST1.P [V8.S4, V9.S4, V10.S4, V11.S4], 64(R0)
	VST1.P [V12.S4, V13.S4, V14.S4, V15.S4], 64(R0)
	RET

// func unpackSDOT(unpacked, panel *byte, groups int)
TEXT ·unpackSDOT(SB), NOSPLIT, $0-24
	MOVD  unpacked+0(FP), R0
	MOVD  panel+8(FP), R1
	MOVD  groups+16(FP), R2
	ADD   $4096, R0, R3 // 64 groups of 64 bytes a part
	ADD   $4096, R3, R4
	ADD   $4096, R4, R5
	VMOVI $3, V21.B16

groups:
	VLD1.P 64(R1), [V16.B16, V17.B16, V18.B16, V19.B16]
	VAND V16.B16, V21.B16, V0.B16
	VAND V17.B16, V21.B16, V1.B16
	VAND V18.B16, V21.B16, V2.B16
	VAND V19.B16, V21.B16, V3.B16
	VST1.P [V0.B16, V1.B16, V2.B16, V3.B16], 64(R0)
	VUSHR $2, V16.B16, V4.B16
	VAND V4.B16, V21.B16, V4.B16
	VUSHR $2, V17.B16, V5.B16
	VAND V5.B16, V21.B16, V5.B16
	VUSHR $2, V18.B16, V6.B16
	VAND V6.B16, V21.B16, V6.B16
	VUSHR $2, V19.B16, V7.B16
	VAND V7.B16, V21.B16, V7.B16
	VST1.P [V4.B16, V5.B16, V6.B16, V7.B16], 64(R3)
	VUSHR $4, V16.B16, V8.B16
	VAND V8.B16, V21.B16, V8.B16
	VUSHR $4, V17.B16, V9.B16
	VAND V9.B16, V21.B16, V9.B16
	VUSHR $4, V18.B16, V10.B16
	VAND V10.B16, V21.B16, V10.B16
	VUSHR $4, V19.B16, V11.B16
	VAND V11.B16, V21.B16, V11.B16
	VST1.P [V8.B16, V9.B16, V10.B16, V11.B16], 64(R4)
	VUSHR $6, V16.B16, V12.B16
	VUSHR $6, V17.B16, V13.B16
	VUSHR $6, V18.B16, V14.B16
	VUSHR $6, V19.B16, V15.B16
	VST1.P [V12.B16, V13.B16, V14.B16, V15.B16], 64(R5)
	SUB    $1, R2
	CBNZ   R2, groups
	RET

// TOKEN multiplies a group's unpacked codes of one part, V24 to V27, with those of the token at p.
#define TOKEN(p, a, b, c, d) \
	VLD1R.P 4(p), [V28.S4] \
	SDOT(28, 24, a)        \
	SDOT(28, 25, b)        \
	SDOT(28, 26, c)        \
	SDOT(28, 27, d)

#define TOKENS1 TOKEN(R8, 0, 1, 2, 3)
#define TOKENS2 TOKENS1; TOKEN(R9, 4, 5, 6, 7)
#define TOKENS3 TOKENS2; TOKEN(R10, 8, 9, 10, 11)
#define TOKENS4 TOKENS3; TOKEN(R11, 12, 13, 14, 15)
#define TOKENS5 TOKENS4; TOKEN(R12, 16, 17, 18, 19)
#define TOKENS6 TOKENS5; TOKEN(R13, 20, 21, 22, 23)

// COLUMNS multiplies the groups of one part, which end at flush.
#define COLUMNS(loop, tokens) \
loop: \
	VLD1.P 64(R14), [V24.B16, V25.B16, V26.B16, V27.B16] \
	tokens                                               \
	SUB    $1, R7                                        \
	CBNZ   R7, loop                                      \
	B      flush

// FLUSH adds a token's sums of one part to those in memory.
#define FLUSH(a, b, c, d) \
	VLD1 (R15), [V24.S4, V25.S4, V26.S4, V27.S4] \
	VADD a.S4, V24.S4, V24.S4                    \
	VADD b.S4, V25.S4, V25.S4                    \
	VADD c.S4, V26.S4, V26.S4                    \
	VADD d.S4, V27.S4, V27.S4                    \
	VST1 [V24.S4, V25.S4, V26.S4, V27.S4], (R15) \
	ADD  $256, R15

// func tileSDOT(sums *int32, unpacked *byte, codes *int8, stride, groups, tokens int)
TEXT ·tileSDOT(SB), NOSPLIT, $0-48
	MOVD sums+0(FP), R0
	MOVD unpacked+8(FP), R1
	MOVD codes+16(FP), R2
	MOVD stride+24(FP), R3
	MOVD groups+32(FP), R4
	MOVD tokens+40(FP), R5
	MOVD $4, R6

part:
	VEOR V0.B16, V0.B16, V0.B16
	VEOR V1.B16, V1.B16, V1.B16
	VEOR V2.B16, V2.B16, V2.B16
	VEOR V3.B16, V3.B16, V3.B16
	VEOR V4.B16, V4.B16, V4.B16
	VEOR V5.B16, V5.B16, V5.B16
	VEOR V6.B16, V6.B16, V6.B16
	VEOR V7.B16, V7.B16, V7.B16
	VEOR V8.B16, V8.B16, V8.B16
	VEOR V9.B16, V9.B16, V9.B16
	VEOR V10.B16, V10.B16, V10.B16
	VEOR V11.B16, V11.B16, V11.B16
	VEOR V12.B16, V12.B16, V12.B16
	VEOR V13.B16, V13.B16, V13.B16
	VEOR V14.B16, V14.B16, V14.B16
	VEOR V15.B16, V15.B16, V15.B16
	VEOR V16.B16, V16.B16, V16.B16
	VEOR V17.B16, V17.B16, V17.B16
	VEOR V18.B16, V18.B16, V18.B16
	VEOR V19.B16, V19.B16, V19.B16
	VEOR V20.B16, V20.B16, V20.B16
	VEOR V21.B16, V21.B16, V21.B16
	VEOR V22.B16, V22.B16, V22.B16
	VEOR V23.B16, V23.B16, V23.B16
	MOVD R2, R8
	ADD  R3, R8, R9
	ADD  R3, R9, R10
	ADD  R3, R10, R11
	ADD  R3, R11, R12
	ADD  R3, R12, R13
	MOVD R1, R14
	MOVD R4, R7
	CMP $1, R5
	BEQ columns1
	CMP $2, R5
	BEQ columns2
	CMP $3, R5
	BEQ columns3
	CMP $4, R5
	BEQ columns4
	CMP $5, R5
	BEQ columns5
	COLUMNS(columns6, TOKENS6)
	COLUMNS(columns5, TOKENS5)
	COLUMNS(columns4, TOKENS4)
	COLUMNS(columns3, TOKENS3)
	COLUMNS(columns2, TOKENS2)
	COLUMNS(columns1, TOKENS1)

flush:
	MOVD R0, R15
	FLUSH(V0, V1, V2, V3)
	CMP $1, R5
	BEQ next
	FLUSH(V4, V5, V6, V7)
	CMP $2, R5
	BEQ next
	FLUSH(V8, V9, V10, V11)
	CMP $3, R5
	BEQ next
	FLUSH(V12, V13, V14, V15)
	CMP $4, R5
	BEQ next
	FLUSH(V16, V17, V18, V19)
	CMP $5, R5
	BEQ next
	FLUSH(V20, V21, V22, V23)

next:
	ADD  $64, R0
	ADD  $4096, R1
	SUB  $1, R6
	CBNZ R6, part
	RET

// func peakSDOT(turns int)
TEXT ·peakSDOT(SB), NOSPLIT, $0-8
	MOVD turns+0(FP), R0

turns:
	SDOT(24, 25, 0)
	SDOT(24, 25, 1)
	SDOT(24, 25, 2)
	SDOT(24, 25, 3)
	SDOT(24, 25, 4)
	SDOT(24, 25, 5)
	SDOT(24, 25, 6)
	SDOT(24, 25, 7)
	SDOT(24, 25, 8)
	SDOT(24, 25, 9)
	SDOT(24, 25, 10)
	SDOT(24, 25, 11)
	SDOT(24, 25, 12)
	SDOT(24, 25, 13)
	SDOT(24, 25, 14)
	SDOT(24, 25, 15)
	SDOT(24, 25, 16)
	SDOT(24, 25, 17)
	SDOT(24, 25, 18)
	SDOT(24, 25, 19)
	SDOT(24, 25, 20)
	SDOT(24, 25, 21)
	SDOT(24, 25, 22)
	SDOT(24, 25, 23)
	SUB  $1, R0
	CBNZ R0, turns
	RET
