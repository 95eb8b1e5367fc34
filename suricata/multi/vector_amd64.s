#include "textflag.h"

// Four bytes each from four even positions, from the positions after them, and
// from two bytes later.
DATA even<>+0(SB)/8, $0x0504030203020100
DATA even<>+8(SB)/8, $0x0908070607060504
DATA even<>+16(SB)/8, $0x0504030203020100
DATA even<>+24(SB)/8, $0x0908070607060504
GLOBL even<>(SB), RODATA|NOPTR, $32
DATA odd<>+0(SB)/8, $0x0605040304030201
DATA odd<>+8(SB)/8, $0x0a09080708070605
DATA odd<>+16(SB)/8, $0x0605040304030201
DATA odd<>+24(SB)/8, $0x0a09080708070605
GLOBL odd<>(SB), RODATA|NOPTR, $32
DATA later<>+0(SB)/8, $0x0706050405040302
DATA later<>+8(SB)/8, $0x0b0a090809080706
DATA later<>+16(SB)/8, $0x0706050405040302
DATA later<>+24(SB)/8, $0x0b0a090809080706
GLOBL later<>(SB), RODATA|NOPTR, $32

// multiplier, secondMultiplier (tier.go), and the mask of a bit number.
DATA hashing<>+0(SB)/4, $0x9e3779b1
DATA hashing<>+4(SB)/4, $0x85ebca77
DATA hashing<>+8(SB)/4, $31
GLOBL hashing<>(SB), RODATA|NOPTR, $12

// What folding needs: 127-'Z', 127-26 and the bit of lower case.
DATA folding<>+0(SB)/4, $0x25252525
DATA folding<>+4(SB)/4, $0x65656565
DATA folding<>+8(SB)/4, $0x20202020
GLOBL folding<>(SB), RODATA|NOPTR, $12

#define LOAD \
	MOVQ args+0(FP), AX \
	MOVQ 0(AX), DI \
	MOVQ 8(AX), CX \
	MOVQ 16(AX), SI \
	MOVQ 24(AX), BX \
	VMOVQ 32(AX), X8 \
	VPBROADCASTD 40(AX), Y3 \
	VPBROADCASTD hashing<>+0(SB), Y11 \
	VPBROADCASTD hashing<>+4(SB), Y12 \
	VPBROADCASTD hashing<>+8(SB), Y13

// GATHER reads the words that the top bits of the hashes in Y2 choose to Y5.
// On Zen 5 eight single loads in place of VPGATHERDD take 1.4 times as long.
#define GATHER \
	VPSRLD X8, Y2, Y2 \
	VPCMPEQD Y4, Y4, Y4 \
	VPXOR Y5, Y5, Y5 \
	VPGATHERDD Y4, (BX)(Y2*4), Y5

// TEST tests two bits of the words in Y5, as two pieces of the hashes h say.
// The answers are the top bits of out.
#define TEST(h, first, second, out) \
	VPSRLD $first, h, Y2 \
	VPAND Y13, Y2, Y2 \
	VPSRLD $second, h, Y4 \
	VPAND Y13, Y4, Y4 \
	VPSLLVD Y2, Y5, Y2 \
	VPSLLVD Y4, Y5, Y4 \
	VPAND Y2, Y4, out

// func filter8AVX2(args *filterArgs)
TEXT ·filter8AVX2(SB), NOSPLIT, $0-8
	LOAD
next8:
	VPMULLD   0(SI), Y11, Y0
	VPMULLD   4(SI), Y12, Y1
	VPADDD    Y1, Y0, Y0
	VPADDD    Y3, Y0, Y0
	VMOVDQA   Y0, Y2
	GATHER
	TEST(Y0, 12, 7, Y0)
	VMOVMSKPS Y0, DX
	MOVB      DX, 0(DI)
	ADDQ      $32, SI
	INCQ      DI
	DECQ      CX
	JNZ       next8
	VZEROUPPER
	RET

// func filterPairsAVX2(args *filterArgs)
TEXT ·filterPairsAVX2(SB), NOSPLIT, $0-8
	LOAD
	MOVQ         48(AX), R8
	VPBROADCASTD 56(AX), Y9
	VPADDD       Y12, Y11, Y10
	VMOVDQU      even<>(SB), Y14
	VMOVDQU      later<>(SB), Y15
nextPairs:
	VMOVDQU     0(SI), X7
	VINSERTI128 $1, 8(SI), Y7, Y7
	VPSHUFB     Y14, Y7, Y0

	// The words, by bytes 1 to 3.
	VPSRLD  $8, Y0, Y2
	VPMULLD Y11, Y2, Y2
	VPADDD  Y3, Y2, Y2
	GATHER

	// The guest's windows.
	VPSHUFB   Y15, Y7, Y1
	VPMULLD   Y12, Y1, Y1
	VPMULLD   Y11, Y0, Y2
	VPADDD    Y2, Y1, Y1
	VPADDD    Y9, Y1, Y1
	TEST(Y1, 27, 22, Y1)
	VMOVMSKPS Y1, DX
	MOVB      DX, 0(R8)

	// The windows at the even positions, and at the odd.
	VPMULLD Y10, Y0, Y0
	VPADDD  Y3, Y0, Y0
	TEST(Y0, 12, 7, Y0)
	VPSHUFB odd<>(SB), Y7, Y1
	VPMULLD Y10, Y1, Y1
	VPADDD  Y3, Y1, Y1
	TEST(Y1, 12, 7, Y1)

	// One bit for each, in their order.
	VPSRLD    $16, Y0, Y0
	VPBLENDW  $0xaa, Y1, Y0, Y0
	VPACKSSWB Y0, Y0, Y0
	VPMOVMSKB Y0, DX
	MOVL      DX, R9
	SHRL      $16, R9
	MOVB      DX, 0(DI)
	MOVB      R9, 1(DI)
	ADDQ      $16, SI
	ADDQ      $2, DI
	INCQ      R8
	DECQ      CX
	JNZ       nextPairs
	VZEROUPPER
	RET

// func foldAVX2(dst, src *byte, n int)
TEXT ·foldAVX2(SB), NOSPLIT, $0-24
	MOVQ         dst+0(FP), DI
	MOVQ         src+8(FP), SI
	MOVQ         n+16(FP), CX
	VPBROADCASTD folding<>+0(SB), Y3
	VPBROADCASTD folding<>+4(SB), Y4
	VPBROADCASTD folding<>+8(SB), Y5
nextFold:
	VMOVDQU  0(SI), Y0
	VPADDB   Y3, Y0, Y1
	VPCMPGTB Y4, Y1, Y1
	VPAND    Y5, Y1, Y1
	VPOR     Y1, Y0, Y0
	VMOVDQU  Y0, 0(DI)
	ADDQ     $32, SI
	ADDQ     $32, DI
	SUBQ     $32, CX
	JNZ      nextFold
	VZEROUPPER
	RET
