#include "textflag.h"

// The windows of eight positions, stride 1: bytes 0-3, 1-4, 2-5, 3-6 and 4-7 to 7-10.
DATA windows4<>+0(SB)/8, $0x0403020103020100
DATA windows4<>+8(SB)/8, $0x0605040305040302
DATA windows4<>+16(SB)/8, $0x0807060507060504
DATA windows4<>+24(SB)/8, $0x0a09080709080706
GLOBL windows4<>(SB), RODATA|NOPTR, $32

// The same, two bytes later.
DATA later4<>+0(SB)/8, $0x0605040305040302
DATA later4<>+8(SB)/8, $0x0807060507060504
DATA later4<>+16(SB)/8, $0x0a09080709080706
DATA later4<>+24(SB)/8, $0x0c0b0a090b0a0908
GLOBL later4<>(SB), RODATA|NOPTR, $32

// The first and last four bytes of the windows of four positions, stride 2.
DATA first6<>+0(SB)/8, $0x0504030203020100
DATA first6<>+8(SB)/8, $0x0908070607060504
DATA first6<>+16(SB)/8, $0x0504030203020100
DATA first6<>+24(SB)/8, $0x0908070607060504
GLOBL first6<>(SB), RODATA|NOPTR, $32
DATA last6<>+0(SB)/8, $0x0706050405040302
DATA last6<>+8(SB)/8, $0x0b0a090809080706
DATA last6<>+16(SB)/8, $0x0706050405040302
DATA last6<>+24(SB)/8, $0x0b0a090809080706
GLOBL last6<>(SB), RODATA|NOPTR, $32

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

// GATHER reads the words for the hashes in Y0 to Y5. On Zen 5 eight single
// loads in place of VPGATHERDD take 1.4 times as long.
#define GATHER \
	VPSRLD X8, Y0, Y2 \
	VPCMPEQD Y4, Y4, Y4 \
	VPXOR Y5, Y5, Y5 \
	VPGATHERDD Y4, (BX)(Y2*4), Y5

// TEST tests two bits of the words in Y5, as two pieces of the hashes h say,
// and leaves one bit each in DX.
#define TEST(h, first, second) \
	VPSRLD $first, h, Y6 \
	VPAND Y13, Y6, Y6 \
	VPSRLD $second, h, Y7 \
	VPAND Y13, Y7, Y7 \
	VPSLLVD Y6, Y5, Y6 \
	VPSLLVD Y7, Y5, Y7 \
	VPAND Y6, Y7, Y7 \
	VMOVMSKPS Y7, DX

#define PROBE \
	VPADDD Y3, Y0, Y0 \
	GATHER \
	TEST(Y0, 12, 7)

// func filter8AVX2(args *filterArgs)
TEXT ·filter8AVX2(SB), NOSPLIT, $0-8
	LOAD
next8:
	VPMULLD 0(SI), Y11, Y0
	VPMULLD 4(SI), Y12, Y1
	VPADDD  Y1, Y0, Y0
	PROBE
	MOVB    DX, 0(DI)
	ADDQ    $32, SI
	INCQ    DI
	DECQ    CX
	JNZ     next8
	VZEROUPPER
	RET

// func filter6AVX2(args *filterArgs)
TEXT ·filter6AVX2(SB), NOSPLIT, $0-8
	LOAD
	VMOVDQU first6<>(SB), Y14
	VMOVDQU last6<>(SB), Y15
next6:
	VMOVDQU     0(SI), X0
	VINSERTI128 $1, 8(SI), Y0, Y0
	VPSHUFB     Y15, Y0, Y1
	VPSHUFB     Y14, Y0, Y0
	VPMULLD     Y11, Y0, Y0
	VPMULLD     Y12, Y1, Y1
	VPADDD      Y1, Y0, Y0
	PROBE
	MOVB        DX, 0(DI)
	ADDQ        $16, SI
	INCQ        DI
	DECQ        CX
	JNZ         next6
	VZEROUPPER
	RET

// func filter4AVX2(args *filterArgs)
TEXT ·filter4AVX2(SB), NOSPLIT, $0-8
	LOAD
	VPADDD  Y12, Y11, Y11
	VMOVDQU windows4<>(SB), Y14
next4:
	VBROADCASTI128 0(SI), Y0
	VPSHUFB        Y14, Y0, Y0
	VPMULLD        Y11, Y0, Y0
	PROBE
	MOVB           DX, 0(DI)
	ADDQ           $8, SI
	INCQ           DI
	DECQ           CX
	JNZ            next4
	VZEROUPPER
	RET

// func filter46AVX2(args *filterArgs)
// Y0 becomes the hashes of four bytes, Y1 those of six.
TEXT ·filter46AVX2(SB), NOSPLIT, $0-8
	LOAD
	MOVQ         48(AX), R8
	VPBROADCASTD 56(AX), Y9
	VPADDD       Y12, Y11, Y10
	VMOVDQU      windows4<>(SB), Y14
	VMOVDQU      later4<>(SB), Y15
next46:
	VBROADCASTI128 0(SI), Y0
	VPSHUFB        Y15, Y0, Y1
	VPSHUFB        Y14, Y0, Y0
	VPMULLD        Y12, Y1, Y1
	VPMULLD        Y11, Y0, Y2
	VPADDD         Y2, Y1, Y1
	VPADDD         Y9, Y1, Y1
	VPMULLD        Y10, Y0, Y0
	VPADDD         Y3, Y0, Y0
	GATHER
	TEST(Y0, 12, 7)
	MOVB           DX, 0(DI)
	TEST(Y1, 27, 22)
	ANDL           $0x55, DX
	MOVB           DX, 0(R8)
	ADDQ           $8, SI
	INCQ           DI
	INCQ           R8
	DECQ           CX
	JNZ            next46
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
