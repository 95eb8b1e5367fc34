// Package maglev fills the table by which a balancer finds a backend from a
// hash, so that every balancer with the same backends fills the same table
// and a change moves only the entries that have to move.
//
// As in Maglev (Eisenbud et al., NSDI 2016, section 3.4) each backend walks
// the entries in an order of its own, a permutation made from its key. Unlike
// there a backend does not skip what others took: it visits its k-th entry at
// the moment (k+phase)/weight, and an entry belongs to whoever visits it
// first. Who that is depends on each backend alone, so taking one out gives
// away its entries and touches no other, and more weight only wins entries.
// Maglev's own fill moves 6.5 times the ideal share with 1,000 backends in
// 65,537 entries.
//
// The price is that shares are not exact: a backend with m entries on average
// has a standard deviation of about sqrt(m/2). Size makes the table large
// enough for that.
package maglev

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/bits"
	"slices"
)

// A Backend has a share of the table in proportion to its weight.
type Backend struct {
	// Key is what the backend is called on every balancer, such as its
	// address and port. Keys of one table differ.
	Key string
	// Index is what the table holds for this backend.
	Index uint32
	// Weight is 0 (no entries) to MaxWeight.
	Weight uint32
}

// Bounds of Fill.
const (
	MaxWeight = 1 << 16
	// perBackend is how many entries a backend has at least on average: with
	// it the fullest of 1,000 has about 1.09 times the mean.
	perBackend = 1000
	MinSize    = 1 << 10
	// MaxSize is 16 MiB of memory.
	MaxSize = 1 << 22
)

// Size returns the number of entries for that many backends, a power of two
// from MinSize to MaxSize.
func Size(backends int) int {
	size := MinSize
	for size < backends*perBackend && size < MaxSize {
		size *= 2
	}
	return size
}

// ErrNone says that no backend has a weight.
var ErrNone = errors.New("no backend with a weight")

// Fill returns a table of size entries, a power of two from 2 to MaxSize. The
// order of the backends does not matter.
func Fill(size int, backends []Backend) ([]uint32, error) {
	if size < 2 || size > MaxSize || size&(size-1) != 0 {
		return nil, fmt.Errorf("fill table: %d entries are no power of two from 2 to %d", size, MaxSize)
	}
	walkers, err := walkersOf(size, backends)
	if err != nil {
		return nil, err
	}
	table := make([]uint32, size)
	if len(walkers) == 1 {
		for i := range table {
			table[i] = walkers[0].index
		}
		return table, nil
	}
	first := make([]uint64, size) // moment of the first visit so far
	for i := range first {
		first[i] = never
	}
	horizon := horizonOf(size, walkers)
	for i := range walkers {
		walkers[i].walk(horizon, first, table)
	}
	// The few entries that nobody visited by then are decided one by one.
	for entry, at := range first {
		if at != never {
			continue
		}
		best := never
		for i := range walkers {
			if at := walkers[i].visits(uint32(entry)); at < best {
				best, table[entry] = at, walkers[i].index
			}
		}
	}
	return table, nil
}

const never uint64 = math.MaxUint64

// horizonOf is the moment to which all walk: by then each of n walkers has
// made size*ln(n)/n visits on average, which leaves an n-th of the entries.
// Walking on would cost more than deciding those one by one.
func horizonOf(size int, walkers []walker) uint64 {
	var total uint64
	for i := range walkers {
		total += uint64(walkers[i].weight)
	}
	visits := float64(size) * (1 + math.Log(float64(len(walkers))))
	return uint64(visits / float64(total) * (1 << momentBits))
}

// momentBits is where the unit of a moment stands: visits of weight 1 are
// 1<<momentBits apart. MaxSize visits fit into 64 bits.
const momentBits = 40

// A walker visits every entry once, in an order made from its key: a bijection
// of the numbers below size, by two multiplications with odd numbers and
// two xor-shifts, each of which can be undone.
type walker struct {
	index, weight uint32
	phase         uint64 // of the first visit, below 1<<momentBits
	add           uint32
	mul, inverse  [2]uint32
	mask          uint32
	shift         uint
}

func walkersOf(size int, backends []Backend) ([]walker, error) {
	sorted := slices.Clone(backends)
	slices.SortFunc(sorted, func(a, b Backend) int {
		if a.Key < b.Key {
			return -1
		}
		if a.Key > b.Key {
			return 1
		}
		return 0
	})
	var out []walker
	for i, b := range sorted {
		if i > 0 && b.Key == sorted[i-1].Key {
			return nil, fmt.Errorf("fill table: two backends with the key %q", b.Key)
		}
		if b.Weight > MaxWeight {
			return nil, fmt.Errorf("fill table: weight %d of backend %s is over %d", b.Weight, b.Key, MaxWeight)
		}
		if b.Weight > 0 {
			out = append(out, newWalker(size, b))
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("fill table: %w", ErrNone)
	}
	return out, nil
}

func newWalker(size int, b Backend) walker {
	sum := fnv.New128a()
	sum.Write([]byte(b.Key)) // never fails
	seed := sum.Sum(nil)
	state := binary.BigEndian.Uint64(seed) ^ bits.RotateLeft64(binary.BigEndian.Uint64(seed[8:]), 29)
	next := func() uint64 { // splitmix64 (Steele, Lea, Flood, OOPSLA 2014)
		state += 0x9e3779b97f4a7c15
		z := state
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return z ^ z>>31
	}
	w := walker{
		index: b.Index, weight: b.Weight, mask: uint32(size - 1),
		shift: uint(bits.Len(uint(size-1))+1) / 2,
		phase: next() >> (64 - momentBits), add: uint32(next()),
	}
	for i := range w.mul {
		w.mul[i] = uint32(next()) | 1
		w.inverse[i] = inverse(w.mul[i])
	}
	return w
}

// inverse of an odd number modulo 1<<32, by Newton's iteration: each step
// doubles the right bits, of which an odd number has three.
func inverse(odd uint32) uint32 {
	x := odd
	for range 4 {
		x *= 2 - odd*x
	}
	return x
}

// entry is the one of the k-th visit.
func (w *walker) entry(k uint32) uint32 {
	x := (k + w.add) & w.mask
	for _, m := range w.mul {
		x = x * m & w.mask
		x ^= x >> w.shift
	}
	return x
}

// visit is the number of the visit to an entry.
func (w *walker) visit(entry uint32) uint32 {
	x := entry
	for i := len(w.inverse) - 1; i >= 0; i-- {
		x ^= x >> w.shift // undoes itself: the shift is at least half of the bits
		x = x * w.inverse[i] & w.mask
	}
	return (x - w.add) & w.mask
}

// moment of the k-th visit.
func (w *walker) moment(k uint32) uint64 {
	return (uint64(k)<<momentBits + w.phase) / uint64(w.weight)
}

// visits is the moment at which the walker comes to an entry.
func (w *walker) visits(entry uint32) uint64 { return w.moment(w.visit(entry)) }

// walk takes the entries that the walker visits before the others did, up to the
// horizon. On a tie, which is rare, the key that sorts first wins.
func (w *walker) walk(horizon uint64, first []uint64, table []uint32) {
	for k := range uint32(len(table)) {
		at := w.moment(k)
		if at > horizon {
			return
		}
		if e := w.entry(k); at < first[e] {
			first[e], table[e] = at, w.index
		}
	}
}
