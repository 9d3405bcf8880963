#include "textflag.h"

// Two sums at once: while the rounds of one wait for their results, those of
// the other use the unit. The first has its state in X1 and X2 (FEBA and HGDC,
// as the instructions want them) and its message in X3–X6, the second in X7,
// X8 and X9–X12. X0 is the rounds' operand, X13–X15 are scratch.

// LOAD reads four big endian words of a message.
#define LOAD(at, p, w) \
	MOVOU	at(p), w; \
	PSHUFB	X15, w

// NEXT makes of the last 16 words, w0 the oldest, the next four, in w0.
#define NEXT(w0, w1, w2, w3, t) \
	SHA256MSG1	w1, w0; \
	MOVO	w3, t; \
	PALIGNR	$4, w2, t; \
	PADDL	t, w0; \
	SHA256MSG2	w3, w0

// ROUNDS does four rounds.
#define ROUNDS(k, w, s0, s1) \
	MOVOU	k(AX), X0; \
	PADDL	w, X0; \
	SHA256RNDS2	X0, s0, s1; \
	PSHUFD	$0x0e, X0, X0; \
	SHA256RNDS2	X0, s1, s0

#define FIRST(at, wa, wb) \
	LOAD(at, SI, wa); \
	LOAD(at, DI, wb); \
	ROUNDS(at, wa, X1, X2); \
	ROUNDS(at, wb, X7, X8)

#define LATER(k, a0, a1, a2, a3, b0, b1, b2, b3) \
	NEXT(a0, a1, a2, a3, X13); \
	NEXT(b0, b1, b2, b3, X14); \
	ROUNDS(k, a0, X1, X2); \
	ROUNDS(k, b0, X7, X8)

#define ADD(at, s, t) \
	MOVOU	at(SP), t; \
	PADDL	t, s

// func blocks(a, b *[8]uint32, pa, pb *byte, n int)
TEXT ·blocks(SB), NOSPLIT, $64-40
	MOVQ	a+0(FP), R8
	MOVQ	b+8(FP), R9
	MOVQ	pa+16(FP), SI
	MOVQ	pb+24(FP), DI
	MOVQ	n+32(FP), CX
	TESTQ	CX, CX
	JLE	done
	LEAQ	k<>(SB), AX
	MOVOU	0(R8), X1
	MOVOU	16(R8), X2
	MOVOU	0(R9), X7
	MOVOU	16(R9), X8
	MOVOU	swap<>(SB), X15

block:
	MOVOU	X1, 0(SP)
	MOVOU	X2, 16(SP)
	MOVOU	X7, 32(SP)
	MOVOU	X8, 48(SP)
	FIRST(0, X3, X9)
	FIRST(16, X4, X10)
	FIRST(32, X5, X11)
	FIRST(48, X6, X12)
	LATER(64, X3, X4, X5, X6, X9, X10, X11, X12)
	LATER(80, X4, X5, X6, X3, X10, X11, X12, X9)
	LATER(96, X5, X6, X3, X4, X11, X12, X9, X10)
	LATER(112, X6, X3, X4, X5, X12, X9, X10, X11)
	LATER(128, X3, X4, X5, X6, X9, X10, X11, X12)
	LATER(144, X4, X5, X6, X3, X10, X11, X12, X9)
	LATER(160, X5, X6, X3, X4, X11, X12, X9, X10)
	LATER(176, X6, X3, X4, X5, X12, X9, X10, X11)
	LATER(192, X3, X4, X5, X6, X9, X10, X11, X12)
	LATER(208, X4, X5, X6, X3, X10, X11, X12, X9)
	LATER(224, X5, X6, X3, X4, X11, X12, X9, X10)
	LATER(240, X6, X3, X4, X5, X12, X9, X10, X11)
	ADD(0, X1, X13)
	ADD(16, X2, X14)
	ADD(32, X7, X13)
	ADD(48, X8, X14)
	ADDQ	$64, SI
	ADDQ	$64, DI
	DECQ	CX
	JNZ	block

	MOVOU	X1, 0(R8)
	MOVOU	X2, 16(R8)
	MOVOU	X7, 0(R9)
	MOVOU	X8, 16(R9)

done:
	RET

// func hasSHA() bool
TEXT ·hasSHA(SB), NOSPLIT, $0-1
	MOVB	$0, ret+0(FP)
	MOVL	$0, AX
	CPUID
	CMPL	AX, $7
	JLT	no
	MOVL	$1, AX
	CPUID
	ANDL	$(1<<9 | 1<<19), CX // SSSE3, SSE4.1
	CMPL	CX, $(1<<9 | 1<<19)
	JNE	no
	MOVL	$7, AX
	MOVL	$0, CX
	CPUID
	SHRL	$29, BX
	ANDL	$1, BX
	MOVB	BX, ret+0(FP)

no:
	RET

// swap makes big endian words of little endian ones.
DATA swap<>+0(SB)/8, $0x0405060700010203
DATA swap<>+8(SB)/8, $0x0c0d0e0f08090a0b
GLOBL swap<>(SB), RODATA|NOPTR, $16

// k is the rounds' constants: the fractions of the cube roots of the first 64 primes.
DATA k<>+0(SB)/8, $0x71374491428a2f98
DATA k<>+8(SB)/8, $0xe9b5dba5b5c0fbcf
DATA k<>+16(SB)/8, $0x59f111f13956c25b
DATA k<>+24(SB)/8, $0xab1c5ed5923f82a4
DATA k<>+32(SB)/8, $0x12835b01d807aa98
DATA k<>+40(SB)/8, $0x550c7dc3243185be
DATA k<>+48(SB)/8, $0x80deb1fe72be5d74
DATA k<>+56(SB)/8, $0xc19bf1749bdc06a7
DATA k<>+64(SB)/8, $0xefbe4786e49b69c1
DATA k<>+72(SB)/8, $0x240ca1cc0fc19dc6
DATA k<>+80(SB)/8, $0x4a7484aa2de92c6f
DATA k<>+88(SB)/8, $0x76f988da5cb0a9dc
DATA k<>+96(SB)/8, $0xa831c66d983e5152
DATA k<>+104(SB)/8, $0xbf597fc7b00327c8
DATA k<>+112(SB)/8, $0xd5a79147c6e00bf3
DATA k<>+120(SB)/8, $0x1429296706ca6351
DATA k<>+128(SB)/8, $0x2e1b213827b70a85
DATA k<>+136(SB)/8, $0x53380d134d2c6dfc
DATA k<>+144(SB)/8, $0x766a0abb650a7354
DATA k<>+152(SB)/8, $0x92722c8581c2c92e
DATA k<>+160(SB)/8, $0xa81a664ba2bfe8a1
DATA k<>+168(SB)/8, $0xc76c51a3c24b8b70
DATA k<>+176(SB)/8, $0xd6990624d192e819
DATA k<>+184(SB)/8, $0x106aa070f40e3585
DATA k<>+192(SB)/8, $0x1e376c0819a4c116
DATA k<>+200(SB)/8, $0x34b0bcb52748774c
DATA k<>+208(SB)/8, $0x4ed8aa4a391c0cb3
DATA k<>+216(SB)/8, $0x682e6ff35b9cca4f
DATA k<>+224(SB)/8, $0x78a5636f748f82ee
DATA k<>+232(SB)/8, $0x8cc7020884c87814
DATA k<>+240(SB)/8, $0xa4506ceb90befffa
DATA k<>+248(SB)/8, $0xc67178f2bef9a3f7
GLOBL k<>(SB), RODATA|NOPTR, $256
