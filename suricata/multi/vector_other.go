//go:build !amd64

package multi

// vector is for amd64 only.
const vector = false

func (t *tier) filterVector(out, folded []byte) { t.filterScalar(out, folded) }

func (t *tier) filterPairsVector(out, guestOut, folded []byte, guest *tier) {
	t.filterPairsScalar(out, guestOut, folded, guest)
}

func foldVector(_, _ []byte) int { return 0 }
