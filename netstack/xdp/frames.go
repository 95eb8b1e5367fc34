package xdp

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/netstack/port"
)

// refill gives the kernel chunks to receive into; the rest stays for packets to go.
func (p *Port) refill() {
	keep := p.cfg.Frames / 8
	n := min(int(p.fill.room(uint32(len(p.free)))), len(p.free)-keep)
	if n <= 0 {
		return
	}
	for _, at := range p.free[len(p.free)-n:] {
		p.fill.put(at)
	}
	p.free = p.free[:len(p.free)-n]
	p.fill.publish()
}

// complete takes back the chunks of packets that have gone.
func (p *Port) complete() {
	n := p.done.ready()
	for range n {
		p.free = append(p.free, p.done.get()&^uint64(p.chunk-1))
	}
	if n > 0 {
		p.done.free()
	}
}

// Receive takes packets of the rx ring, without a system call unless the kernel waits for one.
func (p *Port) Receive(rx []port.Frame) (int, error) {
	p.ending.RLock()
	defer p.ending.RUnlock()
	if p.closed.Load() || p.gone != nil {
		return 0, errors.Join(p.gone, port.ErrClosed)
	}
	n, bytes := 0, 0
	ready := p.rx.ready()
	for ; ready > 0 && n < len(rx); ready-- {
		d := p.rx.get()
		if f, whole := p.frame(d); whole {
			rx[n] = f
			bytes += len(f.Data)
			n++
		}
	}
	p.rx.free()
	p.complete()
	p.refill()
	if n == 0 && (p.cfg.BusyPoll > 0 || p.fill.wanted()) {
		p.kick(unix.SYS_RECVFROM)
	}
	if n > 0 {
		p.count.rxFrames.Add(uint64(n))
		p.count.rxBytes.Add(uint64(bytes))
	}
	return n, nil
}

// frame makes a frame of a descriptor; one that is in several chunks is whole with the last.
func (p *Port) frame(d unix.XDPDesc) (f port.Frame, whole bool) {
	base := d.Addr &^ uint64(p.chunk-1)
	data := p.memory[d.Addr : d.Addr+uint64(d.Len) : base+uint64(p.chunk)]
	more := d.Options&unix.XDP_PKT_CONTD != 0
	if !more && p.part == nil {
		return port.Frame{Data: data, Handle: base, Verified: p.cfg.TrustChecksums}, true
	}
	if p.part == nil {
		p.part = p.spare()
	}
	p.part = append(p.part, data...)
	p.free = append(p.free, base)
	if more {
		return f, false
	}
	f = port.Frame{Data: p.part, Handle: heap, Verified: p.cfg.TrustChecksums}
	p.part = nil
	if len(f.Data) > longest {
		p.count.rxTooLong.Add(1)
		p.Release(f)
		return f, false
	}
	return f, true
}

// spare gives memory for a packet longer than a chunk.
func (p *Port) spare() []byte {
	if n := len(p.spares); n > 0 {
		b := p.spares[n-1]
		p.spares = p.spares[:n-1]
		return b[:0]
	}
	return make([]byte, 0, p.info.MTU+18)
}

// Release takes frames back.
func (p *Port) Release(frames ...port.Frame) {
	for _, f := range frames {
		if f.Handle&heap == 0 {
			p.free = append(p.free, f.Handle)
		} else if len(p.spares) < p.cfg.Frames {
			p.spares = append(p.spares, f.Data)
		}
	}
}

// Buffer gives an empty frame.
func (p *Port) Buffer() (port.Frame, bool) {
	if p.pieces {
		return port.Frame{Data: p.spare(), Handle: heap}, true
	}
	if len(p.free) == 0 && !p.reclaim() {
		return port.Frame{}, false
	}
	at, _ := p.take()
	return port.Frame{Data: p.memory[at+headroom : at+headroom : at+uint64(p.chunk)], Handle: at}, true
}

// reclaim looks for chunks of packets that have gone, and says whether there are free ones.
func (p *Port) reclaim() bool {
	p.ending.RLock()
	defer p.ending.RUnlock()
	if !p.closed.Load() {
		p.complete()
	}
	return len(p.free) > 0
}

// take takes a chunk of the free ones.
func (p *Port) take() (uint64, bool) {
	if len(p.free) == 0 {
		return 0, false
	}
	at := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	return at, true
}

// Transmit puts a frame into the tx ring; Flush shows it to the kernel.
func (p *Port) Transmit(f port.Frame) {
	p.ending.RLock()
	defer p.ending.RUnlock()
	if p.closed.Load() {
		return
	}
	if f.Handle&heap != 0 {
		p.transmitPieces(f)
		return
	}
	if len(f.Data) == 0 || p.tx.room(1) == 0 && !p.drain() {
		p.count.txFull.Add(1)
		p.free = append(p.free, f.Handle)
		return
	}
	base := uintptr(unsafe.Pointer(&p.memory[0]))
	at := uint64(uintptr(unsafe.Pointer(&f.Data[0])) - base)
	if at-f.Handle >= uint64(p.chunk) { // Grown beyond the chunk, and so moved; one that does not fit is nobody's frame.
		if len(f.Data) > p.chunk {
			p.count.txError.Add(1)
			p.free = append(p.free, f.Handle)
			return
		}
		at = f.Handle
		copy(p.memory[at:], f.Data)
	}
	p.tx.put(unix.XDPDesc{Addr: at, Len: uint32(len(f.Data))})
	p.count.txFrames.Add(1)
	p.count.txBytes.Add(uint64(len(f.Data)))
}

// transmitPieces copies a long packet to chunks.
func (p *Port) transmitPieces(f port.Frame) {
	defer p.Release(f)
	need := (len(f.Data) + p.chunk - 1) / p.chunk
	if need == 0 || need > maxPieces {
		p.count.txError.Add(1)
		return
	}
	if len(p.free) < need {
		p.complete()
	}
	if p.tx.room(uint32(need)) < uint32(need) && !p.drain() || p.tx.room(uint32(need)) < uint32(need) || len(p.free) < need {
		p.count.txFull.Add(1)
		return
	}
	for rest := f.Data; len(rest) > 0; {
		at, _ := p.take()
		n := copy(p.memory[at:at+uint64(p.chunk)], rest)
		rest = rest[n:]
		d := unix.XDPDesc{Addr: at, Len: uint32(n)}
		if len(rest) > 0 {
			d.Options = unix.XDP_PKT_CONTD
		}
		p.tx.put(d)
	}
	p.count.txFrames.Add(1)
	p.count.txBytes.Add(uint64(len(f.Data)))
}

// drain makes room in a full tx ring, and says whether it could.
func (p *Port) drain() bool {
	p.push()
	p.complete()
	return p.tx.room(1) > 0
}

// Flush hands the queued frames to the kernel.
func (p *Port) Flush() error {
	p.ending.RLock()
	defer p.ending.RUnlock()
	if p.closed.Load() || p.gone != nil {
		return errors.Join(p.gone, port.ErrClosed)
	}
	p.push()
	p.complete()
	return p.gone
}

// stubborn is how many kicks in a row may move nothing before what is left waits for the next flush: the link is full.
const stubborn = 8

// push publishes the tx ring and kicks the kernel until the ring is empty: in copy mode one call sends a few dozen.
func (p *Port) push() {
	p.tx.publish()
	left := p.tx.pending()
	for tries := 0; left > 0 && tries < stubborn && p.tx.wanted(); {
		p.kick(unix.SYS_SENDTO)
		now := p.tx.pending()
		if tries++; now < left {
			tries = 0
		}
		if left = now; p.gone != nil {
			return
		}
		p.complete() // A full completion ring stops the kernel.
	}
}

// kick makes the kernel look at the rings. It never waits, so that the scheduler need not know of it.
func (p *Port) kick(call uintptr) {
	_, _, e := unix.RawSyscall6(call, uintptr(p.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	switch e {
	case 0, unix.EAGAIN, unix.EBUSY, unix.ENOBUFS, unix.ENETDOWN, unix.EINTR: // Later.
	case unix.ENXIO, unix.EBADF:
		p.vanish()
	default:
		p.count.txError.Add(1)
	}
}

// lookEvery is how often a Wait looks whether the interface is still there, of which poll does not tell.
const lookEvery = time.Second

// Wait waits for packets or Wake.
func (p *Port) Wait(timeout time.Duration) error {
	p.ending.RLock()
	defer p.ending.RUnlock()
	for end := time.Now().Add(timeout); ; {
		if p.closed.Load() {
			return port.ErrClosed
		}
		if p.rx.ready() > 0 {
			return nil
		}
		left := lookEvery
		if timeout >= 0 {
			left = max(0, min(time.Until(end), left))
		}
		if p.tx.pending() > 0 { // The link was full; it is flushed again soon.
			left = min(left, time.Millisecond)
		}
		fds := [2]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}, {Fd: int32(p.wake), Events: unix.POLLIN}}
		n, err := unix.Poll(fds[:], int((left+time.Millisecond-1)/time.Millisecond))
		if fds[1].Revents&unix.POLLIN != 0 {
			var b [8]byte
			_, _ = unix.Read(p.wake, b[:])
		}
		switch {
		case errors.Is(err, unix.EINTR):
			return nil
		case err != nil:
			return fmt.Errorf("wait for packets of %s: %w", p.info.Name, err)
		case n == 0 && left < lookEvery:
			return nil
		case n > 0 && fds[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) == 0:
			return nil
		}
		if e, err := unix.GetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || e != 0 {
			p.vanish()
			return p.gone
		}
	}
}

func (p *Port) vanish() {
	p.gone = fmt.Errorf("interface %s has gone: %w", p.info.Name, port.ErrClosed)
}
