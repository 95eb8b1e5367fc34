package detect

import (
	"encoding/binary"
	"errors"
	"slices"
	"sort"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/netset"
)

// group is the rules that packets of one protocol and direction may match.
type group struct {
	always byPort  // Nothing to search for.
	once   []*rule // On addresses alone: once in each direction of a flow.
	bySrc  ipIndex // Of those, the ones that name few sources,
	byDst  ipIndex // or few destinations.
	apps   []*rule // On the application protocol alone: once it is known.
	packet index   // By a pattern in the payload of a packet,
	stream index   // or in the stream.
	decode []*rule // On events.
}

// group puts every rule where its packets will look for it.
func (s *Ruleset) group() error {
	for _, r := range s.rules {
		if r.Type == suricata.TypeAppTx {
			continue
		}
		for _, at := range places(r) {
			for dir := range 2 {
				if !goes(r, dir) {
					continue
				}
				g := &s.groups[at][dir]
				switch {
				case r.Type == suricata.TypeIPOnly || r.Type == suricata.TypeLikeIPOnly:
					g.once = append(g.once, r)
				case r.Type == suricata.TypeProtoOnly || r.Type == suricata.TypeAppLayer:
					g.apps = append(g.apps, r)
				case len(r.events) > 0 && len(r.chains) == 0:
					g.decode = append(g.decode, r)
				case r.Fast != nil && r.chains[r.Fast.Chain].Buffer == suricata.BufPayload && len(r.chains[r.Fast.Chain].Transforms) == 0:
					g.addPayload(r, at)
				default:
					g.always.add(r)
				}
			}
		}
		if r.Type == suricata.TypeDecoderEvent {
			s.decode.decode = append(s.decode.decode, r)
		}
	}
	shared := map[string]ipIndex{}
	for at := range s.groups {
		for dir := range s.groups[at] {
			g := &s.groups[at][dir]
			g.indexOnce(shared)
			g.always.compile()
			if err := errors.Join(g.packet.compile(), g.stream.compile()); err != nil {
				return err
			}
		}
	}
	return nil
}

// addPayload enters a rule with a pattern in the payload. Only TCP has streams;
// elsewhere all of them are on packets.
func (g *group) addPayload(r *rule, at proto) {
	if at != tcp || r.wantsPacket || !r.wantsStream {
		g.packet.add(r)
	}
	if at == tcp && r.wantsStream {
		g.stream.add(r)
	}
}

// indexOnce moves the rules on addresses that can be looked up to the indexes,
// by the end that has the longer list. Most are on any protocol and in both
// directions: groups share the indexes of the same rules.
func (g *group) indexOnce(shared map[string]ipIndex) {
	var rest, src, dst []*rule
	for _, r := range g.once {
		bySrc, byDst := indexable(r.Src), indexable(r.Dst)
		switch {
		case r.both || !bySrc && !byDst:
			rest = append(rest, r)
		case bySrc && (!byDst || len(r.Src.Ranges()) >= len(r.Dst.Ranges())):
			src = append(src, r)
		default:
			dst = append(dst, r)
		}
	}
	g.once = rest
	index := func(end byte, rules []*rule, of func(*rule) *netset.Addrs) ipIndex {
		key := []byte{end}
		for _, r := range rules {
			key = binary.LittleEndian.AppendUint32(key, uint32(r.index))
		}
		x, made := shared[string(key)]
		if !made {
			x = newIPIndex(rules, of)
			shared[string(key)] = x
		}
		return x
	}
	g.bySrc = index('s', src, func(r *rule) *netset.Addrs { return r.Src })
	g.byDst = index('d', dst, func(r *rule) *netset.Addrs { return r.Dst })
}

// byPort is rules in their order by the packet's destination port.
type byPort struct {
	rules []*rule
	from  []int     // The ports from which on the list of the same place counts.
	lists [][]*rule // nil until compiled.
}

func (x *byPort) add(r *rule) { x.rules = append(x.rules, r) }

// compile makes a list for each piece of the ports that no range ends in.
func (x *byPort) compile() {
	x.from = cuts(x.rules, func(r *rule) *netset.Ports { return r.DstPort })
	for _, from := range x.from {
		var list []*rule
		for _, r := range x.rules {
			if r.both || from < 1<<16 && contains(r.DstPort, uint16(from)) {
				list = append(list, r)
			}
		}
		x.lists = append(x.lists, list)
	}
}

// at are the rules that a packet to the port may match; those of packets
// without ports have none to differ in.
func (x *byPort) at(p *Packet) []*rule {
	if !hasPorts(p.Packet) {
		return x.rules
	}
	return x.lists[sort.SearchInts(x.from, int(p.DstPort)+1)-1]
}

// cuts are the ports where a range of a rule begins or is over, and 0.
func cuts(rules []*rule, ports func(*rule) *netset.Ports) []int {
	from := []int{0}
	for _, r := range rules {
		for _, g := range ports(r).Ranges() {
			from = append(from, int(g.Lo), int(g.Hi)+1)
		}
	}
	slices.Sort(from)
	return slices.Compact(from)
}

// places are the groups a rule belongs to.
func places(r *rule) (list []proto) {
	if r.Type == suricata.TypeDecoderEvent {
		return nil // Apart, because broken packets have no protocol.
	}
	if len(r.IPProtos) == 0 {
		return []proto{tcp, udp, icmp, other}
	}
	for _, number := range r.IPProtos {
		at := other
		switch packet.Proto(number) {
		case packet.ProtoTCP:
			at = tcp
		case packet.ProtoUDP:
			at = udp
		case packet.ProtoICMPv4, packet.ProtoICMPv6:
			at = icmp
		}
		if !slices.Contains(list, at) {
			list = append(list, at)
		}
	}
	return list
}

// goes says whether a rule may match packets of a direction.
func goes(r *rule, dir int) bool {
	if dir == 0 {
		return r.Dir&suricata.ToServer != 0
	}
	return r.Dir&suricata.ToClient != 0
}
