package detect

import (
	"net/netip"

	"github.com/hauberk/hauberk/suricata"
)

// hostKey names a bit of a host or of a pair of hosts.
type hostKey struct {
	id   int
	kind uint8
	a, b netip.Addr
}

// The kinds of bits that outlive flows.
const (
	xbit uint8 = iota
	hostbit
)

// maxHostBits bounds the bits of hosts; beyond it any half is forgotten.
const maxHostBits = 1 << 18

// defaultExpire is how long an xbit lasts by default, in seconds.
const defaultExpire = 30

func hostKeys(name string, v *suricata.Bits, id int, p *Packet) []hostKey {
	src, dst := p.Src(), p.Dst()
	kind := xbit
	if name == "hostbits" {
		kind = hostbit
	}
	switch v.Track {
	case "ip_src", "src":
		return []hostKey{{id, kind, src, netip.Addr{}}}
	case "ip_dst", "dst":
		return []hostKey{{id, kind, dst, netip.Addr{}}}
	case "ip_pair":
		if dst.Less(src) {
			src, dst = dst, src
		}
		return []hostKey{{id, kind, src, dst}}
	}
	return []hostKey{{id, kind, src, netip.Addr{}}, {id, kind, dst, netip.Addr{}}}
}

func (s *Ruleset) setXbit(name string, v *suricata.Bits) deed {
	id := s.xbits.of(v.Names[0])
	expire := int64(v.Expire)
	if expire == 0 {
		expire = defaultExpire
		if name == "hostbits" {
			expire = 300
		}
	}
	return func(e *Engine, p *Packet) {
		for _, k := range hostKeys(name, v, id, p) {
			until, set := e.hosts[k]
			set = set && until >= p.Time
			if v.Cmd == "set" || v.Cmd == "toggle" && !set {
				if !set && len(e.hosts) >= maxHostBits {
					e.Counters.Forgotten += halve(e.hosts, maxHostBits, func(until int64) bool { return until < p.Time })
				}
				e.hosts[k] = p.Time + expire*1e9
			} else {
				delete(e.hosts, k)
			}
		}
	}
}

func (s *Ruleset) xbitCondition(name string, v *suricata.Bits) flowCondition {
	var ids []int
	for _, n := range v.Names {
		ids = append(ids, s.xbits.of(n))
	}
	return func(e *Engine, p *Packet) bool {
		for _, id := range ids {
			for _, k := range hostKeys(name, v, id, p) {
				until, set := e.hosts[k]
				if set && until >= p.Time {
					return v.Cmd == "isset"
				}
			}
		}
		return v.Cmd == "isnotset"
	}
}
