// Package hostos says which operating system a host runs, as far as that
// decides what it makes of data sent twice: overlapping fragments and segments
// are put together as their receiver would (Suricata's host-os-policy).
package hostos

import (
	"fmt"
	"net/netip"
	"slices"
)

// Policy is a family of operating systems that put data together alike.
type Policy uint8

// The policies. BSD is what a host is taken for if nothing says otherwise.
const (
	none Policy = iota
	BSD
	BSDRight
	OldLinux
	Linux
	OldSolaris
	Solaris
	HPUX10
	HPUX11
	IRIX
	MacOS
	Windows
	Vista
	Windows2003
	First // Whatever came first stays.
	Last  // Whatever came last replaces.
	end
)

var names = [end]string{
	BSD: "bsd", BSDRight: "bsd-right", OldLinux: "old-linux", Linux: "linux", OldSolaris: "old-solaris", Solaris: "solaris",
	HPUX10: "hpux10", HPUX11: "hpux11", IRIX: "irix", MacOS: "macos", Windows: "windows", Vista: "vista", Windows2003: "windows2k3",
	First: "first", Last: "last",
}

// String is the name in suricata.yaml.
func (p Policy) String() string { return names[p] }

// Parse finds a policy by its name.
func Parse(name string) (Policy, error) {
	if i := slices.Index(names[1:], name); i >= 0 {
		return Policy(i + 1), nil
	}
	return none, fmt.Errorf("unknown operating system %q", name)
}

// All returns every policy.
func All() (all []Policy) {
	for p := none + 1; p < end; p++ {
		all = append(all, p)
	}
	return all
}

// Table says which policy the hosts of a network have; the longest prefix
// wins. A nil table knows nothing.
type Table struct {
	lengths  [2][]int // Of IPv4 and IPv6 prefixes, longest first.
	policies map[netip.Prefix]Policy
}

// NewTable makes a table.
func NewTable(policies map[netip.Prefix]Policy) *Table {
	t := &Table{policies: map[netip.Prefix]Policy{}}
	for prefix, p := range policies {
		prefix = prefix.Masked()
		t.policies[prefix] = p
		lengths := &t.lengths[family(prefix.Addr())]
		if !slices.Contains(*lengths, prefix.Bits()) {
			*lengths = append(*lengths, prefix.Bits())
		}
	}
	for i := range t.lengths {
		slices.SortFunc(t.lengths[i], func(a, b int) int { return b - a })
	}
	return t
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// Of returns the policy of a host, BSD if the table does not say.
func (t *Table) Of(a netip.Addr) Policy {
	if t != nil {
		for _, bits := range t.lengths[family(a)] {
			prefix, err := a.Prefix(bits)
			if err != nil {
				continue
			}
			if p, ok := t.policies[prefix]; ok {
				return p
			}
		}
	}
	return BSD
}
