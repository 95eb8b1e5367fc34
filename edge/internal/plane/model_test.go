package plane

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
)

// model is the naive twin of the BPF programs: maps instead of sets and tags,
// packets taken apart and put together anew. Which slot and which backend a
// new flow gets is the plane's to choose; the model checks that it may, and
// holds it to it.
type model struct {
	state *State
	flows map[flowKey]*modelFlow
	slots map[slotKey]*modelFlow
	begun []*modelFlow // in their order
}

type flowKey struct {
	client  netip.AddrPort
	service netip.AddrPort
	proto   uint8
}

type slotKey struct {
	local netip.AddrPort
	proto uint8
}

type modelFlow struct {
	key     flowKey
	vip     *VIP
	backend *Backend
	local   netip.AddrPort
	phase   Phase
	slot    *modelSlot
	shift   uint32 // of sequence numbers
	later   uint32 // of timestamps
}

// modelSlot is what a backend remembers of a slot's last connection.
type modelSlot struct {
	floor, timeFloor       uint32
	hasFloor, hasTimeFloor bool
}

// parsed is a packet of TCP or UDP taken apart.
type parsed struct {
	frame    []byte
	l3, l4   int // where the headers begin
	src, dst netip.AddrPort
	proto    uint8
	flags    uint8
	ttl      uint8
	late     bool // a fragment without its transport header
	sound    bool // TCP or UDP with whole headers
}

// parse reads a frame; ok is false for what the plane leaves to the kernel
// whatever its addresses are.
func parse(frame []byte) (p parsed, ok bool) {
	p.frame, p.l3 = frame, 14
	if len(frame) < 14+20 {
		return p, false
	}
	var length int
	var src, dst netip.Addr
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800:
		ip := frame[14:]
		if ip[0] != 0x45 {
			return p, false
		}
		length, p.proto, p.ttl, p.l4 = int(binary.BigEndian.Uint16(ip[2:])), ip[9], ip[8], 34
		if length < 20 {
			return p, false
		}
		p.late = binary.BigEndian.Uint16(ip[6:])&0x1fff != 0
		src, dst = netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20]))
	case 0x86dd:
		ip := frame[14:]
		if len(ip) < 40 || ip[0]>>4 != 6 {
			return p, false
		}
		length, p.proto, p.ttl, p.l4 = 40+int(binary.BigEndian.Uint16(ip[4:])), ip[6], ip[7], 54
		src, dst = netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40]))
	default:
		return p, false
	}
	if length > len(frame)-14 || (p.proto != protoTCP && p.proto != protoUDP) {
		return p, false
	}
	p.src, p.dst = netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0)
	transport := frame[p.l4 : 14+length]
	switch {
	case p.proto == protoUDP && len(transport) >= 8:
		p.sound = true
	case p.proto == protoTCP && len(transport) >= 20:
		offset := int(transport[12]>>4) * 4
		p.sound, p.flags = offset >= 20 && offset <= len(transport), transport[13]
	}
	if p.sound {
		p.src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(transport))
		p.dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(transport[2:]))
	}
	return p, true
}

// verdict is what shall become of a frame.
type verdict int

const (
	passed verdict = iota
	dropped
	forwarded
)

// expect says what the plane must do with a frame, and to which flow it
// belongs; begins is true when the plane may open it.
func (m *model) expect(frame []byte) (want verdict, p parsed, f *modelFlow, toBackend, begins bool) {
	p, ok := parse(frame)
	if !ok {
		return passed, p, nil, false, false
	}
	if p.late && m.isVIP(p.dst.Addr()) {
		return dropped, p, nil, false, false
	}
	local := m.state.Local.V4.Contains(p.dst.Addr()) || m.state.Local.V6.Contains(p.dst.Addr())
	if !p.sound || p.late {
		if local {
			return dropped, p, nil, false, false
		}
		return passed, p, nil, false, false
	}
	if local {
		f := m.slots[slotKey{p.dst, p.proto}]
		if f == nil || p.ttl <= 1 || p.src != netip.AddrPortFrom(f.backend.Addr, f.backend.Port) || !routable(f.key.client.Addr()) {
			return dropped, p, nil, false, false
		}
		return forwarded, p, f, false, false
	}
	v := m.vip(p.dst, p.proto)
	if v == nil {
		return passed, p, nil, false, false
	}
	f = m.flows[flowKey{p.src, p.dst, p.proto}]
	isSYN := p.flags&0x17 == 2
	again := f != nil && p.flags&2 != 0 && (f.phase == FinBoth || f.phase == Closed)
	switch {
	case p.ttl <= 1 || p.proto == protoTCP && p.flags&2 != 0 && !soundOptions(frame[p.l4:]):
		return dropped, p, nil, false, false
	case f != nil && !again:
		return forwarded, p, f, true, false
	case p.proto == protoTCP && !isSYN:
		return dropped, p, nil, false, false
	}
	return forwarded, p, &modelFlow{key: flowKey{p.src, p.dst, p.proto}, vip: v}, true, true
}

// routable reports whether the lab's edge has a route to a client: a mutated
// packet may come from anywhere.
func routable(a netip.Addr) bool {
	v4 := a.As16()[12]
	return !a.IsMulticast() && !a.IsLoopback() && !a.IsUnspecified() && (a.Is6() || v4 != 0 && v4 < 240)
}

// soundOptions walks the options of a SYN as RFC 9293 writes them.
func soundOptions(tcp []byte) bool {
	o := tcp[20 : int(tcp[12]>>4)*4]
	for len(o) > 0 {
		switch {
		case o[0] == 0:
			return true
		case o[0] == 1:
			o = o[1:]
		case len(o) < 2 || o[1] < 2 || int(o[1]) > len(o):
			return false
		default:
			o = o[o[1]:]
		}
	}
	return true
}

func (m *model) vip(to netip.AddrPort, proto uint8) *VIP {
	for i := range m.state.VIPs {
		if v := &m.state.VIPs[i]; v.Addr == to.Addr() && v.Proto == proto && v.FirstPort <= to.Port() && to.Port() <= v.LastPort {
			return v
		}
	}
	return nil
}

func (m *model) isVIP(a netip.Addr) bool {
	return slices.ContainsFunc(m.state.VIPs, func(v VIP) bool { return v.Addr == a })
}

// advance moves a TCP flow by the flags of a packet.
func (f *modelFlow) advance(flags uint8, fromClient bool) {
	const fin, syn, rst, ack = 1, 2, 4, 16
	mine, theirs := FinClient, FinServer
	if !fromClient {
		mine, theirs = FinServer, FinClient
	}
	switch {
	case f.key.proto == protoUDP:
		if !fromClient {
			f.phase = UDPAnswered
		}
	case flags&rst != 0:
		f.phase = Closed
	case flags&fin != 0 && f.phase == theirs:
		f.phase = FinBoth
	case flags&fin != 0 && (f.phase == SynReceived || f.phase == Established):
		f.phase = mine
	case flags&fin != 0:
	case fromClient && f.phase == SynReceived && flags&syn == 0:
		f.phase = Established
	case !fromClient && f.phase == SynSent && flags&(syn|ack) == syn|ack:
		f.phase = SynReceived
	case !fromClient && f.phase == Closed && flags&syn == 0:
		f.phase = Established
	}
}

// readdressed is the frame with other addresses and ports, one hop older, its
// TCP translated, and its checksums as right or as wrong as they were.
func (f *modelFlow) readdressed(p parsed, toBackend bool) []byte {
	src, dst := f.local, netip.AddrPortFrom(f.backend.Addr, f.backend.Port)
	if !toBackend {
		src, dst = f.key.service, f.key.client
	}
	out := bytes.Clone(p.frame)
	wasRight := checksumError(p)
	put := func(at int, a netip.AddrPort, port int) {
		copy(out[at:], a.Addr().AsSlice())
		binary.BigEndian.PutUint16(out[port:], a.Port())
	}
	if p.l4 == 34 {
		headerError := sum(out[14:34], 0)
		put(26, src, p.l4)
		put(30, dst, p.l4+2)
		out[22]--
		setSum(out[14:34], 10, headerError, 0)
	} else {
		put(22, src, p.l4)
		put(38, dst, p.l4+2)
		out[21]--
	}
	if p.proto == protoTCP {
		payload := len(p.transport()) - int(out[p.l4+12]>>4)*4
		f.translate(out[p.l4:], payload, toBackend, 1500-(p.l4-14)-20)
	}
	at := 16
	if p.proto == protoUDP {
		at = 6
		if p.l4 == 34 && binary.BigEndian.Uint16(out[p.l4+6:]) == 0 {
			return out
		}
	}
	q := p
	q.frame, q.src, q.dst = out, src, dst
	setSum(q.transport(), at, wasRight, q.pseudo())
	if p.proto == protoUDP && binary.BigEndian.Uint16(out[p.l4+6:]) == 0 {
		out[p.l4+6], out[p.l4+7] = 0xff, 0xff
	}
	return out
}

// option finds the last option of a kind and length in a segment whose
// options are sound; it returns where its value is, 0 for none.
func option(tcp []byte, kind, length byte) int {
	if !soundOptions(tcp) {
		return 0
	}
	end, found := int(tcp[12]>>4)*4, 0
	for at := 20; at < end && tcp[at] != 0; {
		if tcp[at] == 1 {
			at++
			continue
		}
		if tcp[at] == kind && tcp[at+1] == length {
			found = at + 2
		}
		at += int(tcp[at+1])
	}
	return found
}

// timestamp is where a segment's timestamps are: anywhere in a SYN, else
// where RFC 7323 puts them.
func timestamp(tcp []byte) int {
	if tcp[13]&2 != 0 {
		return option(tcp, 8, 10)
	}
	if tcp[12]>>4 >= 8 && binary.BigEndian.Uint32(tcp[20:]) == 0x0101080a {
		return 24
	}
	return 0
}

func addTo(b []byte, n uint32) { binary.BigEndian.PutUint32(b, binary.BigEndian.Uint32(b)+n) }

// translate does to a copied segment what its direction asks for: the MSS of
// a SYN, the sequence and time of a slot that was used before.
func (f *modelFlow) translate(tcp []byte, payload int, toBackend bool, most int) {
	if at := option(tcp, 2, 4); tcp[13]&2 != 0 && at != 0 && int(binary.BigEndian.Uint16(tcp[at:])) > most {
		binary.BigEndian.PutUint16(tcp[at:], uint16(most))
	}
	at := timestamp(tcp)
	switch {
	case !toBackend:
		if tcp[13]&16 != 0 {
			addTo(tcp[8:], -f.shift)
		}
		if at != 0 {
			addTo(tcp[at+4:], -f.later)
		}
		return
	case at != 0:
		addTo(tcp[at:], f.later)
	}
	addTo(tcp[4:], f.shift)
	if tcp[13]&5 == 0 {
		return
	}
	f.slot.floor, f.slot.hasFloor = binary.BigEndian.Uint32(tcp[4:])+uint32(payload)+1, true
	if tcp[12]>>4 >= 8 && binary.BigEndian.Uint32(tcp[20:]) == 0x0101080a {
		f.slot.timeFloor, f.slot.hasTimeFloor = binary.BigEndian.Uint32(tcp[24:]), true
	}
}

// raise chooses the shifts of a connection that begins on a used slot.
func (f *modelFlow) raise(syn []byte) {
	seq := binary.BigEndian.Uint32(syn[4:])
	if f.slot.hasFloor && int32(seq-f.slot.floor) <= 0 {
		f.shift = f.slot.floor + 1<<16 - seq
	}
	if at := timestamp(syn); at != 0 && f.slot.hasTimeFloor {
		if now := binary.BigEndian.Uint32(syn[at:]); int32(now-f.slot.timeFloor) <= 0 {
			f.later = f.slot.timeFloor + 1 - now
		}
	}
}

func (p *parsed) transport() []byte {
	length := int(binary.BigEndian.Uint16(p.frame[16:]))
	if p.l4 == 54 {
		length = 40 + int(binary.BigEndian.Uint16(p.frame[18:]))
	}
	return p.frame[p.l4 : 14+length]
}

func (p *parsed) pseudo() uint32 {
	addrs := append(p.src.Addr().AsSlice(), p.dst.Addr().AsSlice()...)
	return uint32(sum(addrs, uint32(p.proto)+uint32(len(p.transport()))))
}

// checksumError is 0xffff (or 0) for a right checksum: the sum over all.
func checksumError(p parsed) uint16 { return sum(p.transport(), p.pseudo()) }

// sum is the one's complement sum of data and more.
func sum(data []byte, more uint32) uint16 {
	s := uint64(more)
	for len(data) > 1 {
		s += uint64(binary.BigEndian.Uint16(data))
		data = data[2:]
	}
	if len(data) == 1 {
		s += uint64(data[0]) << 8
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// setSum writes the checksum at an offset so that the sum over all is as it was.
func setSum(data []byte, at int, was uint16, pseudo uint32) {
	binary.BigEndian.PutUint16(data[at:], 0)
	s := uint32(was) + uint32(^sum(data, pseudo))
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	binary.BigEndian.PutUint16(data[at:], uint16(s))
}
