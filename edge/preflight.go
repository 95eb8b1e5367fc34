package edge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/hauberk/hauberk/edge/internal/plane"
)

// machine is what preflight asks of the machine it runs on.
type machine interface {
	// Networks of an interface; an error if there is none of that name.
	Networks(name string) ([]netip.Prefix, error)
	// Reach says whether there is a route to an address.
	Reach(netip.Addr) error
	// Forwards says whether the kernel forwards packets that come in on an
	// interface; family is ipv4 or ipv6.
	Forwards(family, name string) (bool, error)
}

// preflight reports all that is wrong with a valid configuration on this
// machine: interfaces and addresses that are not there, backends on a wrong subnet.
func preflight(c *Config, m machine) error {
	var bad []error
	var networks []netip.Prefix
	for _, name := range c.Interfaces {
		n, err := m.Networks(name)
		if err != nil {
			bad = append(bad, fmt.Errorf("interfaces: %w", err))
		}
		networks = append(networks, n...)
		if err == nil {
			bad = append(bad, c.forwards(name, m)...)
		}
	}
	onLink := func(a netip.Addr) bool {
		for _, n := range networks {
			if n.Contains(a) {
				return true
			}
		}
		return false
	}
	own := func(a netip.Addr) bool {
		for _, n := range networks {
			if n.Addr() == a {
				return true
			}
		}
		return false
	}
	for _, a := range []netip.Addr{c.Source.V4, c.Source.V6} {
		if a.IsValid() && !own(a) {
			bad = append(bad, fmt.Errorf("source: %s is on none of the interfaces", a))
		}
	}
	reached := map[netip.Addr]error{}
	for i := range c.VIPs {
		v := &c.VIPs[i]
		for _, b := range v.all() {
			if plane.Mode(v.Mode) == plane.DR && !onLink(b.Address) {
				bad = append(bad, fmt.Errorf("%s: is on a wrong subnet: dr reaches only what is on link of an interface", v.placeOf(b)))
				continue
			}
			if own(b.Address) {
				bad = append(bad, fmt.Errorf("%s: is an address of this machine", v.placeOf(b)))
				continue
			}
			err, asked := reached[b.Address]
			if !asked {
				err = m.Reach(b.Address)
				reached[b.Address] = err
			}
			if err != nil {
				bad = append(bad, fmt.Errorf("%s: %w", v.placeOf(b), err))
			}
		}
	}
	return errors.Join(bad...)
}

// forwards checks that the kernel tells next hops for packets that came in on
// an interface: it does only where it forwards itself.
func (c *Config) forwards(name string, m machine) []error {
	var bad []error
	for _, family := range []string{"ipv4", "ipv6"} {
		uses := false
		for i := range c.VIPs {
			uses = uses || c.VIPs[i].Address.Is4() == (family == "ipv4")
		}
		if !uses {
			continue
		}
		is, err := m.Forwards(family, name)
		if err != nil {
			bad = append(bad, fmt.Errorf("interfaces: %s: %w", name, err))
		} else if !is {
			bad = append(bad, fmt.Errorf("interfaces: %s: the kernel gives no next hops while it forwards no packets: sysctl -w net.%s.conf.%s.forwarding=1", name, family, name))
		}
	}
	return bad
}

// thisMachine asks the kernel.
type thisMachine struct{}

func (thisMachine) Networks(name string) ([]netip.Prefix, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	addrs, err := i.Addrs()
	if err != nil {
		return nil, fmt.Errorf("%s: read addresses: %w", name, err)
	}
	var out []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p)
		}
	}
	return out, nil
}

func (thisMachine) Forwards(family, name string) (bool, error) {
	text, err := os.ReadFile("/proc/sys/net/" + family + "/conf/" + name + "/forwarding")
	if err != nil {
		return false, fmt.Errorf("read whether it forwards: %w", err)
	}
	return strings.TrimSpace(string(text)) != "0", nil
}

// Reach looks the route up by connecting a datagram socket, which sends nothing.
func (thisMachine) Reach(a netip.Addr) error {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 9)))
	if err != nil {
		return fmt.Errorf("no route to %s: %w", a, errors.Unwrap(err))
	}
	return c.Close()
}
