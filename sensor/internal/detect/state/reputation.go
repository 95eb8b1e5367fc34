package state

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/suricata"
)

// Reputation is what lists say of addresses: a score from 0 to 127 in each
// category. The zero value knows nothing.
type Reputation struct {
	categories map[string]uint8
	hosts      map[netip.Addr]scores
	nets       map[netip.Prefix]scores
	lengths    [2][]int // Of the prefixes, descending; IPv4 and IPv6.
}

// scores are those of an address by category. A host on a list has 0 in the
// categories the list says nothing of.
type scores map[uint8]uint8

// The bounds of lists.
const (
	maxCategory = 59
	maxScore    = 127
)

// Knows says whether there is a category of a name.
func (r *Reputation) Knows(category string) bool {
	_, ok := r.categories[category]
	return ok
}

// lines calls f with each line that says something, and collects its errors.
func lines(text []byte, file string, f func(string) error) error {
	var errs []error
	n := 0
	for line := range bytes.Lines(text) {
		n++
		if strings.IndexByte("\n\r #\t", line[0]) >= 0 {
			continue
		}
		if err := f(strings.TrimRight(string(line), "\r\n")); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", file, n, err))
		}
	}
	return errors.Join(errs...)
}

// ReadCategories reads a file of categories: number, short name, description.
func (r *Reputation) ReadCategories(text []byte, file string) error {
	r.categories = map[string]uint8{}
	return lines(text, file, func(line string) error {
		f := strings.SplitN(line, ",", 3)
		n, err := strconv.ParseUint(f[0], 10, 8)
		if err != nil || n > maxCategory || len(f) < 2 || f[1] == "" {
			return fmt.Errorf("bad line %q", line)
		}
		r.categories[f[1]] = uint8(n)
		return nil
	})
}

// ReadList reads a list: address or network, number of the category, score.
func (r *Reputation) ReadList(text []byte, file string) error {
	if r.hosts == nil {
		r.hosts, r.nets = map[netip.Addr]scores{}, map[netip.Prefix]scores{}
	}
	return lines(text, file, func(line string) error {
		f := strings.Split(line, ",")
		if f[0] == "ip" {
			return nil // The heading.
		}
		if len(f) < 3 {
			return fmt.Errorf("bad line %q", line)
		}
		category, err1 := strconv.ParseUint(f[1], 10, 8)
		score, err2 := strconv.ParseUint(f[2], 10, 8)
		if err1 != nil || err2 != nil || category > maxCategory || score > maxScore {
			return fmt.Errorf("bad line %q", line)
		}
		if err := r.add(f[0], uint8(category), uint8(score)); err != nil {
			return fmt.Errorf("bad line %q", line)
		}
		return nil
	})
}

func (r *Reputation) add(text string, category, score uint8) error {
	if !strings.Contains(text, "/") {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return err
		}
		if r.hosts[a] == nil {
			r.hosts[a] = scores{}
		}
		r.hosts[a][category] = score
		return nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return err
	}
	p = p.Masked()
	if r.nets[p] == nil {
		r.nets[p] = scores{}
	}
	r.nets[p][category] = score
	r.length(p)
	return nil
}

// length notes that there are prefixes of a length.
func (r *Reputation) length(p netip.Prefix) {
	list := &r.lengths[version(p.Addr())]
	at := 0
	for at < len(*list) && (*list)[at] > p.Bits() {
		at++
	}
	if at < len(*list) && (*list)[at] == p.Bits() {
		return
	}
	*list = append(*list, 0)
	copy((*list)[at+1:], (*list)[at:])
	(*list)[at] = p.Bits()
}

func version(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// score is that of an address: its own, else that of the longest network it is
// in. A list that names either says 0 in the categories it does not name.
func (r *Reputation) score(a netip.Addr, category uint8) (uint8, bool) {
	if s, ok := r.hosts[a]; ok {
		return s[category], true
	}
	for _, bits := range r.lengths[version(a)] {
		p, err := a.Prefix(bits)
		if err != nil {
			continue
		}
		if s, ok := r.nets[p]; ok {
			return s[category], true
		}
	}
	return 0, false
}

// Condition makes an iprep condition on the source and the destination of a
// packet.
func (r *Reputation) Condition(v *suricata.Reputation) (func(src, dst netip.Addr) bool, error) {
	category, ok := r.categories[v.Category]
	if !ok {
		return nil, fmt.Errorf("unknown category %q", v.Category)
	}
	holds := func(a netip.Addr) bool {
		n, known := r.score(a, category)
		switch v.Exists {
		case "isset":
			return known
		case "isnotset":
			return !known
		}
		return known && v.Score.Match(uint64(n))
	}
	switch v.Side {
	case "src":
		return func(src, _ netip.Addr) bool { return holds(src) }, nil
	case "dst":
		return func(_, dst netip.Addr) bool { return holds(dst) }, nil
	case "both":
		return func(src, dst netip.Addr) bool { return holds(src) && holds(dst) }, nil
	}
	return func(src, dst netip.Addr) bool { return holds(src) || holds(dst) }, nil
}
