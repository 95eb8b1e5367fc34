package netset

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Range holds Lo to Hi, both included.
type Range[T any] struct{ Lo, Hi T }

// Addrs is a set of IPv4 and IPv6 addresses: sorted, disjoint, IPv4 first.
type Addrs struct {
	ranges  []Range[netip.Addr]
	any     bool
	negated bool
}

// Ports is a set of ports: sorted, disjoint.
type Ports struct {
	ranges []Range[uint16]
	any    bool
}

// Any reports whether the set is everything.
func (a *Addrs) Any() bool { return a.any }

// Negated reports whether the expression took something away.
func (a *Addrs) Negated() bool { return a.negated }

// Ranges are the members. The caller must not change them.
func (a *Addrs) Ranges() []Range[netip.Addr] { return a.ranges }

// Contains reports whether the address is in the set. IPv4 in IPv6 form counts
// as IPv6, as on the wire.
func (a *Addrs) Contains(ip netip.Addr) bool {
	if a.any {
		return true
	}
	_, found := slices.BinarySearchFunc(a.ranges, ip.WithZone(""), func(r Range[netip.Addr], ip netip.Addr) int {
		return side(r.Lo.Compare(ip), r.Hi.Compare(ip))
	})
	return found
}

// Any reports whether the set is everything.
func (p *Ports) Any() bool { return p.any }

// Ranges are the members. The caller must not change them.
func (p *Ports) Ranges() []Range[uint16] { return p.ranges }

// Contains reports whether the port is in the set.
func (p *Ports) Contains(port uint16) bool {
	const few = 16
	if len(p.ranges) <= few {
		for _, r := range p.ranges {
			if port <= r.Hi {
				return port >= r.Lo
			}
		}
		return false
	}
	_, found := slices.BinarySearchFunc(p.ranges, port, func(r Range[uint16], port uint16) int {
		return side(cmp.Compare(r.Lo, port), cmp.Compare(r.Hi, port))
	})
	return found
}

// side compares a range with a point, given how its ends compare.
func side(lo, hi int) int {
	switch {
	case lo > 0:
		return 1
	case hi < 0:
		return -1
	}
	return 0
}

// Vars are the variables of suricata.yaml (vars.address-groups and port-groups),
// by name without $.
type Vars struct {
	AddressGroups map[string]string
	PortGroups    map[string]string
}

// maxDepth bounds variables that name variables.
const maxDepth = 32

// Addrs resolves an address expression.
func (v Vars) Addrs(e Expr) (*Addrs, error) {
	f := flattener[netip.Addr]{vars: v.AddressGroups, leaf: parseAddrs}
	if err := f.add(&e, false, 0); err != nil {
		return nil, err
	}
	all := []Range[netip.Addr]{
		{netip.AddrFrom4([4]byte{}), netip.AddrFrom4([4]byte{255, 255, 255, 255})},
		{netip.IPv6Unspecified(), lastAddr(netip.PrefixFrom(netip.IPv6Unspecified(), 0))},
	}
	o := order[netip.Addr]{netip.Addr.Compare, netip.Addr.Next, netip.Addr.Prev}
	ranges := f.result(o, all)
	if len(ranges) == 0 {
		return nil, fmt.Errorf("%s leaves no address", e.String())
	}
	return &Addrs{ranges, slices.Equal(ranges, all), len(f.minus) > 0}, nil
}

// Ports resolves a port expression.
func (v Vars) Ports(e Expr) (*Ports, error) {
	f := flattener[uint16]{vars: v.PortGroups, leaf: parsePorts}
	if err := f.add(&e, false, 0); err != nil {
		return nil, err
	}
	all := []Range[uint16]{{0, 65535}}
	o := order[uint16]{cmp.Compare[uint16], func(p uint16) uint16 { return p + 1 }, func(p uint16) uint16 { return p - 1 }}
	ranges := f.result(o, all)
	if len(ranges) == 0 {
		return nil, fmt.Errorf("%s leaves no port", e.String())
	}
	return &Ports{ranges, slices.Equal(ranges, all)}, nil
}

// flattener collects the leaves of an expression.
type flattener[T comparable] struct {
	vars        map[string]string
	leaf        func(string) ([]Range[T], error) // nil ranges: any
	plus, minus []Range[T]
	any         bool
}

func (f *flattener[T]) add(e *Expr, negated bool, depth int) error {
	if depth > maxDepth {
		return errors.New("variables name each other in a circle")
	}
	negated = negated != e.Not
	if e.Var != "" {
		text, ok := f.vars[e.Var]
		if !ok {
			return fmt.Errorf("variable $%s is not defined", e.Var)
		}
		value, err := Parse(text)
		if err != nil {
			return fmt.Errorf("variable $%s: %w", e.Var, err)
		}
		return f.add(&value, negated, depth+1)
	}
	if e.Leaf == "" {
		for i := range e.Group {
			if err := f.add(&e.Group[i], negated, depth); err != nil {
				return err
			}
		}
		return nil
	}
	ranges, err := f.leaf(e.Leaf)
	switch {
	case err != nil:
		return err
	case ranges == nil && negated:
		return errors.New("!any matches nothing")
	case ranges == nil:
		f.any = true
	case negated:
		f.minus = append(f.minus, ranges...)
	default:
		f.plus = append(f.plus, ranges...)
	}
	return nil
}

func (f *flattener[T]) result(o order[T], all []Range[T]) []Range[T] {
	plus := all
	if !f.any && len(f.plus) > 0 {
		plus = o.union(f.plus)
	}
	return o.subtract(plus, o.union(f.minus))
}

// order is what set arithmetic needs to know of a type.
type order[T comparable] struct {
	compare    func(a, b T) int
	next, prev func(T) T
}

// union sorts ranges and joins those that touch.
func (o order[T]) union(in []Range[T]) []Range[T] {
	in = slices.Clone(in)
	slices.SortFunc(in, func(a, b Range[T]) int { return o.compare(a.Lo, b.Lo) })
	out := in[:0]
	for _, r := range in {
		if n := len(out); n > 0 {
			last := &out[n-1]
			if o.compare(r.Lo, last.Hi) <= 0 || o.next(last.Hi) == r.Lo {
				if o.compare(r.Hi, last.Hi) > 0 {
					last.Hi = r.Hi
				}
				continue
			}
		}
		out = append(out, r)
	}
	return out
}

// subtract takes the sorted ranges b away from the sorted ranges a.
func (o order[T]) subtract(a, b []Range[T]) []Range[T] {
	out := make([]Range[T], 0, len(a))
	for _, r := range a {
		whole := true
		for _, hole := range b {
			if o.compare(hole.Hi, r.Lo) < 0 || o.compare(hole.Lo, r.Hi) > 0 {
				continue
			}
			if o.compare(hole.Lo, r.Lo) > 0 {
				out = append(out, Range[T]{r.Lo, o.prev(hole.Lo)})
			}
			if o.compare(hole.Hi, r.Hi) >= 0 {
				whole = false
				break
			}
			r.Lo = o.next(hole.Hi)
		}
		if whole {
			out = append(out, r)
		}
	}
	return out
}

// parseAddrs reads any, an address, a prefix, an address with a netmask, or a range.
func parseAddrs(s string) ([]Range[netip.Addr], error) {
	if s == "any" {
		return nil, nil
	}
	if lo, hi, ok := strings.Cut(s, "-"); ok {
		a, err1 := netip.ParseAddr(strings.TrimSpace(lo))
		b, err2 := netip.ParseAddr(strings.TrimSpace(hi))
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("range %q: %w", s, err)
		}
		if a.BitLen() != b.BitLen() || b.Less(a) {
			return nil, fmt.Errorf("range %q runs backwards", s)
		}
		return []Range[netip.Addr]{{a, b}}, nil
	}
	ip, mask, ok := strings.Cut(s, "/")
	a, err := netip.ParseAddr(ip)
	if err != nil || a.Zone() != "" {
		return nil, fmt.Errorf("%q is no address", s)
	}
	if !ok {
		return []Range[netip.Addr]{{a, a}}, nil
	}
	bits, err := maskBits(mask, a)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", s, err)
	}
	p := netip.PrefixFrom(a, bits).Masked()
	return []Range[netip.Addr]{{p.Addr(), lastAddr(p)}}, nil
}

// maskBits reads a prefix length, or an IPv4 netmask.
func maskBits(s string, a netip.Addr) (int, error) {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 && n <= a.BitLen() {
		return n, nil
	}
	m, err := netip.ParseAddr(s)
	if err != nil || !m.Is4() || !a.Is4() {
		return 0, fmt.Errorf("%q is no prefix length", s)
	}
	raw := m.As4()
	v := uint32(raw[0])<<24 | uint32(raw[1])<<16 | uint32(raw[2])<<8 | uint32(raw[3])
	n := 0
	for n < 32 && v&(1<<(31-n)) != 0 {
		n++
	}
	if n < 32 && v<<n != 0 {
		return 0, fmt.Errorf("netmask %s has holes", s)
	}
	return n, nil
}

func lastAddr(p netip.Prefix) netip.Addr {
	raw := p.Addr().AsSlice()
	for i := p.Bits(); i < len(raw)*8; i++ {
		raw[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(raw)
	return last
}

// parsePorts reads any, a port, or a range lo:hi of which one end may be left out.
func parsePorts(s string) ([]Range[uint16], error) {
	if s == "any" {
		return nil, nil
	}
	lo, hi, ranged := strings.Cut(s, ":")
	if !ranged {
		hi = lo
	} else if lo == "" && hi == "" {
		return nil, errors.New(`":" is no port range`)
	}
	port := func(s string, missing uint16) (uint16, error) {
		if s == "" {
			return missing, nil
		}
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is no port", s)
		}
		return uint16(n), nil
	}
	a, err1 := port(lo, 0)
	b, err2 := port(hi, 65535)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if b < a {
		return nil, fmt.Errorf("port range %q runs backwards", s)
	}
	return []Range[uint16]{{a, b}}, nil
}
