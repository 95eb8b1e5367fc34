// Package capture reads packets from an interface through a ring that the
// kernel fills (AF_PACKET with TPACKET_V3, Documentation/networking/packet_mmap.rst,
// Linux 3.2). The kernel counts what did not fit.
package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/packet"
)

// Config of a capture.
type Config struct {
	Interface string
	// RingBytes is the size of the ring, a multiple of BlockBytes.
	RingBytes, BlockBytes int
	// BlockTimeout is after how many milliseconds a block that is not full is
	// handed over.
	BlockTimeout int
	// Promiscuous also takes what is not for this host.
	Promiscuous bool
	// Fanout shares the packets of the interface among the captures of one
	// group by flow; 0: none.
	Fanout uint16
}

// DefaultConfig is for an interface: 16 MiB, blocks of 1 MiB, 10 ms.
func DefaultConfig(iface string) Config {
	return Config{Interface: iface, RingBytes: 16 << 20, BlockBytes: 1 << 20, BlockTimeout: 10, Promiscuous: true}
}

// Packet is one captured packet. Its data is the ring's, until the next call.
type Packet struct {
	Time   int64 // Nanoseconds since 1970.
	Data   []byte
	Length int // On the wire.
}

// Stats are the kernel's counts since Open.
type Stats struct{ Packets, Drops uint64 }

// Ring is an open capture. It is not safe for concurrent use, except Close.
type Ring struct {
	Link packet.LinkType

	name   string
	fd     int
	memory []byte
	block  int // Size of a block.
	blocks int
	next   int // The block to read next.
	stats  Stats
	waking sync.Mutex // Of wake, for Stop.
	wake   [2]int     // A pipe that ends a wait.
	tagged []byte     // Packets whose VLAN tag the kernel took out.
}

// Places in the headers of TPACKET_V3 (linux/if_packet.h).
const (
	offStatus    = 8  // In the block: block_status.
	offPackets   = 12 // num_pkts
	offFirst     = 16 // offset_to_first_pkt
	hdrNext      = 0  // In the packet: tp_next_offset.
	hdrSec       = 4
	hdrNsec      = 8
	hdrSnaplen   = 12
	hdrLen       = 16
	hdrStatus    = 20
	hdrMac       = 24
	hdrVLAN      = 32 // hv1.tp_vlan_tci
	hdrVLANProto = 36 // hv1.tp_vlan_tpid
)

var ne = binary.NativeEndian

// Open begins a capture.
func Open(c Config) (*Ring, error) {
	iface, err := net.InterfaceByName(c.Interface)
	if err != nil {
		return nil, fmt.Errorf("capture on %s: %w", c.Interface, err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		if errors.Is(err, unix.EPERM) {
			return nil, fmt.Errorf("capture on %s: %w: needs root (CAP_NET_RAW)", c.Interface, err)
		}
		return nil, fmt.Errorf("capture on %s: %w", c.Interface, err)
	}
	r := &Ring{Link: packet.LinkEthernet, name: c.Interface, fd: fd, block: c.BlockBytes, blocks: c.RingBytes / c.BlockBytes, wake: [2]int{-1, -1}}
	if err := r.setUp(c, iface.Index); err != nil {
		r.release()
		return nil, fmt.Errorf("capture on %s: %w", c.Interface, err)
	}
	return r, nil
}

func (r *Ring) setUp(c Config, index int) error {
	if err := unix.Pipe2(r.wake[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return os.NewSyscallError("pipe", err)
	}
	if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return os.NewSyscallError("set ring version", err)
	}
	const frame = 1 << 11 // Only a divisor: blocks of version 3 have no frames.
	req := unix.TpacketReq3{
		Block_size: uint32(c.BlockBytes), Block_nr: uint32(r.blocks), Frame_size: frame, Frame_nr: uint32(c.BlockBytes / frame * r.blocks),
		Retire_blk_tov: uint32(c.BlockTimeout),
	}
	if err := unix.SetsockoptTpacketReq3(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return os.NewSyscallError("make ring", err)
	}
	var err error
	if r.memory, err = unix.Mmap(r.fd, 0, c.BlockBytes*r.blocks, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return os.NewSyscallError("map ring", err)
	}
	all := uint16(unix.ETH_P_ALL)
	if err := unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: all>>8 | all<<8, Ifindex: index}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	if c.Promiscuous {
		m := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}
		if err := unix.SetsockoptPacketMreq(r.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m); err != nil {
			return os.NewSyscallError("promiscuous mode", err)
		}
	}
	if c.Fanout != 0 {
		const byFlow = unix.PACKET_FANOUT_HASH | unix.PACKET_FANOUT_FLAG_DEFRAG
		if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_FANOUT, int(c.Fanout)|byFlow<<16); err != nil {
			return os.NewSyscallError("join fanout group", err)
		}
	}
	return nil
}

// ErrClosed is what Next returns after Close.
var ErrClosed = errors.New("capture is closed")

// status is the word that says whose a block is.
func (r *Ring) status(block int) *uint32 {
	return (*uint32)(unsafe.Pointer(&r.memory[block*r.block+offStatus]))
}

// Next waits for packets and calls each with them, in order. It returns after
// each block, or after about wait milliseconds without one.
func (r *Ring) Next(wait int, each func(Packet)) error {
	status := r.status(r.next)
	if load(status)&unix.TP_STATUS_USER == 0 {
		fds := []unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN}, {Fd: int32(r.wake[0]), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, wait)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return os.NewSyscallError("poll", err)
		case fds[1].Revents != 0:
			return ErrClosed
		case n == 0, fds[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0:
			return r.broken()
		}
		if load(status)&unix.TP_STATUS_USER == 0 {
			return nil
		}
	}
	r.read(r.memory[r.next*r.block:(r.next+1)*r.block], each)
	store(status, unix.TP_STATUS_KERNEL)
	r.next = (r.next + 1) % r.blocks
	return nil
}

// broken says what is wrong with the socket: an interface that is down comes
// back, one that is gone does not. That it goes down is told before it is gone,
// and that only, so silence is a reason to ask.
func (r *Ring) broken() error {
	code, err := unix.GetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return os.NewSyscallError("read socket error", err)
	}
	sa, err := unix.Getsockname(r.fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	if ll, ok := sa.(*unix.SockaddrLinklayer); ok && ll.Ifindex <= 0 {
		return fmt.Errorf("the interface %s is gone", r.name)
	}
	if e := unix.Errno(code); e != 0 && e != unix.ENETDOWN {
		return e
	}
	return nil
}

// read hands on the packets of a block.
func (r *Ring) read(block []byte, each func(Packet)) {
	at := int(ne.Uint32(block[offFirst:]))
	for range ne.Uint32(block[offPackets:]) {
		h := block[at:]
		mac, size := int(ne.Uint16(h[hdrMac:])), int(ne.Uint32(h[hdrSnaplen:]))
		p := Packet{
			Time: int64(ne.Uint32(h[hdrSec:]))*1e9 + int64(ne.Uint32(h[hdrNsec:])), Data: h[mac : mac+size : mac+size], Length: int(ne.Uint32(h[hdrLen:])),
		}
		if status := ne.Uint32(h[hdrStatus:]); status&unix.TP_STATUS_VLAN_VALID != 0 {
			p.Data = r.retag(p.Data, h, status)
			p.Length += packet.VLANLen
		}
		each(p)
		next := int(ne.Uint32(h[hdrNext:]))
		if next == 0 {
			return
		}
		at += next
	}
}

// retag puts back the VLAN tag that the kernel took out of a frame.
func (r *Ring) retag(frame, h []byte, status uint32) []byte {
	const addresses = 12
	if len(frame) < packet.EthernetLen {
		return frame
	}
	kind := uint16(packet.EtherVLAN)
	if status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
		kind = ne.Uint16(h[hdrVLANProto:])
	}
	r.tagged = append(r.tagged[:0], frame[:addresses]...)
	r.tagged = binary.BigEndian.AppendUint16(r.tagged, kind)
	r.tagged = binary.BigEndian.AppendUint16(r.tagged, uint16(ne.Uint32(h[hdrVLAN:])))
	r.tagged = append(r.tagged, frame[addresses:]...)
	return r.tagged
}

// Stats are the counts so far.
func (r *Ring) Stats() Stats {
	// Reading resets the kernel's.
	if s, err := unix.GetsockoptTpacketStatsV3(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
		r.stats.Packets += uint64(s.Packets)
		r.stats.Drops += uint64(s.Drops)
	}
	return r.stats
}

// Stop ends a wait in Next; it may be called from anywhere, at any time.
func (r *Ring) Stop() {
	r.waking.Lock()
	defer r.waking.Unlock()
	if r.wake[1] >= 0 {
		unix.Write(r.wake[1], []byte{0}) // A full pipe wakes too.
	}
}

// Close frees the ring.
func (r *Ring) Close() { r.release() }

func (r *Ring) release() {
	if r.memory != nil {
		unix.Munmap(r.memory)
		r.memory = nil
	}
	r.waking.Lock()
	defer r.waking.Unlock()
	for _, fd := range []int{r.fd, r.wake[0], r.wake[1]} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	r.fd, r.wake = -1, [2]int{-1, -1}
}
