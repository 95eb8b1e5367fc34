package multi

import "golang.org/x/sys/cpu"

// vector says that the processor has AVX2, and the operating system keeps its
// registers.
var vector = cpu.X86.HasAVX2

// filterVector is filterScalar, eight windows at a time; only the coarsest
// tier has a filter of its own.
func (t *tier) filterVector(out, folded []byte) {
	filter8AVX2(&filterArgs{
		out: &out[0], groups: len(out), folded: &folded[0], bloom: &t.bloom[0],
		wordShift: uint64(t.wordShift), seed: uint64(t.seed),
	})
}

// filterPairsVector is filterPairsScalar, sixteen positions at a time.
func (t *tier) filterPairsVector(out, guestOut, folded []byte, guest *tier) {
	filterPairsAVX2(&filterArgs{
		out: &out[0], groups: len(guestOut), folded: &folded[0], bloom: &t.bloom[0],
		wordShift: uint64(t.wordShift), seed: uint64(t.seed), guestOut: &guestOut[0], guestSeed: uint64(guest.seed),
	})
}

// filterArgs is known to vector_amd64.s by its layout. Of folded, padding
// bytes behind the last window are readable.
type filterArgs struct {
	out             *byte
	groups          int
	folded          *byte
	bloom           *uint32
	wordShift, seed uint64
	guestOut        *byte
	guestSeed       uint64
}

//go:noescape
func filter8AVX2(args *filterArgs)

//go:noescape
func filterPairsAVX2(args *filterArgs)

// foldVector folds whole blocks of 32 bytes and returns how many bytes.
func foldVector(dst, src []byte) int {
	n := len(src) &^ 31
	if n > 0 {
		foldAVX2(&dst[0], &src[0], n)
	}
	return n
}

//go:noescape
func foldAVX2(dst, src *byte, n int)
