package main

import "encoding/binary"

// remap gives the addresses of a frame those of a replay, each on the side of
// HOME_NET it was on, and mends the checksums by what changed, so that wrong
// ones stay wrong. Replay 0 keeps its addresses. What a tunnel carries keeps
// its own; what an ICMP error quotes does not, to stay with its flow.
func remap(data []byte, number uint64) {
	if number == 0 || len(data) < 14 {
		return
	}
	kind, rest := binary.BigEndian.Uint16(data[12:]), data[14:]
	for (kind == 0x8100 || kind == 0x88a8) && len(rest) >= 4 { // VLAN tags.
		kind, rest = binary.BigEndian.Uint16(rest[2:]), rest[4:]
	}
	switch kind {
	case 0x0800:
		remap4(rest, number)
	case 0x86dd:
		remap6(rest, number)
	case 0x0806: // ARP for IPv4 over Ethernet.
		if len(rest) >= 28 {
			move4(rest[14:18], number)
			move4(rest[24:28], number)
		}
	}
}

// remap4 changes an IPv4 packet and returns the change of its checksums.
func remap4(ip []byte, number uint64) (delta uint32) {
	if len(ip) < 20 || ip[0]>>4 != 4 {
		return 0
	}
	head := int(ip[0]&15) * 4
	if head < 20 || head > len(ip) {
		return 0
	}
	delta = move4(ip[12:16], number) + move4(ip[16:20], number)
	adjust(ip[10:12], delta)
	if binary.BigEndian.Uint16(ip[6:])&0x1fff == 0 { // The first fragment has the transport's header.
		transport(ip[9], ip[head:], delta, number)
	}
	return delta
}

// remap6 is remap4 for IPv6; it leaves extension headers' packets with the
// checksums they had.
func remap6(ip []byte, number uint64) (delta uint32) {
	if len(ip) < 40 || ip[0]>>4 != 6 {
		return 0
	}
	delta = move6(ip[8:24], number) + move6(ip[24:40], number)
	transport(ip[6], ip[40:], delta, number)
	return delta
}

// transport mends the checksum below the addresses that changed by delta.
func transport(proto byte, b []byte, delta uint32, number uint64) {
	switch {
	case proto == 6 && len(b) >= 18:
		adjust(b[16:18], delta)
	case proto == 17 && len(b) >= 8 && (b[6] != 0 || b[7] != 0):
		adjust(b[6:8], delta)
	case proto == 1 && len(b) >= 8 && quotes4(b[0]):
		remap4(b[8:], number) // The quoted header's sum makes up for it.
	case proto == 58 && len(b) >= 8:
		if b[0] < 128 {
			delta += remap6(b[8:], number)
		}
		adjust(b[2:4], delta)
	}
}

// quotes4 says whether an ICMP type quotes a packet (RFC 792).
func quotes4(kind byte) bool { return kind == 3 || kind == 4 || kind == 5 || kind == 11 || kind == 12 }

// adjust changes a checksum for a change of what it covers (RFC 1624).
func adjust(sum []byte, delta uint32) {
	s := uint32(^binary.BigEndian.Uint16(sum)) + delta
	s = s&0xffff + s>>16
	s = s&0xffff + s>>16
	binary.BigEndian.PutUint16(sum, ^uint16(s))
}

// move4 changes an address and returns what its ones' complement sum grows by.
func move4(a []byte, number uint64) uint32 {
	old := sum16(a)
	h := uint32(scatter(number))
	switch {
	case a[0] == 0 || a[0] == 127 || a[0] >= 224 || a[0] == 169 && a[1] == 254:
		return 0 // Not a host's, or only on its link.
	case a[0] == 172, a[0] == 192: // Some of these are private.
		h &= 0xffff
	default:
		h &= 0xffffff
	}
	binary.BigEndian.PutUint32(a, binary.BigEndian.Uint32(a)^h)
	return difference(old, sum16(a))
}

// move6 changes global and unique local addresses below their first 16 bits.
func move6(a []byte, number uint64) uint32 {
	if a[0]>>5 != 1 && a[0]>>1 != 0xfc>>1 {
		return 0
	}
	old := sum16(a)
	binary.BigEndian.PutUint32(a[2:], binary.BigEndian.Uint32(a[2:])^uint32(scatter(number)))
	return difference(old, sum16(a))
}

func sum16(b []byte) (s uint32) {
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	return fold(s)
}

func fold(s uint32) uint32 {
	s = s&0xffff + s>>16
	return s&0xffff + s>>16
}

// difference is what to add to a ones' complement sum for now in old's place.
func difference(old, now uint32) uint32 { return fold(now + 0xffff - old) }
