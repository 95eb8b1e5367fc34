package edge

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/hauberk/hauberk/edge/internal/health"
	"github.com/hauberk/hauberk/edge/internal/plane"
	"github.com/hauberk/hauberk/edge/internal/sched"
	"github.com/hauberk/hauberk/internal/conf"
)

// Validate reports all problems that can be seen without looking at the
// machine; Preflight looks.
func (c *Config) Validate() error {
	var p conf.Problems
	p.NotEmpty("data_dir", c.DataDir)
	if len(c.Interfaces) == 0 {
		p.Addf("interfaces: name at least one")
	}
	seen := map[string]bool{}
	for _, name := range c.Interfaces {
		if name == "" || seen[name] {
			p.Addf("interfaces: %q is empty or named twice", name)
		}
		seen[name] = true
	}
	if err := c.options().Validate(); err != nil {
		p.Addf("tables: %v", err)
	}
	c.validateBlocks(&p)
	c.BGP.Validate(&p)
	names := map[string]int{}
	for i := range c.VIPs {
		v := &c.VIPs[i]
		if first, twice := names[v.Name]; twice {
			p.Addf("%s: the name is also that of the VIP in line %d", v.place(), c.VIPs[first].line)
		}
		names[v.Name] = i
		v.validate(&p)
		c.validateRoom(v, &p)
		for j := range i {
			if u := &c.VIPs[j]; u.overlaps(v) {
				p.Addf("%s overlaps %s", v.place(), u.place())
			}
		}
	}
	c.validateTotals(&p)
	return p.Err()
}

// place is how problems name a VIP.
func (v *VIP) place() string {
	if v.line == 0 {
		return fmt.Sprintf("vip %q", v.Name)
	}
	return fmt.Sprintf("line %d: vip %q", v.line, v.Name)
}

func (v *VIP) placeOf(b *Backend) string {
	if b.line == 0 {
		return fmt.Sprintf("vip %q: backend %s", v.Name, b.Name)
	}
	return fmt.Sprintf("line %d: vip %q: backend %s", b.line, v.Name, b.Name)
}

func (v *VIP) overlaps(u *VIP) bool {
	return v.Address == u.Address && v.Proto == u.Proto && v.Ports.First <= u.Ports.Last && u.Ports.First <= v.Ports.Last
}

func usable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !a.Is4In6() && a.Zone() == "" && !a.IsLoopback()
}

func (v *VIP) validate(p *conf.Problems) {
	at := v.place()
	if !usable(v.Address) {
		p.Addf("%s: address %q is not one that packets can be sent to", at, v.Address)
	}
	if len(v.Name) > maxNameLength {
		p.Addf("%s: the name has over %d bytes", at, maxNameLength)
	}
	if v.Ports.First == 0 {
		p.Addf("%s: ports: must not be empty", at)
	}
	mode := plane.Mode(v.Mode)
	if v.Client != ClientInfo(plane.NoClientInfo) {
		if mode != plane.FullNAT {
			p.Addf("%s: client_address %s needs mode fullnat: with %s the replies bypass the edge, which cannot keep sequence numbers right", at, v.Client, v.Mode)
		}
		if v.Proto != TCP {
			p.Addf("%s: client_address %s needs proto tcp", at, v.Client)
		}
		if mode == plane.FullNAT && v.Proto == TCP {
			p.Addf("%s: client_address %s: the data plane does not tell the client's address yet", at, v.Client)
		}
	}
	if v.OnePacket && (v.Proto != UDP || mode == plane.FullNAT) {
		p.Addf("%s: one_packet needs proto udp and mode dr, ipip or gue", at)
	}
	if v.PersistenceBits != 0 && v.Scheduler != sched.Source {
		p.Addf("%s: persistence_bits needs scheduler sh: only the client's address decides then", at)
	}
	if v.PersistenceBits < 0 || v.PersistenceBits > v.Address.BitLen() {
		p.Addf("%s: persistence_bits: %d is outside 0 to %d", at, v.PersistenceBits, v.Address.BitLen())
	}
	p.DurationBetween(at+": slow_start", v.SlowStart, 0, maxSlowStart)
	v.Timeouts.validate(at, p)
	v.Health.Validate(at+": health", p)
	v.validateBackends(p)
}

func (t Timeouts) validate(at string, p *conf.Problems) {
	for _, x := range []struct {
		name  string
		value time.Duration
	}{
		{"syn_sent", t.SynSent}, {"established", t.Established},
		{"closing", t.Closing}, {"closed", t.Closed},
		{"udp_new", t.UDPNew}, {"udp_answered", t.UDPAnswered},
	} {
		if x.value != 0 {
			p.DurationBetween(at+": timeouts."+x.name, x.value, time.Second, plane.MaxTimeout)
		}
	}
}

func (v *VIP) validateBackends(p *conf.Problems) {
	if len(v.Backends) > 0 && v.Backends[0].Port == 0 && v.Health.Port == 0 && v.Health.Type != health.None && v.Health.Type != health.Script {
		p.Addf("%s: health.port: its backends have no port to probe", v.place())
	}
	if len(v.Backends) == 0 && v.Sorry == nil {
		p.Addf("%s: backends: name at least one", v.place())
	}
	var total uint64
	seen := map[netip.AddrPort]bool{}
	for i := range v.Backends {
		b := &v.Backends[i]
		v.validateBackend(b, p)
		to := netip.AddrPortFrom(b.Address, b.Port)
		if seen[to] {
			p.Addf("%s: %s is named twice", v.placeOf(b), to)
		}
		seen[to] = true
		total += uint64(b.weight())
	}
	if v.Sorry != nil {
		v.validateBackend(v.Sorry, p)
		if to := netip.AddrPortFrom(v.Sorry.Address, v.Sorry.Port); seen[to] {
			p.Addf("%s: %s is a backend and the sorry server", v.placeOf(v.Sorry), to)
		}
	}
	if uint64(v.Quorum) > total || uint64(v.QuorumUp) > total {
		p.Addf("%s: quorum %d, quorum_up %d: all backends together weigh %d", v.place(), v.Quorum, v.QuorumUp, total)
	}
	if v.QuorumUp != 0 && v.QuorumUp < v.Quorum {
		p.Addf("%s: quorum_up %d is below quorum %d", v.place(), v.QuorumUp, v.Quorum)
	}
}

func (v *VIP) validateBackend(b *Backend, p *conf.Problems) {
	at, mode := v.placeOf(b), plane.Mode(v.Mode)
	if !usable(b.Address) {
		p.Addf("%s: address %q is not one that packets can be sent to", at, b.Address)
		return
	}
	if b.Address == v.Address {
		p.Addf("%s: has the VIP's own address", at)
	}
	if b.weight() > MaxWeight {
		p.Addf("%s: weight %d is over %d", at, b.weight(), MaxWeight)
	}
	if b.MaxConnections < 0 {
		p.Addf("%s: max_connections: %d is negative", at, b.MaxConnections)
	}
	if mode != plane.FullNAT {
		if b.Port != 0 && (b.Port < v.Ports.First || b.Port > v.Ports.Last) {
			p.Addf("%s: port %d is not the VIP's: only fullnat rewrites it", at, b.Port)
		}
		if b.MaxConnections != 0 {
			p.Addf("%s: max_connections needs mode fullnat: sessions of %s are not counted", at, v.Mode)
		}
	}
	if (mode == plane.FullNAT || mode == plane.DR) && b.Address.Is4() != v.Address.Is4() {
		p.Addf("%s: is of the other family, which only a tunnel reaches", at)
	}
}

// weight is the configured share; Decode fills it.
func (b *Backend) weight() uint32 {
	if b.Weight == nil {
		return 1
	}
	return *b.Weight
}

func (c *Config) validateBlocks(p *conf.Problems) {
	for _, block := range []struct {
		key  string
		is   netip.Prefix
		four bool
	}{{"local.v4", c.Local.V4, true}, {"local.v6", c.Local.V6, false}} {
		b := block.is
		if b == (netip.Prefix{}) {
			continue
		}
		if !b.IsValid() || b != b.Masked() || b.Addr().Is4() != block.four {
			p.Addf("%s: %s has host bits set or is of the other family", block.key, b)
			continue
		}
		if b.Addr().BitLen()-b.Bits() > 16 {
			p.Addf("%s: %s has over 65,536 addresses", block.key, b)
			continue
		}
		if room := sessionsOf(b); room < c.Tables.Sessions {
			p.Addf("%s: %s has %d addresses for %d sessions of %d asked for (tables.sessions): a /%d is needed",
				block.key, b, room/plane.PortsPerLocal, room, c.Tables.Sessions, bitsFor(b, c.Tables.Sessions))
		}
	}
	if c.Source.V4.IsValid() && !c.Source.V4.Is4() || c.Source.V6.IsValid() && !c.Source.V6.Is6() {
		p.Addf("source: an address is of the other family")
	}
	for _, in := range c.SNAT.Inside {
		local := c.Local.V6
		if in.Addr().Is4() {
			local = c.Local.V4
		}
		if !in.IsValid() || in != in.Masked() || !local.IsValid() {
			p.Addf("snat.inside: %s has host bits set, or there are no local addresses of its family", in)
		}
	}
	if len(c.SNAT.Inside) > 0 {
		p.Addf("snat.inside: the data plane does no source NAT yet")
	}
	if len(c.SNAT.Inside) > plane.MaxInside {
		p.Addf("snat.inside: %d prefixes, at most %d", len(c.SNAT.Inside), plane.MaxInside)
	}
}

// sessionsOf is how many sessions a block of at most 65,536 addresses carries.
func sessionsOf(b netip.Prefix) int {
	return plane.PortsPerLocal << (b.Addr().BitLen() - b.Bits())
}

// bitsFor is the length of the prefix that carries that many sessions.
func bitsFor(b netip.Prefix, sessions int) int {
	bits := b.Addr().BitLen()
	for room := plane.PortsPerLocal; room < sessions && bits > 0; room *= 2 {
		bits--
	}
	return bits
}

// validateRoom checks a VIP against the blocks it needs.
func (c *Config) validateRoom(v *VIP, p *conf.Problems) {
	block := c.Local.V6
	if v.Address.Is4() {
		block = c.Local.V4
	}
	switch mode := plane.Mode(v.Mode); mode {
	case plane.FullNAT:
		if !block.IsValid() {
			p.Addf("%s: fullnat needs local addresses of its family", v.place())
		}
		for _, b := range v.all() {
			if block.IsValid() && block.Contains(b.Address) {
				p.Addf("%s: is inside the local addresses %s", v.placeOf(b), block)
			}
		}
		if block.IsValid() && block.Contains(v.Address) {
			p.Addf("%s: is inside the local addresses %s", v.place(), block)
		}
	case plane.IPIP, plane.GUE:
		for _, b := range v.all() {
			if b.Address.Is4() && !c.Source.V4.IsValid() || b.Address.Is6() && !c.Source.V6.IsValid() {
				p.Addf("%s: %s needs a source address of its family", v.placeOf(b), mode)
			}
		}
	}
}

// validateTotals checks that everything fits the tables.
func (c *Config) validateTotals(p *conf.Problems) {
	backends, entries := 0, 0
	for i := range c.VIPs {
		v := &c.VIPs[i]
		backends += len(v.Backends)
		entries += sched.Entries(v.Scheduler, max(len(v.Backends), 1))
		if v.Sorry != nil {
			backends++
		}
	}
	if len(c.VIPs) >= c.Tables.VIPs {
		p.Addf("vips: %d, room for %d (tables.vips)", len(c.VIPs), c.Tables.VIPs-1)
	}
	if backends >= c.Tables.Backends {
		p.Addf("vips: %d backends, room for %d (tables.backends)", backends, c.Tables.Backends-1)
	}
	if entries > c.Tables.Entries {
		p.Addf("vips: %d entries of choice tables, room for %d (tables.entries)", entries, c.Tables.Entries)
	}
}
