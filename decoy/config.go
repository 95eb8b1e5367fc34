package decoy

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/netstack"
	"github.com/hauberk/hauberk/netstack/filter"
	"github.com/hauberk/hauberk/netstack/nic"
)

// Config is decoy.yaml.
type Config struct {
	Interface string     `yaml:"interface"`
	Driver    nic.Driver `yaml:"driver"` // auto, xdp, xdp-generic, packet
	Queues    int        `yaml:"queues"` // Receive queues used, a process each; 0: all.
	// Addresses are the decoy's own, with the length of their network; the kernel must not have them.
	Addresses []netip.Prefix `yaml:"addresses"`
	// Traps are whole prefixes that are answered for, but for the addresses in Leave and those the kernel has.
	Traps       []netip.Prefix `yaml:"traps"`
	Leave       []netip.Prefix `yaml:"leave"`
	Gateway4    netip.Addr     `yaml:"gateway4,omitempty"`
	Gateway6    netip.Addr     `yaml:"gateway6,omitempty"`
	KernelPorts []uint16       `yaml:"kernel_ports"` // TCP and UDP ports that stay the kernel's on all addresses.
	// TrustChecksums is for a veth whose other end does not compute them.
	TrustChecksums bool   `yaml:"trust_checksums"`
	Limits         Limits `yaml:"limits"`
	Events         Events `yaml:"events"`
	DNS            DNS    `yaml:"dns"`
	Socket         string `yaml:"socket"` // Unix socket of `hauberk-decoy netstat`; empty: none.
	// Capture is a pcap file of all that passes, up to 256 bytes of each packet; empty: none.
	Capture string `yaml:"capture"`
}

// Limits bound what strangers can make the decoy hold.
type Limits struct {
	Sessions    int           `yaml:"sessions"`   // At once.
	PerSource   int           `yaml:"per_source"` // At once, of one address.
	Time        time.Duration `yaml:"time"`       // Of a session.
	Bytes       int64         `yaml:"bytes"`      // Of a session, both ways.
	Transcript  int           `yaml:"transcript"` // Bytes kept of what a client said.
	Connections uint32        `yaml:"connections"`
	Memory      uint64        `yaml:"memory"` // Bytes of buffers of all connections.
}

// Events says where sessions are told: a line of JSON each.
type Events struct {
	File string `yaml:"file"`
	Size int64  `yaml:"size"` // Bytes; when reached the file becomes FILE.1 and a new one begins.
}

// DNS is the authoritative responder on port 53 of the decoy's own addresses.
type DNS struct {
	Zones []Zone `yaml:"zones"`
	// Rate is how many answers a second one prefix (/24, /56) gets for one name; more are dropped, or cut so that honest
	// clients ask again by TCP. 0: no limit.
	Rate int `yaml:"rate"`
}

// Zone is a zone and its master file (RFC 1035 section 5).
type Zone struct {
	Name string `yaml:"name"`
	File string `yaml:"file"`
}

// DefaultConfig answers nobody yet: it has no interface and no address.
func DefaultConfig() Config {
	return Config{
		Driver: nic.Auto,
		Limits: Limits{
			Sessions: 10000, PerSource: 64, Time: time.Minute, Bytes: 256 << 10, Transcript: 4096, Connections: 1 << 18, Memory: 256 << 20,
		},
		Events: Events{File: "/var/lib/hauberk-decoy/events.jsonl", Size: 256 << 20},
		DNS:    DNS{Rate: 50},
		Socket: "/run/hauberk-decoy.sock",
	}
}

// Validate reports every problem.
func (c *Config) Validate() error {
	var bad []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			bad = append(bad, fmt.Errorf(format, args...))
		}
	}
	check(c.Interface != "", "interface: want a name")
	check(len(c.Addresses) > 0, "addresses: want one of the decoy's own at least, as 192.0.2.2/24")
	for _, list := range [][]netip.Prefix{c.Addresses, c.Traps, c.Leave} {
		for _, p := range list {
			check(p.IsValid(), "addresses, traps, leave: a prefix is not valid")
		}
	}
	check(!c.Gateway4.IsValid() || c.Gateway4.Is4(), "gateway4 %s: want an IPv4 address", c.Gateway4)
	check(!c.Gateway6.IsValid() || c.Gateway6.Is6(), "gateway6 %s: want an IPv6 address", c.Gateway6)
	l := &c.Limits
	check(l.Sessions > 0 && l.PerSource > 0 && l.PerSource <= l.Sessions, "limits: want 1 <= per_source <= sessions")
	check(l.Time >= time.Second && l.Time <= time.Hour, "limits.time %s: want 1s to 1h", l.Time)
	check(l.Bytes >= 1024, "limits.bytes %d: want 1024 or more", l.Bytes)
	check(l.Transcript >= 0 && l.Transcript <= 1<<20, "limits.transcript %d: want 0 to 1048576", l.Transcript)
	check(l.Connections > 0, "limits.connections: want 1 or more")
	check(l.Memory >= 1<<20, "limits.memory %d: want 1 MiB or more", l.Memory)
	check(c.Events.File != "", "events.file: want a path")
	check(c.Events.Size >= 1<<16, "events.size %d: want 64 KiB or more", c.Events.Size)
	check(c.DNS.Rate >= 0, "dns.rate %d: want 0 or more", c.DNS.Rate)
	for _, z := range c.DNS.Zones {
		check(z.Name != "" && z.File != "", "dns.zones: want a name and a file, got %q and %q", z.Name, z.File)
	}
	n := c.nic()
	return errors.Join(append(bad, n.Validate())...)
}

// nic is how the interface is opened.
func (c *Config) nic() nic.Config {
	n := nic.DefaultConfig()
	n.Interface, n.Driver, n.Queues, n.Leave = c.Interface, c.Driver, c.Queues, c.Leave
	n.XDP.TrustChecksums = c.TrustChecksums
	for _, p := range c.KernelPorts {
		n.KernelPorts = append(n.KernelPorts, filter.Service{Proto: unix.IPPROTO_TCP, Port: p}, filter.Service{Proto: unix.IPPROTO_UDP, Port: p})
	}
	return n
}

// stack is what the stack is told.
func (c *Config) stack() netstack.Config {
	s := netstack.DefaultConfig()
	e := &s.Engine
	e.Addresses, e.Traps, e.Gateway4, e.Gateway6 = c.Addresses, c.Traps, c.Gateway4, c.Gateway6
	e.MaxConns, e.MaxMemory = c.Limits.Connections, c.Limits.Memory
	e.SendBuffer, e.ReceiveBuffer = 16<<10, 16<<10 // Strangers need no more.
	return s
}
