package packet

import (
	"math/bits"
	"net/netip"
)

// Key names a flow: both ends with their ports, the protocol, and where it was
// seen. The end with the smaller address (then port) is the low one, so that
// both directions have one key. Keys are compared with ==.
type Key struct {
	// low and high are addresses as big-endian numbers; an IPv4 address is in
	// the second word.
	low, high [2]uint64
	// ports is low port, high port, protocol, IP version and tunnel depth, from
	// the top: 16, 16, 8, 8, 8 bits.
	ports uint64
	// place is three VLAN ids and the device, 16 bits each.
	place uint64
}

// Key4 makes the key of a packet over IPv4 from its header's numbers. Swapped
// says that the source is the high end.
func Key4(src, dst uint32, srcPort, dstPort uint16, proto Proto) (k Key, swapped bool) {
	swapped = src > dst || src == dst && srcPort > dstPort
	if swapped {
		src, dst, srcPort, dstPort = dst, src, dstPort, srcPort
	}
	k.low[1], k.high[1] = uint64(src), uint64(dst)
	k.ports = uint64(srcPort)<<48 | uint64(dstPort)<<32 | uint64(proto)<<24 | 4<<16
	return k, swapped
}

// Key6 is [Key4] for IPv6.
func Key6(src, dst *[16]byte, srcPort, dstPort uint16, proto Proto) (k Key, swapped bool) {
	s := [2]uint64{be.Uint64(src[:]), be.Uint64(src[8:])}
	d := [2]uint64{be.Uint64(dst[:]), be.Uint64(dst[8:])}
	swapped = s[0] > d[0] || s[0] == d[0] && (s[1] > d[1] || s[1] == d[1] && srcPort > dstPort)
	if swapped {
		s, d, srcPort, dstPort = d, s, dstPort, srcPort
	}
	k.low, k.high = s, d
	k.ports = uint64(srcPort)<<48 | uint64(dstPort)<<32 | uint64(proto)<<24 | 6<<16
	return k, swapped
}

// At returns the key at a place: the ids of up to three VLAN tags, outermost
// first, the number of the capture device, and how many tunnels are around the
// packet. Flows of different places are different.
func (k Key) At(vlan [3]uint16, device uint16, depth uint8) Key {
	k.place = uint64(vlan[0])<<48 | uint64(vlan[1])<<32 | uint64(vlan[2])<<16 | uint64(device)
	k.ports = k.ports&^0xff00 | uint64(depth)<<8
	return k
}

// OneWay returns the key of a flow that has no way back (ESP, whose two
// directions have nothing in common): label stands in place of the ports, and
// swapped says that the source is the high end.
func (k Key) OneWay(label uint32, swapped bool) Key {
	k.ports = k.ports&^(0xffffffff<<32|0xff) | uint64(label)<<32
	k.ports |= 1
	if swapped {
		k.ports |= 2
	}
	return k
}

// Proto is the protocol.
func (k Key) Proto() Proto { return Proto(k.ports >> 24) }

// IPv4 says whether the addresses are of IPv4.
func (k Key) IPv4() bool { return uint8(k.ports>>16) == 4 }

// Low is the end with the smaller address.
func (k Key) Low() netip.AddrPort { return netip.AddrPortFrom(k.addr(k.low), uint16(k.ports>>48)) }

// High is the other end.
func (k Key) High() netip.AddrPort { return netip.AddrPortFrom(k.addr(k.high), uint16(k.ports>>32)) }

func (k Key) addr(words [2]uint64) netip.Addr {
	var b [16]byte
	be.PutUint64(b[:], words[0])
	be.PutUint64(b[8:], words[1])
	if k.IPv4() {
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return netip.AddrFrom16(b)
}

// VLAN returns the ids of the tags, 0 where there is none.
func (k Key) VLAN() [3]uint16 {
	return [3]uint16{uint16(k.place >> 48), uint16(k.place >> 32), uint16(k.place >> 16)}
}

// Device is the number of the capture device.
func (k Key) Device() uint16 { return uint16(k.place) }

// Seed makes a hash of keys that an outsider cannot predict.
type Seed [6]uint64

// NewSeed spreads a random number over a seed.
func NewSeed(random uint64) (s Seed) {
	for i := range s { // Splitmix64.
		random += 0x9e3779b97f4a7c15
		z := random
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		s[i] = z ^ z>>31
	}
	return s
}

// Hash is a number of 64 well mixed bits, the same for equal keys and seeds on
// every machine.
func (k *Key) Hash(s *Seed) uint64 {
	a := fold(k.low[0]^s[0], k.low[1]^s[1])
	b := fold(k.high[0]^s[2], k.high[1]^s[3])
	c := fold(k.ports^s[4], k.place^s[5])
	return fold(a^s[5], b^c)
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
