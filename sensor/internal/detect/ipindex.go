package detect

import (
	"net/netip"
	"slices"

	"github.com/hauberk/hauberk/suricata/netset"
)

// ipIndex finds the rules on addresses alone whose set holds an address: public
// lists have tens of thousands of them. The addresses are cut into stretches in
// which the same rules hold.
type ipIndex struct {
	starts []netip.Addr // Of the stretches, ascending.
	rules  [][]*rule    // Of each.
}

// indexable says whether a set is better looked up than asked.
func indexable(a *netset.Addrs) bool { return !a.Any() && !a.Negated() }

// newIPIndex indexes rules by the set that of gives for each.
func newIPIndex(rules []*rule, of func(*rule) *netset.Addrs) ipIndex {
	type edge struct {
		at  netip.Addr
		r   *rule
		end bool // The rule ends before at.
	}
	var edges []edge
	for _, r := range rules {
		for _, x := range of(r).Ranges() {
			edges = append(edges, edge{at: x.Lo, r: r})
			if next := x.Hi.Next(); next.IsValid() {
				edges = append(edges, edge{at: next, r: r, end: true})
			}
		}
	}
	slices.SortStableFunc(edges, func(a, b edge) int { return a.at.Compare(b.at) })
	var x ipIndex
	active := map[*rule]int{} // Ranges of one rule may touch.
	for i := 0; i < len(edges); {
		at := edges[i].at
		for ; i < len(edges) && edges[i].at == at; i++ {
			if edges[i].end {
				if active[edges[i].r]--; active[edges[i].r] == 0 {
					delete(active, edges[i].r)
				}
			} else {
				active[edges[i].r]++
			}
		}
		list := make([]*rule, 0, len(active))
		for r := range active {
			list = append(list, r)
		}
		slices.SortFunc(list, byIndex)
		x.starts, x.rules = append(x.starts, at), append(x.rules, list)
	}
	return x
}

// find returns the rules whose set holds an address.
func (x *ipIndex) find(a netip.Addr) []*rule {
	i, found := slices.BinarySearchFunc(x.starts, a, netip.Addr.Compare)
	if !found {
		i--
	}
	if i < 0 || x.starts[i].Is4() != a.Is4() {
		return nil
	}
	return x.rules[i]
}
