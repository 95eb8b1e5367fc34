package fleet

import "github.com/hauberk/hauberk/event"

// Buckets is how many equal parts Bucket divides a fleet into: a hundredth
// of a percent each.
const Buckets = 10_000

// Hash is the stable hash of a node under a salt, specified with test vectors
// in docs/formats/selector.md: FNV-1a (64 bit) over the salt, a
// zero byte and the 16 bytes of the node id, then the finaliser of splitmix64
// (Steele, Lea and Flood 2014), because FNV alone leaves similar ids close
// together. It must never change: staged changes rest on it.
func Hash(salt string, node event.NodeID) uint64 {
	const offset, prime = 0xcbf29ce484222325, 0x100000001b3
	h := uint64(offset)
	for i := 0; i < len(salt); i++ {
		h = (h ^ uint64(salt[i])) * prime
	}
	h *= prime // the zero byte
	for _, b := range node {
		h = (h ^ uint64(b)) * prime
	}
	h += 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// Bucket returns the node's bucket under a salt, 0 to Buckets-1.
func Bucket(salt string, node event.NodeID) int { return int(Hash(salt, node) % Buckets) }
