package edge

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/hauberk/hauberk/edge/internal/bgp"
	"github.com/hauberk/hauberk/edge/internal/health"
	"github.com/hauberk/hauberk/edge/internal/plane"
	"github.com/hauberk/hauberk/edge/internal/sched"
	"github.com/hauberk/hauberk/edge/wire"
	"github.com/hauberk/hauberk/internal/conf"
)

// Config is edge.yaml; docs/formats/edge-config.md describes every key. What
// a reload cannot change says so.
type Config struct {
	// DataDir holds the ids of VIPs and backends and the status socket. 0700; restart.
	DataDir string `yaml:"data_dir"`
	// Interfaces the data plane is attached to; restart.
	Interfaces []string `yaml:"interfaces"`
	// PinDir is a folder of a BPF filesystem in which tables outlive the process; restart.
	PinDir string `yaml:"pin_dir"`
	Tables Tables `yaml:"tables"` // restart
	// MTU of the networks behind the edge, in bytes; restart.
	MTU int `yaml:"mtu"`
	// Generic forces the slow hook of the kernel; restart.
	Generic bool `yaml:"generic"`
	// PartialChecksums completes the checksums that a local virtual interface
	// leaves unfinished; restart.
	PartialChecksums bool `yaml:"partial_checksums"`
	// KeepAttached leaves programs and tables in the kernel when the process ends.
	KeepAttached bool `yaml:"keep_attached"`

	Local  Addresses  `yaml:"local"`  // FULLNAT speaks to backends from these
	Source Sources    `yaml:"source"` // outer addresses of tunnels
	SNAT   SNAT       `yaml:"snat"`
	BGP    bgp.Config `yaml:"bgp"` // restart, but for maintenance
	VIPs   []VIP      `yaml:"vips"`
}

// Tables are the sizes of the data plane's tables, in entries.
type Tables struct {
	Sessions int `yaml:"sessions"`
	Flows    int `yaml:"flows"`
	VIPs     int `yaml:"vips"`
	Backends int `yaml:"backends"`
	Entries  int `yaml:"entries"`
}

// Addresses are a block of each family; empty: none.
type Addresses struct {
	V4 netip.Prefix `yaml:"v4"`
	V6 netip.Prefix `yaml:"v6"`
}

// Sources are an address of each family; empty: none.
type Sources struct {
	V4 netip.Addr `yaml:"v4"`
	V6 netip.Addr `yaml:"v6"`
}

// SNAT lets backends go out.
type SNAT struct {
	Inside []netip.Prefix `yaml:"inside"`
}

// VIP is one service.
type VIP struct {
	Name      string     `yaml:"name"`
	Address   netip.Addr `yaml:"address"`
	Proto     Proto      `yaml:"proto"`
	Ports     Ports      `yaml:"ports"`
	Mode      Mode       `yaml:"mode"`
	Scheduler sched.Kind `yaml:"scheduler"`
	Client    ClientInfo `yaml:"client_address"`
	// PersistenceBits is the client prefix that sticks to one backend; 0: none.
	PersistenceBits int          `yaml:"persistence_bits"`
	OnePacket       bool         `yaml:"one_packet"`
	MSS             uint16       `yaml:"mss"`
	Timeouts        Timeouts     `yaml:"timeouts"`
	Health          health.Check `yaml:"health"`
	// SlowStart is how long a backend that came up grows to its full share.
	SlowStart time.Duration `yaml:"slow_start"`
	// Quorum is how much weight must be up; below it the sorry server serves,
	// or nobody. QuorumUp is how much it takes to come back; 0: Quorum.
	Quorum   uint32    `yaml:"quorum"`
	QuorumUp uint32    `yaml:"quorum_up"`
	Sorry    *Backend  `yaml:"sorry"`
	Backends []Backend `yaml:"backends"`

	line int // in the file; 0: unknown
}

// Backend is one server of a VIP.
type Backend struct {
	Name    string     `yaml:"name"` // empty: address and port
	Address netip.Addr `yaml:"address"`
	Port    uint16     `yaml:"port"` // 0: the VIP's
	// Weight is its share, 1 to 4096; 0 in the file means drained, absent 1.
	Weight *uint32 `yaml:"weight"`
	// MaxConnections stops new flows at that many sessions; 0: no bound.
	MaxConnections int `yaml:"max_connections"`

	line int
}

// Timeouts of sessions without a packet; 0: the data plane's default.
type Timeouts struct {
	SynSent     time.Duration `yaml:"syn_sent"`
	Established time.Duration `yaml:"established"`
	Closing     time.Duration `yaml:"closing"`
	Closed      time.Duration `yaml:"closed"`
	UDPNew      time.Duration `yaml:"udp_new"`
	UDPAnswered time.Duration `yaml:"udp_answered"`
}

// Bounds of the configuration.
const (
	// MaxWeight leaves room for the sixteenths of a slow start below the table's bound.
	MaxWeight     = 4096
	maxSlowStart  = time.Hour
	maxNameLength = 128
)

// DefaultConfig balances nothing: it has no VIPs.
func DefaultConfig() Config {
	o := plane.DefaultOptions()
	return Config{
		DataDir: wire.DefaultDataDir, PinDir: "/sys/fs/bpf/hauberk-edge", MTU: o.MTU, KeepAttached: true,
		Tables: Tables{Sessions: o.Slots, Flows: o.Flows, VIPs: o.VIPs, Backends: o.Backends, Entries: o.Entries},
	}
}

// Load reads edge.yaml. Errors carry the lines they are about.
func Load(path string) (Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read config: %w", err)
	}
	c, err := Decode(data)
	if err != nil {
		return c, fmt.Errorf("config %s: %w", path, err)
	}
	return c, nil
}

// Decode reads the text of an edge.yaml.
func Decode(data []byte) (Config, error) {
	c := DefaultConfig()
	if err := conf.Unmarshal(data, &c); err != nil {
		return c, err
	}
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return c, err
	}
	c.complete(&root)
	return c, c.Validate()
}

// complete notes the lines of VIPs and backends and fills what depends on the
// VIP they are in.
func (c *Config) complete(root *yaml.Node) {
	vips := items(child(root, "vips"))
	for i := range c.VIPs {
		v := &c.VIPs[i]
		var node *yaml.Node
		if i < len(vips) {
			node = vips[i]
			v.line = node.Line
		}
		v.fill()
		backends := items(child(node, "backends"))
		for j := range v.Backends {
			if j < len(backends) {
				v.Backends[j].line = backends[j].Line
			}
		}
		if v.Sorry != nil {
			v.Sorry.line = v.line
			if at := child(node, "sorry"); at != nil {
				v.Sorry.line = at.Line
			}
		}
	}
}

// fill puts the defaults of a VIP in place.
func (v *VIP) fill() {
	if v.Proto == 0 {
		v.Proto = TCP
	}
	if v.Mode == 0 {
		v.Mode = Mode(plane.FullNAT)
	}
	if v.Scheduler == 0 {
		v.Scheduler = sched.Maglev
	}
	if v.Name == "" && v.Address.IsValid() {
		v.Name = fmt.Sprintf("%s %s", v.Proto, netip.AddrPortFrom(v.Address, v.Ports.First))
	}
	v.Health.Fill(v.Proto == UDP)
	each := func(b *Backend) {
		if b.Port == 0 && v.Ports.First == v.Ports.Last {
			b.Port = v.Ports.First
		}
		if b.Name == "" && b.Address.IsValid() {
			b.Name = netip.AddrPortFrom(b.Address, b.Port).String()
		}
		if b.Weight == nil {
			one := uint32(1)
			b.Weight = &one
		}
	}
	for i := range v.Backends {
		each(&v.Backends[i])
	}
	if v.Sorry != nil {
		each(v.Sorry)
	}
}

// child is the value of a key of a mapping, through documents and aliases;
// nil if there is none.
func child(n *yaml.Node, key string) *yaml.Node {
	n = resolve(n)
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func items(n *yaml.Node) []*yaml.Node {
	n = resolve(n)
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

func resolve(n *yaml.Node) *yaml.Node {
	for n != nil {
		switch {
		case n.Kind == yaml.DocumentNode && len(n.Content) == 1:
			n = n.Content[0]
		case n.Kind == yaml.AliasNode:
			n = n.Alias
		default:
			return n
		}
	}
	return nil
}

// options are the data plane's, as far as the configuration says.
func (c *Config) options() plane.Options {
	return plane.Options{
		Interfaces: c.Interfaces, PinDir: c.PinDir, MTU: c.MTU, Generic: c.Generic, Partial: c.PartialChecksums,
		Slots: c.Tables.Sessions, Flows: c.Tables.Flows, VIPs: c.Tables.VIPs, Backends: c.Tables.Backends, Entries: c.Tables.Entries,
	}
}

// Proto is TCP or UDP, by its IP protocol number.
type Proto uint8

// Protocols that are balanced.
const (
	TCP Proto = 6
	UDP Proto = 17
)

func (p Proto) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	}
	return fmt.Sprintf("protocol %d", uint8(p))
}

// UnmarshalText reads tcp or udp.
func (p *Proto) UnmarshalText(text []byte) error {
	switch string(text) {
	case "tcp":
		*p = TCP
	case "udp":
		*p = UDP
	default:
		return fmt.Errorf("protocol %q is neither tcp nor udp", text)
	}
	return nil
}

// MarshalText writes it as it is read.
func (p Proto) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Ports is a range, both ends in: 80 or 8000-8010.
type Ports struct{ First, Last uint16 }

func (p Ports) String() string {
	if p.First == p.Last {
		return strconv.Itoa(int(p.First))
	}
	return fmt.Sprintf("%d-%d", p.First, p.Last)
}

var errPorts = errors.New("ports are a number from 1 to 65535, or two with a dash between them")

// UnmarshalText reads a port or a range.
func (p *Ports) UnmarshalText(text []byte) error {
	first, last, isRange := strings.Cut(string(text), "-")
	low, err := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	if err != nil || low == 0 {
		return fmt.Errorf("%q: %w", text, errPorts)
	}
	high := low
	if isRange {
		if high, err = strconv.ParseUint(strings.TrimSpace(last), 10, 16); err != nil || high < low {
			return fmt.Errorf("%q: %w", text, errPorts)
		}
	}
	*p = Ports{uint16(low), uint16(high)}
	return nil
}

// MarshalText writes it as it is read.
func (p Ports) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Mode is the data plane's, by name.
type Mode plane.Mode

func (m Mode) String() string { return plane.Mode(m).String() }

// UnmarshalText reads fullnat, dr, ipip or gue.
func (m *Mode) UnmarshalText(text []byte) error {
	for _, known := range []plane.Mode{plane.FullNAT, plane.DR, plane.IPIP, plane.GUE} {
		if known.String() == string(text) {
			*m = Mode(known)
			return nil
		}
	}
	return fmt.Errorf("mode %q is none of fullnat, dr, ipip, gue", text)
}

// MarshalText writes it as it is read.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// ClientInfo is how a backend learns the client's address.
type ClientInfo plane.ClientInfo

var clientNames = []string{"none", "toa254", "toa200", "proxy-v1", "proxy-v2"} // in plane's order

func (c ClientInfo) String() string { return clientNames[c] }

// UnmarshalText reads none, toa254, toa200, proxy-v1 or proxy-v2.
func (c *ClientInfo) UnmarshalText(text []byte) error {
	for i, name := range clientNames {
		if name == string(text) {
			*c = ClientInfo(i)
			return nil
		}
	}
	return fmt.Errorf("client_address %q is none of %s", text, strings.Join(clientNames, ", "))
}

// MarshalText writes it as it is read.
func (c ClientInfo) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
