package plane

import (
	"fmt"
	"math/bits"
	"net/netip"
	"sync/atomic"
	"time"
)

// chain is CHAIN of bpf/layout.h: how far a service may be from where its
// hash points.
const chain = 8

// Apply makes s what the plane does. It is validated whole and written into
// the tables' unused half; then one word switches, so that every packet sees
// the old state or the new one. Sessions stay where they are: a VIP or a
// backend that is no longer named keeps its row for those that refer to it,
// but no new flow finds it.
func (p *Plane) Apply(s *State) error {
	if err := s.Validate(p.options); err != nil {
		return fmt.Errorf("apply state: %w", err)
	}
	p.applying.Lock()
	defer p.applying.Unlock()
	old := atomic.LoadUint32(&p.control().Active) & 1
	half := int(1 - old)
	// A packet that began before the last switch may still read this half.
	if err := p.grace(); err != nil {
		return err
	}
	if err := p.writeServices(half, s.VIPs); err != nil {
		return fmt.Errorf("apply state: %w", err)
	}
	p.writeBackends(half, s.Backends)
	p.writeVIPs(half, s.VIPs)
	p.writeSettings(half, s)
	atomic.StoreUint32(&p.control().Active, uint32(half))
	return nil
}

// writeServices files each VIP where its packets are looked up; an error
// says that too many share a place.
func (p *Plane) writeServices(half int, vips []VIP) error {
	size := len(p.services.rows) / 2
	rows := p.services.rows[half*size : (half+1)*size]
	clear(rows)
	pinged := map[netip.Addr]bool{}
	for i := range vips {
		v := &vips[i]
		row := bpfService{Addr: toAddress(v.Addr), First: v.FirstPort, Last: v.LastPort, Proto: v.Proto, Family: familyOf(v.Addr), Vip: uint16(v.ID)}
		filed := v.FirstPort
		if v.FirstPort != v.LastPort {
			filed = 0
		}
		if !file(rows, row, filed) {
			return fmt.Errorf("%s: more than %d port ranges at one address, or no room (%d vips at most)", v, chain, p.options.VIPs-1)
		}
		row.First, row.Last, row.Proto = 0, 0, protoICMP
		if !pinged[v.Addr] && !file(rows, row, 0) {
			return fmt.Errorf("%s: no room for its address (%d vips at most)", v, p.options.VIPs-1)
		}
		pinged[v.Addr] = true
	}
	return nil
}

// file puts a row into the open hash table; false: its chain is full.
func file(rows []bpfService, row bpfService, port uint16) bool {
	start := uint32(hashService(row.Addr, port, row.Proto) >> 16)
	for n := range uint32(chain) {
		place := &rows[(start+n)&uint32(len(rows)-1)]
		if place.Vip == 0 {
			*place = row
			return true
		}
	}
	return false
}

func (p *Plane) writeBackends(half int, backends []Backend) {
	n := p.options.Backends
	rows := p.backends.rows[half*n : (half+1)*n]
	copy(rows, p.backends.rows[(1-half)*n:(2-half)*n])
	for i := range backends {
		b := &backends[i]
		rows[b.ID] = bpfBackend{Addr: toAddress(b.Addr), Port: netPort(b.Port), State: uint8(b.State), Family: familyOf(b.Addr), Id: b.ID}
	}
}

func (p *Plane) writeVIPs(half int, vips []VIP) {
	n, entries := p.options.VIPs, p.options.Entries
	rows := p.vips.rows[half*n : (half+1)*n]
	choices := p.choices.rows[half*entries : (half+1)*entries]
	copy(rows, p.vips.rows[(1-half)*n:(2-half)*n])
	first := 0
	for i := range vips {
		v := &vips[i]
		row := bpfVip{
			Addr: toAddress(v.Addr), Family: familyOf(v.Addr), Proto: v.Proto, Mode: uint8(v.Mode), Choice: uint8(v.Choice),
			Client: uint8(v.Client), SourceBits: v.SourceBits, Mss: v.MSS, GuePort: netPort(orDefault(v.GUEPort, DefaultGUEPort)),
			First: uint32(first), Length: uint32(len(v.Table)), Timeout: v.Timeouts.millis(), Id: v.ID,
		}
		if v.OnePacket {
			row.OnePacket = 1
		}
		rows[v.ID] = row
		for _, id := range v.Table {
			choices[first] = uint64(id)
			first++
		}
	}
}

func (p *Plane) writeSettings(half int, s *State) {
	row := bpfSetting{
		ServiceMask: uint32(len(p.services.rows)/2 - 1),
		InsideCount: uint32(len(s.SNAT.Inside)), InsideTimeout: s.SNAT.Timeouts.millis(),
		Source: [2]address{toAddress(s.SourceV4), toAddress(s.SourceV6)},
	}
	for i, block := range []netip.Prefix{s.Local.V4, s.Local.V6} {
		if !block.IsValid() {
			continue
		}
		row.LocalOk[i] = 1
		row.Local[i], row.LocalMask[i] = toAddress(block.Addr()), toMask(block)
		row.SetMask[i] = uint32(usableSlots(p.options.Slots, block)/ways - 1)
	}
	for i, inside := range s.SNAT.Inside {
		row.Inside[i], row.InsideMask[i], row.InsideFamily[i] = toAddress(inside.Addr()), toMask(inside), familyOf(inside.Addr())
	}
	p.settings.rows[half] = row
}

// usableSlots is how many sessions a block of local addresses carries.
func usableSlots(slots int, block netip.Prefix) int {
	host := block.Addr().BitLen() - block.Bits()
	return min(slots, PortsPerLocal<<min(host, 32))
}

// millis are the timeouts as the plane counts them, in the order of enum timeout.
func (t Timeouts) millis() [6]uint32 {
	d := DefaultTimeouts()
	var out [6]uint32
	for i, pair := range [6][2]time.Duration{
		{t.SynSent, d.SynSent}, {t.Established, d.Established}, {t.Closing, d.Closing},
		{t.Closed, d.Closed}, {t.UDPNew, d.UDPNew}, {t.UDPAnswered, d.UDPAnswered},
	} {
		out[i] = uint32(orDefault(pair[0], pair[1]).Milliseconds())
	}
	return out
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// serviceRows is the size of one half of the services: a quarter full at most, as a VIP has two rows.
func serviceRows(vips int) int { return 1 << bits.Len(uint(8*vips-1)) }
