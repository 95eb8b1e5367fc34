// Package neigh keeps the kernel's neighbour entries of next hops fresh. The
// data plane takes the Ethernet address of a next hop from the kernel's
// table; packets it forwards itself do not count there as use, so without a
// word from us an entry would grow old and be dropped, or never be resolved.
package neigh

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A Hop is a neighbour on an interface.
type Hop struct {
	Addr      netip.Addr
	Interface int // index
}

// Hops returns the next hops on the given interfaces: the gateways of their
// routes, and those of the addresses that are on link.
func Hops(interfaces []string, addrs []netip.Addr) ([]Hop, error) {
	var out []Hop
	for _, name := range interfaces {
		i, err := net.InterfaceByName(name)
		if err != nil {
			return nil, fmt.Errorf("find interface %s: %w", name, err)
		}
		own, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("read addresses of %s: %w", name, err)
		}
		for _, a := range own {
			p, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue // not an IP network
			}
			for _, addr := range addrs {
				if p.Contains(addr) && p.Addr() != addr {
					out = append(out, Hop{addr, i.Index})
				}
			}
		}
		for path, read := range map[string]func(io.Reader, string) ([]netip.Addr, error){"/proc/net/route": gateways4, "/proc/net/ipv6_route": gateways6} {
			f, err := os.Open(path)
			if errors.Is(err, os.ErrNotExist) {
				continue // no IPv6
			}
			if err != nil {
				return nil, fmt.Errorf("read routes: %w", err)
			}
			via, err := read(f, name)
			f.Close()
			if err != nil {
				return nil, fmt.Errorf("read routes in %s: %w", path, err)
			}
			for _, addr := range via {
				out = append(out, Hop{addr, i.Index})
			}
		}
	}
	slices.SortFunc(out, func(a, b Hop) int {
		if a.Interface != b.Interface {
			return a.Interface - b.Interface
		}
		return a.Addr.Compare(b.Addr)
	})
	return slices.Compact(out), nil
}

// gateways4 reads /proc/net/route: name, destination, gateway, flags, ...,
// addresses as hexadecimal numbers in the machine's byte order.
func gateways4(r io.Reader, name string) ([]netip.Addr, error) {
	var out []netip.Addr
	s := bufio.NewScanner(r)
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) < 4 || f[0] != name {
			continue
		}
		raw, err := hex.DecodeString(f[2])
		if err != nil || len(raw) != 4 {
			return nil, fmt.Errorf("gateway %q", f[2])
		}
		var a [4]byte
		binary.NativeEndian.PutUint32(a[:], binary.BigEndian.Uint32(raw))
		if addr := netip.AddrFrom4(a); !addr.IsUnspecified() {
			out = append(out, addr)
		}
	}
	return out, s.Err()
}

// gateways6 reads /proc/net/ipv6_route: destination, length, source, length,
// next hop, metric, use, references, flags, name.
func gateways6(r io.Reader, name string) ([]netip.Addr, error) {
	var out []netip.Addr
	s := bufio.NewScanner(r)
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) < 10 || f[9] != name {
			continue
		}
		raw, err := hex.DecodeString(f[4])
		if err != nil || len(raw) != 16 {
			return nil, fmt.Errorf("next hop %q", f[4])
		}
		if addr := netip.AddrFrom16([16]byte(raw)); !addr.IsUnspecified() {
			out = append(out, addr)
		}
	}
	return out, s.Err()
}

// ntfUse asks the kernel to treat an entry as used just now (linux/neighbour.h).
const ntfUse = 0x01

// Refresh tells the kernel that the hops are in use: it makes and resolves
// entries that are missing and confirms old ones, by ARP and NDP. All are
// told; the errors of those that failed are joined.
func Refresh(hops []Hop) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink socket: %w", err)
	}
	defer unix.Close(fd)
	var bad []error
	buf := make([]byte, 4096)
	for i, h := range hops {
		if err := unix.Sendto(fd, message(uint32(i+1), h), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return fmt.Errorf("refresh neighbours: %w", err)
		}
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return fmt.Errorf("refresh neighbours: %w", err)
		}
		if err := answered(buf[:n]); err != nil {
			bad = append(bad, fmt.Errorf("refresh neighbour %s: %w", h.Addr, err))
		}
	}
	return errors.Join(bad...)
}

// message is an RTM_NEWNEIGH of one hop with NTF_USE: struct nlmsghdr, struct
// ndmsg, and the attribute NDA_DST.
func message(sequence uint32, h Hop) []byte {
	addr, family := h.Addr.AsSlice(), byte(unix.AF_INET)
	if h.Addr.Is6() {
		family = unix.AF_INET6
	}
	length := unix.SizeofNlMsghdr + unix.SizeofNdMsg + unix.SizeofRtAttr + len(addr)
	b := make([]byte, 0, length)
	b = binary.NativeEndian.AppendUint32(b, uint32(length))
	b = binary.NativeEndian.AppendUint16(b, unix.RTM_NEWNEIGH)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE)
	b = binary.NativeEndian.AppendUint32(b, sequence)
	b = binary.NativeEndian.AppendUint32(b, 0) // to the kernel
	b = append(b, family, 0, 0, 0)
	b = binary.NativeEndian.AppendUint32(b, uint32(h.Interface))
	b = binary.NativeEndian.AppendUint16(b, unix.NUD_NONE)
	b = append(b, ntfUse, 0)
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtAttr+len(addr)))
	b = binary.NativeEndian.AppendUint16(b, unix.NDA_DST)
	return append(b, addr...)
}

// answered reads the NLMSG_ERROR that acknowledges a request.
func answered(b []byte) error {
	if len(b) < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(b[4:]) != unix.NLMSG_ERROR {
		return errors.New("the kernel answered with something else")
	}
	if code := int32(binary.NativeEndian.Uint32(b[unix.SizeofNlMsghdr:])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}
