// Package afpacket is the port for interfaces and kernels without AF_XDP: a packet socket, one system call for each frame
// sent and received. It needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF, and Linux 6.6.
//
// The kernel sees what a packet socket sees, and would answer frames for the stack's addresses with resets and ICMP
// errors. Package filter withholds them from it, for exactly as long as the port is open.
package afpacket

import (
	"errors"
	"fmt"
	"net"
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
	Rules     filter.Rules
}

// Limits of the port.
const (
	maxSpares     = 4096
	receiveBuffer = 8 << 20 // Bytes of frames the kernel holds for us; more are dropped.
	// longest is what the kernel makes of several segments of one connection before a packet socket sees them.
	longest = 1<<16 + 18
	// before is struct virtio_net_hdr, which lies before each frame and says what is known of its checksum.
	before                 = 10
	checksumUnset, isValid = 1, 2 // VIRTIO_NET_HDR_F_NEEDS_CSUM, _DATA_VALID: the bytes never were on a wire, or a NIC has looked.
)

// Port is a packet socket of one interface.
type Port struct {
	cfg    Config
	info   port.Info
	filter *filter.Filter
	fd     int
	wake   int
	size   int // Of a frame's memory.
	spares [][]byte
	raw    [before + longest]byte // What is being received.
	none   [before]byte
	vector [2]unix.Iovec
	gone   error
	closed atomic.Bool
	ending sync.RWMutex // Held shared by what makes system calls, which may run beside Close.
	count  struct {
		rxFrames, rxBytes, rxDropped, rxTooLong, txFrames, txBytes, txFull, txError atomic.Uint64
	}
}

// Open opens an interface.
func Open(cfg Config) (*Port, error) {
	nic, err := net.InterfaceByName(cfg.Interface)
	if err != nil {
		return nil, fmt.Errorf("open interface %s: %w", cfg.Interface, err)
	}
	if len(nic.HardwareAddr) != 6 {
		return nil, fmt.Errorf("open interface %s: not an Ethernet", cfg.Interface)
	}
	p := &Port{cfg: cfg, fd: -1, wake: -1, size: nic.MTU + 18}
	p.info = port.Info{Name: nic.Name, MTU: nic.MTU, MAC: nic.HardwareAddr}
	if err := p.open(nic.Index); err != nil {
		return nil, errors.Join(fmt.Errorf("open packet socket on %s: %w", cfg.Interface, err), p.Close())
	}
	return p, nil
}

func (p *Port) open(ifindex int) (err error) {
	if p.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return fmt.Errorf("make eventfd: %w", err)
	}
	// Without a protocol nothing comes before the filter stands.
	if p.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return fmt.Errorf("make socket: %w", err)
	}
	if p.filter, err = filter.Load(p.cfg.Rules); err != nil {
		return err
	}
	if err = p.filter.See(p.fd); err != nil {
		return err
	}
	if err = unix.SetsockoptInt(p.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return fmt.Errorf("ignore outgoing packets: %w", err)
	}
	if err = unix.SetsockoptInt(p.fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		return fmt.Errorf("ask for the state of checksums: %w", err)
	}
	if err = unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer); err != nil {
		return fmt.Errorf("size receive buffer: %w", err)
	}
	const all = unix.ETH_P_ALL << 8 // In network order.
	if err = unix.Bind(p.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifindex}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	// Frames for other MAC addresses do not concern us, but groups that ask for our neighbours do.
	mreq := unix.PacketMreq{Ifindex: int32(ifindex), Type: unix.PACKET_MR_ALLMULTI}
	if err = unix.SetsockoptPacketMreq(p.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq); err != nil {
		return fmt.Errorf("receive multicast: %w", err)
	}
	return p.filter.Withhold(ifindex)
}

// Info describes the interface.
func (p *Port) Info() port.Info { return p.info }

// Filter is the programs in the kernel, for their counters.
func (p *Port) Filter() *filter.Filter { return p.filter }

// Receive reads frames that are there.
func (p *Port) Receive(rx []port.Frame) (int, error) {
	p.ending.RLock()
	defer p.ending.RUnlock()
	if p.closed.Load() || p.gone != nil {
		return 0, errors.Join(p.gone, port.ErrClosed)
	}
	n := 0
	for n < len(rx) {
		// With MSG_TRUNC the length is the packet's, even where it does not fit.
		got, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(p.fd), uintptr(unsafe.Pointer(&p.raw)), uintptr(len(p.raw)),
			unix.MSG_DONTWAIT|unix.MSG_TRUNC, 0, 0)
		if e != 0 {
			return n, p.failed(e)
		}
		if int(got) > len(p.raw) || got < before {
			p.count.rxTooLong.Add(1)
			continue
		}
		rx[n] = port.Frame{Data: append(p.spare(), p.raw[before:got]...), Verified: p.raw[0]&(checksumUnset|isValid) != 0}
		p.count.rxFrames.Add(1)
		p.count.rxBytes.Add(uint64(got - before))
		n++
	}
	return n, nil
}

// failed says what an error of the socket means: nothing, that the interface is down for now, or that it has gone.
func (p *Port) failed(e unix.Errno) error {
	if e == unix.EAGAIN || e == unix.EINTR {
		return nil
	}
	if e == unix.ENETDOWN {
		if _, err := net.InterfaceByName(p.info.Name); err == nil {
			return nil
		}
	}
	p.gone = fmt.Errorf("interface %s has gone (%w): %w", p.info.Name, e, port.ErrClosed)
	return p.gone
}

// Release takes frames back.
func (p *Port) Release(frames ...port.Frame) {
	for _, f := range frames {
		if len(p.spares) < maxSpares && cap(f.Data) >= p.size {
			p.spares = append(p.spares, f.Data)
		}
	}
}

func (p *Port) spare() []byte {
	if n := len(p.spares); n > 0 {
		b := p.spares[n-1]
		p.spares = p.spares[:n-1]
		return b[:0]
	}
	return make([]byte, 0, p.size)
}

// Buffer gives an empty frame.
func (p *Port) Buffer() (port.Frame, bool) { return port.Frame{Data: p.spare()}, true }

// Transmit sends a frame at once.
func (p *Port) Transmit(f port.Frame) {
	defer p.Release(f)
	p.ending.RLock()
	defer p.ending.RUnlock()
	if p.closed.Load() || len(f.Data) == 0 {
		return
	}
	p.vector = [2]unix.Iovec{{Base: &p.none[0], Len: before}, {Base: &f.Data[0], Len: uint64(len(f.Data))}}
	_, _, e := unix.RawSyscall(unix.SYS_WRITEV, uintptr(p.fd), uintptr(unsafe.Pointer(&p.vector)), uintptr(len(p.vector)))
	switch e {
	case 0:
		p.count.txFrames.Add(1)
		p.count.txBytes.Add(uint64(len(f.Data)))
	case unix.EAGAIN, unix.ENOBUFS:
		p.count.txFull.Add(1)
	default:
		p.count.txError.Add(1)
	}
}

// Flush has nothing to do.
func (p *Port) Flush() error {
	if p.closed.Load() {
		return port.ErrClosed
	}
	return nil
}

// Wait waits for frames or Wake.
func (p *Port) Wait(timeout time.Duration) error {
	p.ending.RLock()
	defer p.ending.RUnlock()
	if p.closed.Load() {
		return port.ErrClosed
	}
	ms := -1
	if timeout >= 0 {
		ms = int(min((timeout+time.Millisecond-1)/time.Millisecond, time.Hour/time.Millisecond))
	}
	fds := [2]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}, {Fd: int32(p.wake), Events: unix.POLLIN}}
	_, err := unix.Poll(fds[:], ms)
	if fds[1].Revents&unix.POLLIN != 0 {
		var b [8]byte
		_, _ = unix.Read(p.wake, b[:])
	}
	if fds[0].Revents&unix.POLLERR != 0 {
		if e, err := unix.GetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && e != 0 {
			return p.failed(unix.Errno(e))
		}
	}
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for packets of %s: %w", p.info.Name, err)
	}
	return nil
}

// Wake ends a Wait.
func (p *Port) Wake() {
	p.ending.RLock()
	defer p.ending.RUnlock()
	if !p.closed.Load() {
		p.ring()
	}
}

func (p *Port) ring() {
	one := [8]byte{1}
	_, _ = unix.Write(p.wake, one[:]) // Full means that it is awake.
}

// Stats counts.
func (p *Port) Stats() port.Stats {
	p.ending.RLock()
	defer p.ending.RUnlock()
	c := &p.count
	if !p.closed.Load() {
		if s, err := unix.GetsockoptTpacketStats(p.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			c.rxDropped.Add(uint64(s.Drops)) // The kernel starts anew with each look.
		}
	}
	return port.Stats{
		RxFrames: c.rxFrames.Load(), RxBytes: c.rxBytes.Load(), RxNoBuffer: c.rxDropped.Load(), RxTooLong: c.rxTooLong.Load(),
		TxFrames: c.txFrames.Load(), TxBytes: c.txBytes.Load(), TxFull: c.txFull.Load(), TxError: c.txError.Load(),
	}
}

// Close gives the interface back to the kernel.
func (p *Port) Close() error {
	if p.closed.Swap(true) {
		return nil
	}
	if p.wake >= 0 {
		p.ring()
	}
	p.ending.Lock()
	defer p.ending.Unlock()
	var errs []error
	for _, fd := range []int{p.fd, p.wake} {
		if fd >= 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	if p.filter != nil { // Last: until the socket is closed, nobody answers.
		errs = append(errs, p.filter.Close())
	}
	return errors.Join(errs...)
}
