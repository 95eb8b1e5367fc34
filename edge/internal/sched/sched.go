// Package sched makes the table from which the data plane takes the backend
// of a new flow. The data plane knows two ways to read a table: by a hash of the
// flow, or entry after entry. All schedulers are made of these:
//
//   - Maglev and Source fill a table every balancer of a cluster fills alike;
//   - RoundRobin and WeightedRoundRobin are read in turn, from a random start
//     (each CPU has its own), so that a fresh balancer does not load the
//     first backends;
//   - WeightedLeast is read in turn too, and made anew each second from the
//     sessions there are: who has fewer than its share gets more entries.
//
// Tables of one seed are the same each time, so a change moves few entries.
package sched

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math"
	"slices"

	"github.com/hauberk/hauberk/edge/internal/maglev"
)

// Kind is a scheduler. The zero Kind is invalid.
type Kind uint8

// Schedulers, with the names that ipvsadm gives them.
const (
	RoundRobin         Kind = iota + 1 // rr
	WeightedRoundRobin                 // wrr
	WeightedLeast                      // wlc
	Source                             // sh
	Maglev                             // mh
)

var names = map[Kind]string{RoundRobin: "rr", WeightedRoundRobin: "wrr", WeightedLeast: "wlc", Source: "sh", Maglev: "mh"}

func (k Kind) String() string {
	if name, ok := names[k]; ok {
		return name
	}
	return fmt.Sprintf("scheduler %d", uint8(k))
}

// UnmarshalText reads rr, wrr, wlc, sh or mh; maglev is another name of mh.
func (k *Kind) UnmarshalText(text []byte) error {
	if string(text) == "maglev" {
		*k = Maglev
		return nil
	}
	for kind, name := range names {
		if name == string(text) {
			*k = kind
			return nil
		}
	}
	return fmt.Errorf("scheduler %q is none of rr, wrr, wlc, sh, mh", text)
}

// MarshalText writes it as it is read.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Entries is the most entries that a table of that many backends has.
func Entries(kind Kind, backends int) int {
	switch kind {
	case Source, Maglev:
		return maglev.Size(backends)
	case RoundRobin:
		return backends
	}
	return turns(backends)
}

// turns is how many entries a weighted table in turn has: enough that shares
// are right to a few hundredths.
func turns(backends int) int { return max(256, min(backends*32, 1<<16)) }

// A Backend as the schedulers see it.
type Backend struct {
	maglev.Backend
	// Sessions it has now, for WeightedLeast.
	Sessions int
}

// Table returns the backends' indices. Those without weight are not in it; it is
// empty when none has any. seed varies the order of tables in turn from
// balancer to balancer; flows is how many new ones are expected until the next
// table, for WeightedLeast.
func Table(kind Kind, backends []Backend, seed uint64, flows int) ([]uint32, error) {
	live := slices.DeleteFunc(slices.Clone(backends), func(b Backend) bool { return b.Weight == 0 })
	if len(live) == 0 {
		return nil, nil
	}
	switch kind {
	case Source, Maglev:
		plain := make([]maglev.Backend, len(live))
		for i, b := range live {
			plain[i] = b.Backend
		}
		// Backends that are down count too: the size must not change with them.
		return maglev.Fill(maglev.Size(len(backends)), plain)
	case RoundRobin:
		shuffle(live, seed)
		out := make([]uint32, len(live))
		for i, b := range live {
			out[i] = b.Index
		}
		return out, nil
	case WeightedRoundRobin:
		shuffle(live, seed)
		shares := make([]float64, len(live))
		for i, b := range live {
			shares[i] = float64(b.Weight)
		}
		return spread(live, shares), nil
	case WeightedLeast:
		shuffle(live, seed)
		return spread(live, level(live, flows)), nil
	}
	return nil, fmt.Errorf("make table: %s", kind)
}

// shuffle orders backends by a hash of seed and key.
func shuffle(backends []Backend, seed uint64) {
	rank := make(map[string]uint64, len(backends))
	for _, b := range backends {
		h := fnv.New64a()
		fmt.Fprintf(h, "%x %s", seed, b.Key) // never fails
		rank[b.Key] = h.Sum64()
	}
	slices.SortFunc(backends, func(a, b Backend) int {
		return cmp.Or(cmp.Compare(rank[a.Key], rank[b.Key]), cmp.Compare(a.Key, b.Key))
	})
}

// level is what each backend gets of the flows to come so that sessions per
// weight become as equal as they can: like water poured into vessels that
// are filled differently.
func level(backends []Backend, flows int) []float64 {
	load := func(b Backend) float64 { return float64(b.Sessions) / float64(b.Weight) }
	order := slices.Clone(backends)
	slices.SortFunc(order, func(a, b Backend) int { return cmp.Compare(load(a), load(b)) })
	pour := float64(max(flows, len(backends)))
	var weight, sessions, mark float64
	for i, b := range order {
		weight += float64(b.Weight)
		sessions += float64(b.Sessions)
		mark = (sessions + pour) / weight
		if i+1 == len(order) || mark <= load(order[i+1]) {
			break
		}
	}
	out := make([]float64, len(backends))
	for i, b := range backends {
		out[i] = max(0, mark*float64(b.Weight)-float64(b.Sessions))
	}
	return out
}

// spread lays out entries in proportion to the shares, each backend's as far
// apart as can be: at each step the one that is most behind its share gets
// the entry. The length is that of the smallest table in which whole shares are
// exact, if it is short enough.
func spread(backends []Backend, shares []float64) []uint32 {
	var total float64
	for _, s := range shares {
		total += s
	}
	length := turns(len(backends))
	if exact, ok := period(shares, length); ok {
		length = exact
	}
	due := make([]float64, len(shares))
	out := make([]uint32, length)
	for n := range out {
		best := 0
		for i, s := range shares {
			due[i] += s / total
			if due[i] > due[best]+1e-9 {
				best = i
			}
		}
		due[best]--
		out[n] = backends[best].Index
	}
	return out
}

// period is the sum of whole shares divided by their greatest divisor, if it
// is at most limit.
func period(shares []float64, limit int) (int, bool) {
	var divisor, total uint64
	for _, s := range shares {
		if s != math.Trunc(s) || s > 1<<32 {
			return 0, false
		}
		n := uint64(s)
		total += n
		for a := n; a != 0; {
			divisor, a = a, divisor%a
		}
	}
	if divisor == 0 || total/divisor > uint64(limit) {
		return 0, false
	}
	return int(total / divisor), true
}
