package plane

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// Totals is how many packets each reason was given to since the tables were
// made. Forwarded is not counted here: the VIPs' counters have it.
func (p *Plane) Totals() ([Reasons]uint64, error) {
	var out [Reasons]uint64
	for r := range Reasons {
		var each []uint64
		if err := p.maps["reasons"].Lookup(uint32(r), &each); err != nil {
			return out, fmt.Errorf("read counters: %w", err)
		}
		for _, n := range each {
			out[r] += n
		}
	}
	return out, nil
}

// VIP reads the counters of a VIP's id.
func (p *Plane) VIP(id uint32) (Counter, error) { return p.counter("vip_counters", id) }

// Backend reads the counters of a backend's id.
func (p *Plane) Backend(id uint32) (Counter, error) { return p.counter("backend_counters", id) }

func (p *Plane) counter(table string, id uint32) (Counter, error) {
	var each []bpfCounter
	var sum Counter
	if err := p.maps[table].Lookup(id, &each); err != nil {
		return sum, fmt.Errorf("read counters: %w", err)
	}
	for _, c := range each {
		sum.PacketsIn += c.PacketsIn
		sum.BytesIn += c.BytesIn
		sum.PacketsOut += c.PacketsOut
		sum.BytesOut += c.BytesOut
		sum.Flows += c.Flows
	}
	return sum, nil
}

// live reports whether a row holds a session that has not expired at now.
func (s *bpfSession) live(now uint32) bool {
	return Phase(s.Phase) > Building && s.Generation&1 == 0 && int32(now-s.Seen-s.Life) <= 0
}

// Sessions calls f for every live FullNAT session until it returns false. A
// session that changes hands meanwhile is seen as it was or not at all.
func (p *Plane) Sessions(f func(Session) bool) {
	now := atomic.LoadUint32(&p.clocks.rows[0].Now)
	for i := range p.sessions.rows {
		row := &p.sessions.rows[i]
		if !row.live(now) {
			continue
		}
		copied := *row
		if copied.Generation != row.Generation || copied.Generation&1 != 0 {
			continue
		}
		if !f(p.session(uint32(i), &copied, now)) {
			return
		}
	}
}

func (p *Plane) session(slot uint32, row *bpfSession, now uint32) Session {
	half := int(atomic.LoadUint32(&p.control().Active) & 1)
	k := row.Key
	vip := &p.vips.rows[half*p.options.VIPs+int(k.Vip)]
	backend := &p.backends.rows[half*p.options.Backends+int(row.Backend)]
	port := backend.Port
	if port == 0 {
		port = k.ServicePort
	}
	return Session{
		Slot: slot, VIP: uint32(k.Vip), Backend: uint32(row.Backend), Proto: k.Proto, Phase: Phase(row.Phase),
		Client:  netip.AddrPortFrom(fromAddress(k.Client, k.Family), netPort(k.ClientPort)),
		Service: netip.AddrPortFrom(fromAddress(vip.Addr, vip.Family), netPort(k.ServicePort)),
		Local:   p.local(half, k.Family, slot),
		Server:  netip.AddrPortFrom(fromAddress(backend.Addr, backend.Family), netPort(port)),
		Idle:    time.Duration(int32(now-row.Seen)) * time.Millisecond,
		Left:    time.Duration(int32(row.Seen+row.Life-now)) * time.Millisecond,
	}
}

// local is the address and port a slot speaks to backends from.
func (p *Plane) local(half int, family uint8, slot uint32) netip.AddrPort {
	set := &p.settings.rows[half]
	base := fromAddress(set.Local[family/6], family)
	return netip.AddrPortFrom(nth(base, slot/PortsPerLocal), uint16(PortBase+slot%PortsPerLocal))
}

// nth is the address n after base, in its last 32 bits.
func nth(base netip.Addr, n uint32) netip.Addr {
	raw := base.AsSlice()
	last := raw[len(raw)-4:]
	binary.BigEndian.PutUint32(last, binary.BigEndian.Uint32(last)+n)
	a, _ := netip.AddrFromSlice(raw)
	return a
}

// References counts live sessions, and flows of DR and tunnels, by backend
// id: an id that is in it must not be given to another backend.
func (p *Plane) References() map[uint32]int {
	out := map[uint32]int{}
	now := atomic.LoadUint32(&p.clocks.rows[0].Now)
	for i := range p.sessions.rows {
		if row := &p.sessions.rows[i]; row.live(now) {
			out[uint32(row.Backend)]++
		}
	}
	longest := p.longestTimeout()
	for i := range p.affinity.rows {
		for j := range p.affinity.rows[i].Entry {
			// bpf/tunnel.h: tag 24 bits, backend 16, seen 24 in units of 512 ms
			entry := atomic.LoadUint64(&p.affinity.rows[i].Entry[j])
			if silent := (now>>9 - uint32(entry)) & 0xffffff; entry != 0 && silent <= longest>>9 {
				out[uint32(entry>>24)&0xffff]++
			}
		}
	}
	return out
}

// longestTimeout is how long any VIP remembers a silent flow, in milliseconds.
func (p *Plane) longestTimeout() uint32 {
	half := int(atomic.LoadUint32(&p.control().Active) & 1)
	longest := uint32(0)
	for _, v := range p.vips.rows[half*p.options.VIPs : (half+1)*p.options.VIPs] {
		longest = max(longest, slices.Max(v.Timeout[:]))
	}
	return longest
}
