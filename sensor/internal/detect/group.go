package detect

import (
	"errors"
	"slices"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/netset"
)

// group is the rules that packets of one protocol and direction may match.
type group struct {
	always []*rule // Nothing to search for.
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
					g.always = append(g.always, r)
				}
			}
		}
		if r.Type == suricata.TypeDecoderEvent {
			s.decode.decode = append(s.decode.decode, r)
		}
	}
	for at := range s.groups {
		for dir := range s.groups[at] {
			g := &s.groups[at][dir]
			g.indexOnce()
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
// by the end that has the longer list.
func (g *group) indexOnce() {
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
	g.bySrc = newIPIndex(src, func(r *rule) *netset.Addrs { return r.Src })
	g.byDst = newIPIndex(dst, func(r *rule) *netset.Addrs { return r.Dst })
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
