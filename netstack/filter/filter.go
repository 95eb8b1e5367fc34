// Package filter decides in the kernel which frames of an interface belong to a stack in user space; all others go on to
// the kernel. Its BPF programs serve the AF_XDP and AF_PACKET ports. Everything is held by file descriptors: when the
// processes that attached it end, however they end, the interface is as it was.
//
// Needs Linux 5.18 for XDP (frames in several buffers) and 6.6 for AF_PACKET (tcx).
package filter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Rules say which addresses are ours. Of several prefixes that hold an address the longest decides.
type Rules struct {
	Take  []netip.Prefix // Ours: frames to them, and the questions of neighbours for them.
	Leave []netip.Prefix // The kernel's, within Take.
	// KernelPorts of all addresses in Take stay the kernel's.
	KernelPorts []Service
}

// Service is a port of a transport protocol.
type Service struct {
	Proto uint8 // IPPROTO_TCP or IPPROTO_UDP.
	Port  uint16
}

// Mode is how XDP is attached.
type Mode string

// The modes, fastest first.
const (
	Native  Mode = "native"
	Generic Mode = "generic"
)

// Counts are frames since the programs were loaded.
type Counts struct {
	Ours     uint64 // Given to a socket.
	Kernel   uint64 // Passed on, not ours.
	NoSocket uint64 // Ours, passed on because no socket has their queue.
}

// Filter is the programs in the kernel.
type Filter struct {
	maps     programMaps
	programs programPrograms
	link     link.Link
	joined   bool
}

// ErrNotOurs is wrapped by the refusal to take an address the kernel has.
var ErrNotOurs = errors.New("the kernel has this address; give the stack one of its own, or remove it there")

// Load puts the programs into the kernel; they are attached by XDP, See and Withhold.
func Load(r Rules) (*Filter, error) {
	own, err := kernelAddresses(r.Take)
	if err != nil {
		return nil, err
	}
	f := &Filter{}
	var o programObjects
	if err := loadProgramObjects(&o, nil); err != nil {
		return nil, fmt.Errorf("load packet filter: %w", err)
	}
	f.maps, f.programs = o.programMaps, o.programPrograms
	return f, f.closeOn(f.write(r, own))
}

func (f *Filter) closeOn(err error) error {
	if err != nil {
		_ = f.Close() // The first error says what is wrong.
	}
	return err
}

// kernelAddresses lists the addresses the kernel has, which stay its own. One that a rule names by itself is an error:
// taking it would lock people out.
func kernelAddresses(take []netip.Prefix) ([]netip.Prefix, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the kernel's addresses: %w", err)
	}
	var out []netip.Prefix
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || p.Addr().IsLoopback() {
			continue
		}
		for _, t := range take {
			if t.IsSingleIP() && t.Addr() == p.Addr() {
				return nil, fmt.Errorf("take %s: %w", t.Addr(), ErrNotOurs)
			}
		}
		out = append(out, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
	}
	return out, nil
}

// write fills the tables.
func (f *Filter) write(r Rules, kernel []netip.Prefix) error {
	ours := programRuleRULE_OURS
	if len(r.KernelPorts) > 0 {
		ours = programRuleRULE_PORTS
	}
	for _, s := range r.KernelPorts {
		if err := f.maps.KernelPorts.Put(programService{Port: s.Port, Proto: uint16(s.Proto)}, uint32(1)); err != nil {
			return fmt.Errorf("leave port %d to the kernel: %w", s.Port, err)
		}
	}
	for _, set := range []struct {
		prefixes []netip.Prefix
		rule     programRule
	}{{r.Take, ours}, {r.Leave, programRuleRULE_KERNEL}, {kernel, programRuleRULE_KERNEL}} {
		for _, p := range set.prefixes {
			if err := f.maps.Rules.Put(key(p), uint32(set.rule)); err != nil {
				return fmt.Errorf("write rule for %s: %w", p, err)
			}
		}
	}
	return nil
}

func key(p netip.Prefix) programPrefix {
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	return programPrefix{Length: uint32(bits), Address: p.Masked().Addr().As16()}
}

// XDP attaches the program of AF_XDP to an interface, or joins the one that another process of ours has there, whose
// rules are then extended by r: so each queue may have a process of its own, in any order.
func XDP(ifindex int, mode Mode, r Rules) (*Filter, error) {
	for range 10 { // Between "busy" and the look for whom, the other may have gone.
		f, err := Load(r)
		if err != nil {
			return nil, err
		}
		flags := link.XDPDriverMode
		if mode == Generic {
			flags = link.XDPGenericMode
		}
		f.link, err = link.AttachXDP(link.XDPOptions{Program: f.programs.Take, Interface: ifindex, Flags: flags})
		if err == nil {
			return f, nil
		}
		_ = f.Close()
		if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("attach %s XDP: %w", mode, err)
		}
		if f, err = join(ifindex, r); f != nil || err != nil {
			return f, err
		}
	}
	return nil, fmt.Errorf("attach %s XDP: another program has the interface", mode)
}

// join finds our program on an interface; nil without an error when there is none.
func join(ifindex int, r Rules) (*Filter, error) {
	program, err := attached(ifindex)
	if program == 0 || err != nil {
		return nil, err
	}
	var links link.Iterator
	defer links.Close()
	for links.Next() {
		info, err := links.Link.Info()
		if err != nil || info.XDP() == nil || info.Program != program {
			continue
		}
		p, err := ebpf.NewProgramFromID(info.Program)
		if err != nil {
			continue // Gone meanwhile.
		}
		f := &Filter{joined: true}
		f.programs.Take = p
		if !f.adopt() {
			_ = f.Close()
			return nil, fmt.Errorf("attach XDP: the program %s (id %d) has the interface", p, info.Program)
		}
		f.link = links.Take()
		own, err := kernelAddresses(r.Take)
		return f, f.closeOn(errors.Join(err, f.write(r, own)))
	}
	return nil, nil
}

// attached asks which XDP program an interface of this network namespace has, 0 for none. A link tells the number of its
// interface, but not the namespace.
func attached(ifindex int) (id ebpf.ProgramID, err error) {
	table, err := syscall.NetlinkRIB(unix.RTM_GETLINK, unix.AF_UNSPEC)
	if err != nil {
		return 0, fmt.Errorf("list interfaces: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(table)
	if err != nil {
		return 0, fmt.Errorf("list interfaces: %w", err)
	}
	for i := range messages {
		m := &messages[i]
		if m.Header.Type != unix.RTM_NEWLINK || len(m.Data) < unix.SizeofIfInfomsg || int(binary.NativeEndian.Uint32(m.Data[4:])) != ifindex {
			continue
		}
		attrs, err := syscall.ParseNetlinkRouteAttr(m)
		if err != nil {
			return 0, fmt.Errorf("list interfaces: %w", err)
		}
		for _, a := range attrs {
			if a.Attr.Type&^unix.NLA_F_NESTED == unix.IFLA_XDP {
				id = nested(a.Value)
			}
		}
	}
	return id, nil
}

// nested finds IFLA_XDP_PROG_ID among the attributes within IFLA_XDP.
func nested(b []byte) ebpf.ProgramID {
	for len(b) >= unix.NLA_HDRLEN {
		n, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if n < unix.NLA_HDRLEN || n > len(b) {
			break
		}
		if kind == unix.IFLA_XDP_PROG_ID && n >= 8 {
			return ebpf.ProgramID(binary.NativeEndian.Uint32(b[4:]))
		}
		b = b[min(len(b), (n+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1)):]
	}
	return 0
}

// adopt opens the maps of a program, and says whether they are ours.
func (f *Filter) adopt() bool {
	info, err := f.programs.Take.Info()
	if err != nil || info.Name != "take" {
		return false
	}
	ids, _ := info.MapIDs()
	for _, id := range ids {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			return false
		}
		about, err := m.Info()
		if err != nil {
			_ = m.Close()
			return false
		}
		switch name := about.Name; {
		case name == "rules":
			f.maps.Rules = m
		case name == "kernel_ports":
			f.maps.KernelPorts = m
		case name == "sockets":
			f.maps.Sockets = m
		case name == "counters":
			f.maps.Counters = m
		default:
			_ = m.Close() // Constants.
			if !strings.Contains(name, "rodata") {
				return false
			}
		}
	}
	return f.maps.Rules != nil && f.maps.KernelPorts != nil && f.maps.Sockets != nil && f.maps.Counters != nil
}

// Joined says whether the filter belongs to another process as well.
func (f *Filter) Joined() bool { return f.joined }

// Give sends the frames of a queue to an AF_XDP socket.
func (f *Filter) Give(queue, socket int) error {
	if err := f.maps.Sockets.Update(uint32(queue), uint32(socket), ebpf.UpdateNoExist); err != nil {
		return fmt.Errorf("give queue %d to a socket: %w", queue, err)
	}
	return nil
}

// Return gives the frames of a queue back to the kernel.
func (f *Filter) Return(queue int) error { return f.maps.Sockets.Delete(uint32(queue)) }

// See lets an AF_PACKET socket see our frames only.
func (f *Filter) See(socket int) error {
	if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_ATTACH_BPF, f.programs.See.FD()); err != nil {
		return fmt.Errorf("attach socket filter: %w", err)
	}
	return nil
}

// Withhold keeps our frames from the kernel, after AF_PACKET sockets have seen them, so that it answers none with a reset.
func (f *Filter) Withhold(ifindex int) (err error) {
	f.link, err = link.AttachTCX(link.TCXOptions{Interface: ifindex, Program: f.programs.Withhold, Attach: ebpf.AttachTCXIngress})
	if err != nil {
		return fmt.Errorf("attach tcx filter (Linux 6.6): %w", err)
	}
	return nil
}

// Counts sums what the programs have counted on all CPUs.
func (f *Filter) Counts() (Counts, error) {
	var out [programCounterCOUNTERS]uint64
	for i := range out {
		var each []uint64
		if err := f.maps.Counters.Lookup(uint32(i), &each); err != nil {
			return Counts{}, fmt.Errorf("read counters of the packet filter: %w", err)
		}
		for _, n := range each {
			out[i] += n
		}
	}
	return Counts{
		Ours: out[programCounterCOUNT_OURS], Kernel: out[programCounterCOUNT_KERNEL], NoSocket: out[programCounterCOUNT_NO_SOCKET],
	}, nil
}

// Close detaches the programs, unless other processes hold them too.
func (f *Filter) Close() error {
	var err error
	if f.link != nil {
		err = f.link.Close()
	}
	for _, p := range []*ebpf.Program{f.programs.Take, f.programs.See, f.programs.Withhold} {
		err = errors.Join(err, p.Close())
	}
	for _, m := range []*ebpf.Map{f.maps.Rules, f.maps.KernelPorts, f.maps.Sockets, f.maps.Counters} {
		err = errors.Join(err, m.Close())
	}
	return err
}
