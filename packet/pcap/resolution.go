package pcap

import (
	"errors"
	"math"
	"math/bits"
)

// resolution is what one unit of a time stamp is: the byte of if_tsresol,
// where the top bit chooses powers of 2 over powers of 10. The zero value is a
// second.
type resolution uint8

const (
	microseconds resolution = 6
	nanoseconds  resolution = 9
)

// second is 1 in nanoseconds.
const second = 1_000_000_000

var errTime = errors.New("time stamp out of range")

// nanos turns units into nanoseconds, rounding down.
func (r resolution) nanos(units uint64) (int64, error) {
	exponent := int(r & 0x7f)
	var hi, lo uint64
	switch {
	case r&0x80 != 0 && exponent < 64:
		hi, lo = bits.Mul64(units, second)
		lo, hi = lo>>exponent|hi<<(64-exponent), hi>>exponent
	case r&0x80 != 0:
		return 0, nil // Less than a nanosecond each, at most 1.
	case exponent <= 9:
		hi, lo = bits.Mul64(units, power10(9-exponent))
	case exponent-9 < 20:
		lo = units / power10(exponent-9)
	}
	if hi != 0 || lo > math.MaxInt64 {
		return 0, errTime
	}
	return int64(lo), nil
}

func power10(n int) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}

// addSeconds sums a time stamp and its interface's offset in seconds.
func addSeconds(nanos, seconds int64) (int64, error) {
	if seconds > math.MaxInt64/second || seconds < math.MinInt64/second {
		return 0, errTime
	}
	shift := seconds * second
	if sum := nanos + shift; (sum < nanos) == (shift < 0) {
		return sum, nil
	}
	return 0, errTime
}
