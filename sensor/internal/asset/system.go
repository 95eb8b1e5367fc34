package asset

import (
	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/decode"
)

// A trait is how a system's first segment looks: the TTL it sends with, the
// order of its TCP options, and its window, 0 for any.
type trait struct {
	ttl     uint8
	options string // M mss, S SACK permitted, T timestamp, N no-op, W window scale, E end
	window  uint16
	name    string
}

// traits are common knowledge of default settings; the first that fits counts.
// They are told as a guess: a system can be set otherwise.
var traits = []trait{
	{64, "MSTNW", 0, "Linux"},
	{64, "MNNTNW", 0, "Linux"}, // SACK switched off
	{128, "MNWNNS", 0, "Windows"},
	{128, "MNWNNTNNS", 0, "Windows"},
	{128, "MNNS", 0, "Windows"}, // XP, 2003
	{64, "MNWNNTSE", 65535, "macOS or iOS"},
	{64, "MNWST", 65535, "FreeBSD"},
	{64, "MNNSNWNNT", 16384, "OpenBSD"},
	{64, "MNWSNNT", 0, "NetBSD"},
	{64, "STMNW", 0, "Solaris"},
	{255, "M", 4128, "Cisco IOS"},
	{64, "M", 0, "embedded"},
	{255, "M", 0, "embedded"},
}

// System guesses the operating system of whoever sent a SYN, "" if it cannot.
func System(p *decode.Packet) string {
	tcp := p.TCP()
	if tcp.Flags()&(packet.SYN|packet.ACK) != packet.SYN {
		return ""
	}
	ttl := initialTTL(p)
	var buf [20]byte
	order := optionOrder(buf[:0], tcp.Options())
	for _, t := range traits {
		if t.ttl == ttl && t.options == string(order) && (t.window == 0 || t.window == tcp.Window()) {
			return t.name
		}
	}
	return ""
}

// initialTTL is what the sender's was: the next of those in use.
func initialTTL(p *decode.Packet) uint8 {
	ttl := uint8(0)
	switch p.Layer3 {
	case decode.IPv4:
		ttl = p.IPv4().TTL()
	case decode.IPv6:
		ttl = p.IPv6().HopLimit()
	}
	for _, initial := range []uint8{32, 64, 128} {
		if ttl <= initial {
			return initial
		}
	}
	return 255
}

// optionOrder appends a letter for each TCP option, ? for one that is not known (RFC 9293, section 3.2).
func optionOrder(out, options []byte) []byte {
	letters := map[byte]byte{2: 'M', 3: 'W', 4: 'S', 8: 'T'}
	for len(options) > 0 && len(out) < cap(out) {
		switch kind := options[0]; {
		case kind == 0:
			return append(out, 'E')
		case kind == 1:
			out, options = append(out, 'N'), options[1:]
		case len(options) < 2 || options[1] < 2 || int(options[1]) > len(options):
			return append(out, '?')
		default:
			letter, ok := letters[kind]
			if !ok {
				letter = '?'
			}
			out, options = append(out, letter), options[options[1]:]
		}
	}
	return out
}
