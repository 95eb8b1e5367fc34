// Package pcapport is a port between two captures: what it receives is read from one, what it sends is written to another.
// So a stack can be asked again what a capture asked, without a network.
package pcapport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hauberk/hauberk/netstack/port"
	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/packet/pcap"
)

// ahead is how many packets are read before they are received.
const ahead = 256

// ErrEnd is what Receive says after the last packet of the capture. It is a port.ErrClosed.
var ErrEnd = fmt.Errorf("end of capture: %w", port.ErrClosed)

// Port reads and writes captures.
type Port struct {
	info   port.Info
	source io.Closer
	frames chan []byte
	ended  chan struct{} // Closed when frames will get no more.
	err    error         // Why; valid when ended is closed.
	stop   chan struct{}
	once   sync.Once
	next   []byte // What Wait took from frames.
	wake   chan struct{}

	out      *pcap.Writer
	outError error
	link     packet.LinkType
	count    struct{ rxFrames, rxBytes, rxTooLong, txFrames, txBytes, txError atomic.Uint64 }
}

// New makes a port of Ethernet with the given MTU that reads a capture (pcap or pcapng, gzip or zstd), which Close
// closes, and writes a pcap file to out.
func New(mtu int, in io.ReadCloser, out io.Writer) (*Port, error) {
	w, err := pcap.NewWriter(out, packet.LinkEthernet, 0, pcap.Format{})
	if err != nil {
		return nil, fmt.Errorf("write capture: %w", err)
	}
	p := &Port{
		info:   port.Info{Name: "pcap", MTU: mtu, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}},
		source: in, frames: make(chan []byte, ahead), ended: make(chan struct{}), stop: make(chan struct{}), wake: make(chan struct{}, 1),
		out: w, link: packet.LinkEthernet,
	}
	go p.read(in)
	return p, nil
}

// read hands the packets of the capture on; it ends with it, or when Close has closed it.
func (p *Port) read(in io.Reader) {
	defer close(p.ended)
	p.err = ErrEnd
	r, err := pcap.NewReader(in)
	if err != nil {
		p.err = errors.Join(err, port.ErrClosed)
		return
	}
	defer r.Close()
	for {
		packet, err := r.Next()
		if err == nil && packet.Link != p.link {
			err = fmt.Errorf("read capture: link type %d, want Ethernet", packet.Link)
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			p.err = errors.Join(err, port.ErrClosed)
			return
		}
		if packet.Length > len(packet.Data) || len(packet.Data) > p.info.MTU+18 {
			p.count.rxTooLong.Add(1)
			continue
		}
		select {
		case p.frames <- bytes.Clone(packet.Data):
		case <-p.stop:
			return
		}
	}
}

// Info describes the port.
func (p *Port) Info() port.Info { return p.info }

// Receive takes packets that have been read.
func (p *Port) Receive(rx []port.Frame) (int, error) {
	select {
	case <-p.stop:
		return 0, port.ErrClosed
	default:
	}
	n := 0
	for ; n < len(rx); n++ {
		b := p.take()
		if b == nil {
			break
		}
		rx[n] = port.Frame{Data: b}
		p.count.rxFrames.Add(1)
		p.count.rxBytes.Add(uint64(len(b)))
	}
	if n == 0 {
		select {
		case <-p.ended:
			if len(p.frames) == 0 {
				return 0, p.err
			}
		default:
		}
	}
	return n, nil
}

// take takes a packet if there is one.
func (p *Port) take() (b []byte) {
	if b, p.next = p.next, nil; b != nil {
		return b
	}
	select {
	case b = <-p.frames:
	default:
	}
	return b
}

// Release has nothing to do: the frames are garbage.
func (p *Port) Release(...port.Frame) {}

// Buffer gives an empty frame.
func (p *Port) Buffer() (port.Frame, bool) {
	return port.Frame{Data: make([]byte, 0, p.info.MTU+18)}, true
}

// Transmit writes a packet; Flush says when that has failed.
func (p *Port) Transmit(f port.Frame) {
	if p.outError == nil {
		p.outError = p.out.Write(&pcap.Packet{Time: time.Now().UnixNano(), Data: f.Data, Length: len(f.Data), Link: p.link})
	}
	if p.outError != nil {
		p.count.txError.Add(1)
		return
	}
	p.count.txFrames.Add(1)
	p.count.txBytes.Add(uint64(len(f.Data)))
}

// Flush says whether all packets could be written.
func (p *Port) Flush() error {
	if p.outError != nil {
		return fmt.Errorf("write capture: %w", p.outError)
	}
	return nil
}

// Wait waits for a packet to be read, or Wake.
func (p *Port) Wait(timeout time.Duration) error {
	if p.next != nil {
		return nil
	}
	var after <-chan time.Time
	if timeout >= 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		after = t.C
	}
	select {
	case p.next = <-p.frames:
	case <-p.ended:
	case <-p.wake:
	case <-after:
	}
	return nil
}

// Wake ends a Wait.
func (p *Port) Wake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Stats counts.
func (p *Port) Stats() port.Stats {
	c := &p.count
	return port.Stats{
		RxFrames: c.rxFrames.Load(), RxBytes: c.rxBytes.Load(), RxTooLong: c.rxTooLong.Load(),
		TxFrames: c.txFrames.Load(), TxBytes: c.txBytes.Load(), TxError: c.txError.Load(),
	}
}

// Close closes the capture that is read.
func (p *Port) Close() (err error) {
	p.once.Do(func() {
		close(p.stop)
		err = p.source.Close()
		<-p.ended
	})
	return err
}
