// Package xdp is a port on AF_XDP: frames move between one queue of a network interface and memory shared with the kernel,
// past the kernel's own stack. It is pure Go, and needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF (root).
//
// One Port owns one queue, its memory and its four rings; several processes open a queue each, and share the program in
// the kernel (package filter), which gives them the frames of the stack's addresses and passes all others on. It is held
// by file descriptors: when the last process ends, however it ends, the interface is as it was.
//
// Frames longer than a chunk of memory (an MTU beyond 3,800 bytes, or what the kernel has joined in generic mode) lie in
// several, and are copied together and apart (Linux 6.6). A blocking system call is made in Wait alone, where Go's scheduler knows of it.
package xdp

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/netstack/filter"
	"github.com/hauberk/hauberk/netstack/port"
)

// Config is what a port is opened with.
type Config struct {
	Interface string
	Queue     int // 0 to the interface's receive queues - 1.
	Mode      filter.Mode
	Rules     filter.Rules
	// Frames is how many chunks of memory there are, a power of two from 256 to 65,536; half of them wait for packets to
	// come, the rest serves packets to go.
	Frames int
	Copy   bool // Forbid zero-copy.
	// BusyPoll makes the system calls that look for packets run the driver, for at most so many microseconds (0: off), and
	// BusyBudget packets; to be used with napi_defer_hard_irqs and gro_flush_timeout of the interface.
	BusyPoll, BusyBudget int
	// TrustChecksums takes received checksums for right: a veth's peer leaves them empty when it counts on a NIC.
	TrustChecksums bool
}

// DefaultConfig is of queue 0, in native mode.
func DefaultConfig() Config { return Config{Mode: filter.Native, Frames: 4096, BusyBudget: 64} }

// Validate reports every problem.
func (c *Config) Validate() error {
	var bad []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			bad = append(bad, fmt.Errorf(format, args...))
		}
	}
	check(c.Interface != "", "interface: want a name")
	check(c.Queue >= 0 && c.Queue < 256, "queue %d: want 0 to 255", c.Queue)
	check(c.Mode == filter.Native || c.Mode == filter.Generic, "mode %q: want native or generic", c.Mode)
	check(c.Frames >= 256 && c.Frames <= 65536 && c.Frames&(c.Frames-1) == 0, "frames %d: want a power of two from 256 to 65536", c.Frames)
	check(c.BusyPoll >= 0 && c.BusyBudget > 0, "busy poll of %d µs and %d packets: want 0 or more, and 1 or more", c.BusyPoll, c.BusyBudget)
	return errors.Join(bad...)
}

// Limits of the driver.
const (
	shortChunk = 2048 // Holds 256 bytes of the kernel's and a packet of 1,700.
	longChunk  = 4096
	headroom   = 256
	// longest is what the kernel makes of several segments of one connection (GRO) before generic XDP sees them.
	longest   = 1<<16 + 18
	maxSent   = 128 // Packets a call may send; the kernel's own bound is 32.
	maxPieces = 18  // Chunks of one packet, as the kernel has it (MAX_SKB_FRAGS + 1).
	// heap marks the handle of a frame whose memory is not shared: one of several chunks.
	heap = uint64(1) << 63
)

// Port is one queue.
type Port struct {
	cfg    Config
	info   port.Info
	filter *filter.Filter
	fd     int
	wake   int
	groups int // A packet socket that sees nothing.
	zero   bool

	memory []byte // Of the frames, shared with the kernel.
	chunk  int
	pieces bool // Packets may be longer than a chunk.
	free   []uint64
	spares [][]byte
	part   []byte // The beginning of a packet in several chunks.

	fill, done *ring[uint64]
	rx, tx     *ring[unix.XDPDesc]

	given  bool // The queue's frames are ours.
	gone   error
	closed atomic.Bool
	ending sync.RWMutex // Held shared by all that Close may run beside.
	count  struct {
		rxFrames, rxBytes, txFrames, txBytes, rxTooLong, txFull, txError atomic.Uint64
	}
}

// Open opens a queue.
func Open(cfg Config) (*Port, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	nic, err := net.InterfaceByName(cfg.Interface)
	if err != nil {
		return nil, fmt.Errorf("open interface %s: %w", cfg.Interface, err)
	}
	p := &Port{cfg: cfg, fd: -1, wake: -1, groups: -1, chunk: shortChunk}
	p.info = port.Info{Name: nic.Name, MTU: nic.MTU, MAC: nic.HardwareAddr}
	if len(p.info.MAC) != 6 {
		return nil, fmt.Errorf("open interface %s: not an Ethernet", cfg.Interface)
	}
	frame := nic.MTU + 18
	if cfg.Mode == filter.Generic {
		frame = longest
	}
	if frame > shortChunk-headroom {
		p.chunk = longChunk
	}
	p.pieces = frame > p.chunk-headroom
	if err := p.open(nic.Index); err != nil {
		return nil, errors.Join(fmt.Errorf("open queue %d of %s: %w", cfg.Queue, cfg.Interface, err), p.Close())
	}
	return p, nil
}

// open makes memory, socket and rings, binds them to the queue, and asks for the queue's frames.
func (p *Port) open(ifindex int) (err error) {
	if p.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return fmt.Errorf("make eventfd: %w", err)
	}
	if p.fd, err = unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("make AF_XDP socket: %w", err)
	}
	if err = p.allocate(); err != nil {
		return err
	}
	if err = p.makeRings(); err != nil {
		return err
	}
	if err = p.poll(); err != nil {
		return err
	}
	// In copy mode one call sends up to so many packets (Linux 6.17); where there is no such option the kernel has its own bound.
	_ = unix.SetsockoptInt(p.fd, unix.SOL_XDP, unix.XDP_MAX_TX_SKB_BUDGET, maxSent)
	p.refill()
	// The program comes first: a driver grows the queue's buffers for it, and what finds no socket goes to the kernel.
	if p.filter, err = filter.XDP(ifindex, p.cfg.Mode, p.cfg.Rules); err != nil {
		return err
	}
	if err = p.bind(ifindex); err != nil {
		return err
	}
	if err = p.filter.Give(p.cfg.Queue, p.fd); err != nil {
		return err
	}
	p.given = true
	return p.multicast(ifindex)
}

// multicast makes the NIC receive all groups, in which neighbours look for our IPv6 addresses, until the socket is closed.
func (p *Port) multicast(ifindex int) (err error) {
	if p.groups, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("make packet socket: %w", err)
	}
	mreq := unix.PacketMreq{Ifindex: int32(ifindex), Type: unix.PACKET_MR_ALLMULTI}
	if err = unix.SetsockoptPacketMreq(p.groups, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq); err != nil {
		return fmt.Errorf("receive multicast: %w", err)
	}
	return nil
}

// allocate makes the frames' memory, of huge pages when there are any.
func (p *Port) allocate() (err error) {
	const prot, flags = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_POPULATE
	size := p.cfg.Frames * p.chunk
	if p.memory, err = unix.Mmap(-1, 0, (size+2<<20-1)&^(2<<20-1), prot, flags|unix.MAP_HUGETLB); err != nil {
		if p.memory, err = unix.Mmap(-1, 0, size, prot, flags); err != nil {
			return fmt.Errorf("allocate %d bytes of frames: %w", size, err)
		}
	}
	// Frames may be looked at after Close, so that their memory stays until nobody can reach the port.
	runtime.AddCleanup(p, func(m []byte) { _ = unix.Munmap(m) }, p.memory)
	reg := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(&p.memory[0]))), Len: uint64(size), Size: uint32(p.chunk)}
	if err := setsockopt(p.fd, unix.XDP_UMEM_REG, unsafe.Pointer(&reg), unsafe.Sizeof(reg)); err != nil {
		return fmt.Errorf("register frames: %w", err)
	}
	for i := range p.cfg.Frames {
		p.free = append(p.free, uint64(i*p.chunk))
	}
	return nil
}

func (p *Port) makeRings() (err error) {
	n := uint32(p.cfg.Frames / 2)
	for _, option := range []int{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_RX_RING, unix.XDP_TX_RING} {
		if err := unix.SetsockoptInt(p.fd, unix.SOL_XDP, option, int(n)); err != nil {
			return fmt.Errorf("size ring: %w", err)
		}
	}
	var o unix.XDPMmapOffsets
	if err := getsockopt(p.fd, unix.XDP_MMAP_OFFSETS, unsafe.Pointer(&o), unsafe.Sizeof(o)); err != nil {
		return fmt.Errorf("read offsets of rings: %w", err)
	}
	if p.fill, err = mapRing[uint64](p.fd, n, unix.XDP_UMEM_PGOFF_FILL_RING, o.Fr); err != nil {
		return err
	}
	if p.done, err = mapRing[uint64](p.fd, n, unix.XDP_UMEM_PGOFF_COMPLETION_RING, o.Cr); err != nil {
		return err
	}
	if p.rx, err = mapRing[unix.XDPDesc](p.fd, n, unix.XDP_PGOFF_RX_RING, o.Rx); err != nil {
		return err
	}
	p.tx, err = mapRing[unix.XDPDesc](p.fd, n, unix.XDP_PGOFF_TX_RING, o.Tx)
	return err
}

// poll sets up busy polling.
func (p *Port) poll() error {
	if p.cfg.BusyPoll == 0 {
		return nil
	}
	for _, o := range [][2]int{{unix.SO_PREFER_BUSY_POLL, 1}, {unix.SO_BUSY_POLL, p.cfg.BusyPoll}, {unix.SO_BUSY_POLL_BUDGET, p.cfg.BusyBudget}} {
		if err := unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, o[0], o[1]); err != nil {
			return fmt.Errorf("switch busy polling on: %w", err)
		}
	}
	return nil
}

// bindPatience is how long a queue may stay taken: the kernel gives one back some time after its socket was closed.
const bindPatience = 2 * time.Second

func (p *Port) bind(ifindex int) error {
	a := unix.SockaddrXDP{Ifindex: uint32(ifindex), QueueID: uint32(p.cfg.Queue), Flags: unix.XDP_USE_NEED_WAKEUP}
	if p.cfg.Copy || p.cfg.Mode == filter.Generic {
		a.Flags |= unix.XDP_COPY
	}
	if p.pieces {
		a.Flags |= unix.XDP_USE_SG
	}
	for end := time.Now().Add(bindPatience); ; {
		err := unix.Bind(p.fd, &a)
		switch {
		case err == nil:
			var options uint32
			err = getsockopt(p.fd, unix.XDP_OPTIONS, unsafe.Pointer(&options), unsafe.Sizeof(options))
			p.zero = options&unix.XDP_OPTIONS_ZEROCOPY != 0
			return err
		case errors.Is(err, unix.EBUSY) && time.Now().Before(end):
			time.Sleep(10 * time.Millisecond)
		case errors.Is(err, unix.EBUSY):
			return errors.New("another AF_XDP socket has the queue")
		case errors.Is(err, unix.EINVAL):
			return fmt.Errorf("bind: the interface has no such queue, or cannot carry packets in pieces at its MTU: %w", err)
		default:
			return fmt.Errorf("bind: %w", err)
		}
	}
}

func setsockopt(fd, option int, v unsafe.Pointer, size uintptr) error {
	if _, _, e := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option), uintptr(v), size, 0); e != 0 {
		return e
	}
	return nil
}

func getsockopt(fd, option int, v unsafe.Pointer, size uintptr) error {
	length := uint32(size)
	_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option), uintptr(v), uintptr(unsafe.Pointer(&length)), 0)
	if e != 0 {
		return e
	}
	return nil
}

// Info describes the interface.
func (p *Port) Info() port.Info { return p.info }

// ZeroCopy says whether the NIC reads and writes our memory itself.
func (p *Port) ZeroCopy() bool { return p.zero }

// Filter is the program in the kernel, for its counters.
func (p *Port) Filter() *filter.Filter { return p.filter }

// Stats counts.
func (p *Port) Stats() port.Stats {
	c := &p.count
	s := port.Stats{
		RxFrames: c.rxFrames.Load(), RxBytes: c.rxBytes.Load(), RxTooLong: c.rxTooLong.Load(),
		TxFrames: c.txFrames.Load(), TxBytes: c.txBytes.Load(), TxFull: c.txFull.Load(), TxError: c.txError.Load(),
	}
	if r, err := p.Rings(); err == nil {
		s.RxNoBuffer = r.Rx_dropped + r.Rx_ring_full + r.Rx_fill_ring_empty_descs
		s.TxError += r.Tx_invalid_descs
	}
	return s
}

// Rings is what the kernel counts of the socket's rings.
func (p *Port) Rings() (s unix.XDPStatistics, err error) {
	p.ending.RLock()
	defer p.ending.RUnlock()
	if p.closed.Load() {
		return s, port.ErrClosed
	}
	err = getsockopt(p.fd, unix.XDP_STATISTICS, unsafe.Pointer(&s), unsafe.Sizeof(s))
	return s, err
}

// Wake ends a Wait.
func (p *Port) Wake() {
	p.ending.RLock()
	defer p.ending.RUnlock()
	if !p.closed.Load() {
		one := [8]byte{1}
		_, _ = unix.Write(p.wake, one[:]) // Full means that it is awake.
	}
}

// Close gives the queue back to the kernel.
func (p *Port) Close() error {
	if p.closed.Swap(true) {
		return nil
	}
	one := [8]byte{1}
	_, _ = unix.Write(p.wake, one[:])
	p.ending.Lock()
	defer p.ending.Unlock()
	var errs []error
	if p.given {
		errs = append(errs, p.filter.Return(p.cfg.Queue))
	}
	if p.filter != nil {
		errs = append(errs, p.filter.Close())
	}
	errs = append(errs, p.fill.unmap(), p.done.unmap(), p.rx.unmap(), p.tx.unmap())
	for _, fd := range []int{p.fd, p.wake, p.groups} {
		if fd >= 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	return errors.Join(errs...)
}
