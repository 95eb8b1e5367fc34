package link

import (
	"encoding/binary"
	"hash/fnv"
	"sort"
	"time"

	"github.com/hauberk/hauberk/event"
)

// Backoff is exponential and spread over a fleet by the node's hash: the n-th
// pause lies in (0, min(Max, Min*2^n)] at a place that differs from node to
// node and from try to try, yet needs no luck to be even over the fleet.
type Backoff struct {
	Min, Max time.Duration
	seed     uint64
	n        uint64
}

// NewBackoff returns the backoff of a node. incarnation makes another start
// of the same node draw other places.
func NewBackoff(low, high time.Duration, node event.NodeID, incarnation uint32) *Backoff {
	seed := binary.BigEndian.Uint64(node[:8]) ^ binary.BigEndian.Uint64(node[8:])
	return &Backoff{Min: low, Max: high, seed: seed + uint64(incarnation)<<32}
}

// Next returns the next pause.
func (b *Backoff) Next() time.Duration {
	ceiling := b.Max
	if shifted := b.Min << min(b.n, 40); shifted > 0 && shifted < ceiling {
		ceiling = shifted
	}
	b.n++
	return 1 + time.Duration(mix(b.seed+b.n)%uint64(ceiling))
}

// Reset starts again at Min, after a connection that lasted. The places drawn
// go on.
func (b *Backoff) Reset() {
	b.seed += b.n
	b.n = 0
}

// mix is the finaliser of splitmix64 (Steele, Lea and Flood 2014, "Fast
// splittable pseudorandom number generators").
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Rank returns the gateways in a node's order of preference, by rendezvous
// hash: nodes spread evenly, and when a gateway is added or lost only its own
// nodes move.
func Rank(node event.NodeID, gateways []string) []string {
	weight := func(gateway string) uint64 {
		h := fnv.New64a()
		h.Write(node[:])
		h.Write([]byte(gateway))
		return mix(h.Sum64())
	}
	out := append([]string(nil), gateways...)
	sort.SliceStable(out, func(i, j int) bool { return weight(out[i]) > weight(out[j]) })
	return out
}

// renewAt returns when a certificate is due for renewal: at a place between
// half and three quarters of its life that the node's hash chooses, so that a
// fleet enrolled in one minute does not renew in one.
func renewAt(node event.NodeID, notBefore, notAfter time.Time) time.Time {
	life := notAfter.Sub(notBefore)
	if life <= 0 {
		return notBefore
	}
	quarter := uint64(life/4) + 1
	return notBefore.Add(life/2 + time.Duration(mix(binary.BigEndian.Uint64(node[8:]))%quarter))
}
