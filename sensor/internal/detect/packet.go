package detect

import (
	"fmt"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/suricata"
)

// packetCondition is a condition on a packet's headers.
type packetCondition func(*decode.Packet) bool

// numbers are the headers' numbers that keywords compare; the second result is
// false if the packet has none.
var numbers = map[string]func(*decode.Packet) (uint64, bool){
	"dsize": func(p *decode.Packet) (uint64, bool) { return uint64(len(p.Payload())), true },
	"ttl":   func(p *decode.Packet) (uint64, bool) { return uint64(p.TTL()), isIP(p) },
	"id": func(p *decode.Packet) (uint64, bool) {
		if p.Layer3 != decode.IPv4 {
			return 0, false
		}
		return uint64(p.IPv4().ID()), true
	},
	"fragoffset": func(p *decode.Packet) (uint64, bool) {
		if p.Layer3 != decode.IPv4 {
			return 0, false
		}
		return uint64(p.IPv4().FragmentOffset() / 8), true
	},
	"tcp.seq":    ofTCP(func(t packet.TCP) uint64 { return uint64(t.Seq()) }),
	"tcp.ack":    ofTCP(func(t packet.TCP) uint64 { return uint64(t.Ack()) }),
	"tcp.window": ofTCP(func(t packet.TCP) uint64 { return uint64(t.Window()) }),
	"tcp.mss": func(p *decode.Packet) (uint64, bool) {
		return uint64(p.Options.MSS), p.Layer4 == decode.TCP && p.Options.Has&decode.HasMSS != 0
	},
	"tcp.wscale": func(p *decode.Packet) (uint64, bool) {
		return uint64(p.Options.Scale), p.Layer4 == decode.TCP && p.Options.Has&decode.HasScale != 0
	},
	"itype": ofICMP(func(m packet.ICMP) uint64 { return uint64(m.Type()) }),
	"icode": ofICMP(func(m packet.ICMP) uint64 { return uint64(m.Code()) }),
	"icmp_id": func(p *decode.Packet) (uint64, bool) {
		if !isICMP(p) || !isEcho(p) {
			return 0, false
		}
		return uint64(p.ICMP().ID()), true
	},
	"icmp_seq": func(p *decode.Packet) (uint64, bool) {
		if !isICMP(p) || !isEcho(p) {
			return 0, false
		}
		return uint64(p.ICMP().Seq()), true
	},
	"icmpv6.mtu": func(p *decode.Packet) (uint64, bool) {
		const tooBig = 2
		if p.Layer4 != decode.ICMPv6 || p.ICMP().Type() != tooBig {
			return 0, false
		}
		return uint64(p.ICMP().MTU()), true
	},
	"vlan.layers": func(p *decode.Packet) (uint64, bool) { return uint64(p.Tags), true },
}

func isIP(p *decode.Packet) bool { return p.Layer3 == decode.IPv4 || p.Layer3 == decode.IPv6 }

func isICMP(p *decode.Packet) bool { return p.Layer4 == decode.ICMPv4 || p.Layer4 == decode.ICMPv6 }

// isEcho says whether a message of ICMP has an identifier (RFC 792, 4443).
func isEcho(p *decode.Packet) bool {
	t := p.ICMP().Type()
	if p.Layer4 == decode.ICMPv6 {
		return t == 128 || t == 129
	}
	return t == 0 || t == 8 || t >= 13 && t <= 18
}

func ofTCP(f func(packet.TCP) uint64) func(*decode.Packet) (uint64, bool) {
	return func(p *decode.Packet) (uint64, bool) {
		if p.Layer4 != decode.TCP {
			return 0, false
		}
		return f(p.TCP()), true
	}
}

func ofICMP(f func(packet.ICMP) uint64) func(*decode.Packet) (uint64, bool) {
	return func(p *decode.Packet) (uint64, bool) {
		if !isICMP(p) {
			return 0, false
		}
		return f(p.ICMP()), true
	}
}

// packetConditionOf makes the condition of an option.
func packetConditionOf(o *suricata.Option) (packetCondition, error) {
	f, err := plainCondition(o)
	if err != nil || !o.Negated {
		return f, err
	}
	return func(p *decode.Packet) bool { return !f(p) }, nil
}

func plainCondition(o *suricata.Option) (packetCondition, error) {
	if number, ok := numbers[o.Name]; ok {
		u := o.Value.(*suricata.Uint)
		return func(p *decode.Packet) bool {
			n, ok := number(p)
			return ok && u.Match(n)
		}, nil
	}
	switch v := o.Value.(type) {
	case *suricata.Flags:
		if o.Name == "fragbits" {
			return func(p *decode.Packet) bool {
				return p.Layer3 == decode.IPv4 && v.Match(suricata.FragBitOrder, fragBits(p.IPv4()))
			}, nil
		}
		return func(p *decode.Packet) bool {
			return p.Layer4 == decode.TCP && v.Match(suricata.TCPFlagOrder, uint8(p.TCP().Flags()))
		}, nil
	case suricata.TOS:
		return func(p *decode.Packet) bool { return p.Layer3 == decode.IPv4 && p.IPv4().TOS() == uint8(v) }, nil
	case *suricata.IPProto:
		return func(p *decode.Packet) bool {
			n := uint8(p.Proto)
			switch v.Op {
			case suricata.Ne:
				return isIP(p) && n != v.Number
			case suricata.Lt:
				return isIP(p) && n < v.Number
			case suricata.Gt:
				return isIP(p) && n > v.Number
			}
			return isIP(p) && n == v.Number
		}, nil
	}
	switch o.Name {
	case "sameip":
		return func(p *decode.Packet) bool { return isIP(p) && p.Src() == p.Dst() }, nil
	case "l3_proto":
		want := decode.IPv4
		if v := o.Value.String(); v == "ipv6" || v == "ip6" {
			want = decode.IPv6
		}
		return func(p *decode.Packet) bool { return p.Layer3 == want }, nil
	case "ipopts":
		return ipOption(o.Value.String())
	case "vlan.id":
		u := o.Value.(*suricata.Uint)
		return func(p *decode.Packet) bool { return vlanID(p, u) }, nil
	case "ipv4-csum", "tcpv4-csum", "tcpv6-csum", "udpv4-csum", "udpv6-csum", "icmpv4-csum", "icmpv6-csum":
		return checksumCondition(o.Name, o.Value.String() == "valid"), nil
	}
	return nil, fmt.Errorf("%s is not applied to packets", o.Name)
}

// fragBits are the flags of an IPv4 header in the order of
// suricata.FragBitOrder: reserved, don't fragment, more fragments.
func fragBits(ip packet.IPv4) (bits uint8) {
	for i, letter := range suricata.FragBitOrder {
		set := false
		switch letter {
		case 'M':
			set = ip.MoreFragments()
		case 'D':
			set = ip.DontFragment()
		case 'R':
			set = ip.ReservedBit()
		}
		if set {
			bits |= 1 << i
		}
	}
	return bits
}

func ipOption(name string) (packetCondition, error) {
	if name == "any" {
		return func(p *decode.Packet) bool { return p.Layer3 == decode.IPv4 && p.IPv4Options != 0 }, nil
	}
	set, ok := map[string]decode.IPv4OptionSet{
		"rr": decode.OptionRoute, "eol": decode.OptionEnd, "nop": decode.OptionNop, "ts": decode.OptionTime,
		"sec": decode.OptionSec, "esec": decode.OptionExtSec, "lsrr": decode.OptionLoose,
		"ssrr": decode.OptionStrict, "satid": decode.OptionStream,
	}[name]
	if !ok {
		return nil, fmt.Errorf("the IP option %s is not looked for", name)
	}
	return func(p *decode.Packet) bool { return p.Layer3 == decode.IPv4 && p.IPv4Options&set != 0 }, nil
}

// vlanID compares the tags that the index names.
func vlanID(p *decode.Packet, u *suricata.Uint) bool {
	ids := p.VLAN[:p.Tags]
	switch u.Index {
	case "", "any":
		for _, id := range ids {
			if u.Match(uint64(id)) {
				return true
			}
		}
		return false
	case "all", "all1":
		for _, id := range ids {
			if !u.Match(uint64(id)) {
				return false
			}
		}
		return len(ids) > 0 || u.Index == "all"
	case "count":
		return u.Match(uint64(len(ids)))
	}
	var i int
	if _, err := fmt.Sscan(u.Index, &i); err != nil {
		return false
	}
	if i < 0 {
		i += len(ids)
	}
	return i >= 0 && i < len(ids) && u.Match(uint64(ids[i]))
}

func checksumCondition(name string, valid bool) packetCondition {
	if name == "ipv4-csum" {
		return func(p *decode.Packet) bool { return p.Layer3 == decode.IPv4 && p.IPChecksumOK() == valid }
	}
	l3, l4 := decode.IPv4, decode.TCP
	switch name[:4] {
	case "udpv":
		l4 = decode.UDP
	case "icmp":
		l4 = decode.ICMPv4
	}
	if name[len(name)-len("6-csum")] == '6' {
		l3 = decode.IPv6
		if l4 == decode.ICMPv4 {
			l4 = decode.ICMPv6
		}
	}
	return func(p *decode.Packet) bool { return p.Layer3 == l3 && p.Layer4 == l4 && p.ChecksumOK() == valid }
}

// header is a buffer of a packet's headers; false if it has none.
func header(p *decode.Packet, b suricata.Buffer, scratch []byte) ([]byte, bool) {
	switch b {
	case suricata.BufIPSrc:
		if a := p.Src(); a.IsValid() {
			return append(scratch, a.AsSlice()...), true
		}
	case suricata.BufIPDst:
		if a := p.Dst(); a.IsValid() {
			return append(scratch, a.AsSlice()...), true
		}
	case suricata.BufIPv4Hdr:
		if p.Layer3 == decode.IPv4 {
			return p.IPv4()[:p.IPv4().HeaderLen()], true
		}
	case suricata.BufIPv6Hdr:
		if p.Layer3 == decode.IPv6 {
			return p.IPv6()[:packet.IPv6Len+int(p.ExtHeaders)], true
		}
	case suricata.BufTCPHdr:
		if p.Layer4 == decode.TCP {
			return p.TCP()[:p.TCP().HeaderLen()], true
		}
	case suricata.BufUDPHdr:
		if p.Layer4 == decode.UDP {
			return p.UDP()[:packet.UDPLen], true
		}
	case suricata.BufICMPv4Hdr:
		if p.Layer4 == decode.ICMPv4 {
			return p.ICMP()[:packet.ICMPLen], true
		}
	case suricata.BufICMPv6Hdr:
		if p.Layer4 == decode.ICMPv6 {
			return p.ICMP()[:packet.ICMPLen], true
		}
	}
	return nil, false
}
