package detect

import (
	"sort"
	"strings"

	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/multi"
	"github.com/hauberk/hauberk/suricata/netset"
)

// search finds rules by their fast patterns.
type search struct {
	set     *multi.Set
	rules   []*rule // By pattern.
	negated []*rule // Candidates where their pattern is not found.
	ofNeg   []int32 // By pattern: place in negated, or -1.
	longest int     // Bytes of the longest pattern.
}

func (s *search) add(r *rule) {
	s.rules = append(s.rules, r)
	s.longest = max(s.longest, len(r.pattern().Text))
	if r.Fast.Negated {
		s.ofNeg = append(s.ofNeg, int32(len(s.negated)))
		s.negated = append(s.negated, r)
	} else {
		s.ofNeg = append(s.ofNeg, -1)
	}
}

// compile makes the search of the rules that were added.
func (s *search) compile() (err error) {
	patterns := make([]multi.Pattern, len(s.rules))
	for i, r := range s.rules {
		patterns[i] = r.pattern()
	}
	s.set, err = multi.Compile(patterns)
	return err
}

// pattern is what to search for to find a rule: its fast pattern, or in place
// of a short one a longer text of the same buffer, which must be there too;
// and where that must be if the rule says so in plain numbers.
func (r *rule) pattern() multi.Pattern {
	p := multi.Pattern{Text: r.Fast.Bytes, Fold: r.Fast.NoCase}
	steps := r.chains[r.Fast.Chain].Steps
	c, ok := steps[r.Fast.Step].(*suricata.Content)
	if !ok || r.Fast.Negated {
		return p
	}
	if len(p.Text) <= shortPattern {
		for _, step := range steps {
			if other, ok := step.(*suricata.Content); ok && !other.Negated && len(other.Pattern) > max(len(p.Text), shortPattern) {
				c, p.Text, p.Fold = other, other.Pattern, other.NoCase
			}
		}
	}
	if c.Relative || len(p.Text) != len(c.Pattern) || c.Offset.Var != "" || c.Depth.Var != "" {
		return p
	}
	const most = 1 << 20 // Farther is nowhere.
	if c.HasOffset && c.Offset.N > 0 && c.Offset.N < most {
		p.Offset = int(c.Offset.N)
	}
	if c.HasDepth && c.Depth.N >= int64(len(p.Text)) && c.Depth.N < most {
		p.Depth = int(c.Depth.N)
	}
	return p
}

// found appends the rules whose fast pattern is in the data, which begins at an
// offset of its buffer, and those whose negated one is not.
func (e *Engine) found(list []*rule, s *search, data []byte, offset uint64) []*rule {
	if len(s.rules) == 0 {
		return list
	}
	if len(s.negated) > 0 {
		e.missing = append(e.missing[:0], make([]bool, len(s.negated))...)
	}
	for _, m := range s.set.ScanAt(&e.multi, data, offset) {
		if n := s.ofNeg[m.Pattern]; n >= 0 {
			e.missing[n] = true
			continue
		}
		list = append(list, s.rules[m.Pattern])
	}
	for n, r := range s.negated {
		if !e.missing[n] {
			list = append(list, r)
		}
	}
	return list
}

// shortPattern is a fast pattern that is found everywhere. Rules that name
// ports or protocols are searched for only there if theirs is that short.
const shortPattern = 3

// index finds rules by patterns in a payload or a stream.
type index struct {
	common search
	byApp  map[string]*search
	bySrc  portIndex
	byDst  portIndex
}

func (x *index) add(r *rule) {
	switch {
	case len(r.pattern().Text) > shortPattern || r.Fast.Negated:
		x.common.add(r)
	case len(r.Apps) > 0:
		if x.byApp == nil {
			x.byApp = map[string]*search{}
		}
		name := strings.Join(r.Apps, " ")
		if x.byApp[name] == nil {
			x.byApp[name] = &search{}
		}
		x.byApp[name].add(r)
	case r.both || r.SrcPort.Any() && r.DstPort.Any():
		x.common.add(r)
	case !r.DstPort.Any():
		x.byDst.rules = append(x.byDst.rules, r)
	default:
		x.bySrc.rules = append(x.bySrc.rules, r)
	}
}

func (x *index) compile() error {
	if err := x.common.compile(); err != nil {
		return err
	}
	for _, s := range x.byApp {
		if err := s.compile(); err != nil {
			return err
		}
	}
	if err := x.bySrc.compile(func(r *rule) *netset.Ports { return r.SrcPort }); err != nil {
		return err
	}
	return x.byDst.compile(func(r *rule) *netset.Ports { return r.DstPort })
}

// longest is the bytes of the longest pattern.
func (x *index) longest() int { return max(x.common.longest, shortPattern) }

// find appends the candidates of a packet with the data.
func (e *Engine) find(list []*rule, x *index, p *Packet, data []byte, offset uint64) []*rule {
	list = e.found(list, &x.common, data, offset)
	list = e.findApp(list, x, p, data, offset)
	if s := x.bySrc.at(p.SrcPort); s != nil {
		list = e.found(list, s, data, offset)
	}
	if s := x.byDst.at(p.DstPort); s != nil {
		list = e.found(list, s, data, offset)
	}
	return list
}

// findApp appends the candidates among the rules that are searched for only in
// their protocols.
func (e *Engine) findApp(list []*rule, x *index, p *Packet, data []byte, offset uint64) []*rule {
	if p.App == "" {
		return list
	}
	for _, s := range x.byApp {
		if s.rules[0].hasApp(p.App) {
			list = e.found(list, s, data, offset)
		}
	}
	return list
}

// portIndex is searches by port.
type portIndex struct {
	rules  []*rule
	from   []int     // The ports from which on the search of the same place is that to make,
	search []*search // nil: none.
}

// compile cuts the ports where a range begins or ends; a search serves all
// pieces with the same rules.
func (x *portIndex) compile(ports func(*rule) *netset.Ports) error {
	if len(x.rules) == 0 {
		return nil
	}
	x.from = cuts(x.rules, ports)
	made := map[string]*search{}
	for _, from := range x.from {
		var key []byte
		s := &search{}
		for i, r := range x.rules {
			if from < 1<<16 && ports(r).Contains(uint16(from)) {
				s.add(r)
				key = append(key, byte(i), byte(i>>8))
			}
		}
		if len(s.rules) == 0 {
			s = nil
		} else if old := made[string(key)]; old != nil {
			s = old
		} else if err := s.compile(); err != nil {
			return err
		}
		made[string(key)] = s
		x.search = append(x.search, s)
	}
	return nil
}

// at is the search to make at a port, nil if there is none.
func (x *portIndex) at(port uint16) *search {
	if len(x.from) == 0 {
		return nil
	}
	return x.search[sort.SearchInts(x.from, int(port)+1)-1]
}
