package main

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/hauberk/hauberk/netstack/engine"
	"github.com/hauberk/hauberk/netstack/port"
	"github.com/hauberk/hauberk/packet"
)

var be = binary.BigEndian

// ours is the address of the stack that is measured.
var ours = netip.MustParseAddrPort("10.0.0.1:80")

// config is the default, for packets without a link header: what is measured is IP and TCP.
func config() engine.Config {
	c := engine.DefaultConfig()
	c.L3, c.Seed = true, [16]byte{1}
	c.Addresses = []netip.Prefix{netip.PrefixFrom(ours.Addr(), 8)}
	return c
}

// segment builds a segment from the client of a number to the stack.
func segment(b []byte, client int, seq, ack uint32, flags packet.Flags, data []byte) []byte {
	b = append(b[:0], 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, byte(client>>16)+1, byte(client>>8), byte(client), 10, 0, 0, 1)
	b = be.AppendUint16(b, uint16(1024+client>>22))
	b = be.AppendUint16(b, ours.Port())
	b = be.AppendUint32(b, seq)
	b = be.AppendUint32(b, ack)
	b = append(b, 0x50, byte(flags), 0xff, 0xff, 0, 0, 0, 0)
	b = append(b, data...)
	be.PutUint16(b[2:], uint16(len(b)))
	be.PutUint16(b[10:], packet.Checksum(b[:20]))
	be.PutUint16(b[36:], packet.Pseudo(b[12:16], b[16:20], 6, len(b)-20).Add(b[20:]).Checksum())
	return b
}

// output keeps what a stack sends until take.
type output struct {
	free [][]byte
	sent [][]byte
}

func (o *output) Buffer() (port.Frame, bool) {
	if n := len(o.free); n > 0 {
		b := o.free[n-1]
		o.free = o.free[:n-1]
		return port.Frame{Data: b}, true
	}
	return port.Frame{Data: make([]byte, 0, 2048)}, true
}

func (o *output) Transmit(f port.Frame) { o.sent = append(o.sent, f.Data) }

func (o *output) Release(frames ...port.Frame) {
	for _, f := range frames {
		o.free = append(o.free, f.Data[:0])
	}
}

// recycle takes back what was sent.
func (o *output) recycle() {
	for _, b := range o.sent {
		o.free = append(o.free, b[:0])
	}
	o.sent = o.sent[:0]
}

// crowd is any number of clients without state: each segment is answered from what it says.
type crowd struct {
	output
	give     func([]byte) // Takes an answer.
	rng      *rand.Rand
	loss     float64
	buf      []byte
	received int // Bytes that arrived.
}

// answer gives the crowd's answers to all that it has sent.
func (c *crowd) answer() {
	for len(c.sent) > 0 {
		batch := c.sent
		c.sent = nil
		for _, b := range batch {
			if c.loss == 0 || c.rng.Float64() >= c.loss {
				c.reply(b)
			}
			c.free = append(c.free, b[:0])
		}
		if c.sent == nil {
			c.sent = batch[:0]
		}
	}
}

func (c *crowd) reply(b []byte) {
	t := packet.TCP(b[20:])
	client := int(b[17]-1)<<16 | int(b[18])<<8 | int(b[19]) | int(t.DstPort()-1024)<<22
	n := uint32(len(t.Payload()))
	c.received += int(n)
	if t.Flags().Has(packet.SYN) {
		n++
	} else if n == 0 && !probe(t) {
		return
	}
	c.buf = segment(c.buf, client, uint32(t.Ack()), uint32(t.Seq())+n, packet.ACK, nil)
	c.give(c.buf)
}

// probe says whether a segment without data asks for an acknowledgement; all that the stack sends here do.
func probe(t packet.TCP) bool { return t.Flags() == packet.ACK }

// crowdPort is a port with a crowd at its other end.
type crowdPort struct {
	crowd
	in   [][]byte
	wake chan struct{}
}

func newCrowdPort() *crowdPort {
	p := &crowdPort{wake: make(chan struct{}, 1)}
	p.give = func(b []byte) { p.in = append(p.in, append([]byte(nil), b...)) }
	return p
}

func (p *crowdPort) Info() port.Info { return port.Info{Name: "crowd", MTU: 1500, L3: true} }
func (p *crowdPort) Receive(rx []port.Frame) (int, error) {
	n := min(len(rx), len(p.in))
	for i := range n {
		rx[i] = port.Frame{Data: p.in[i]}
	}
	p.in = p.in[n:]
	return n, nil
}
func (p *crowdPort) Release(...port.Frame) {} // Received frames are the collector's.
func (p *crowdPort) Flush() error {
	p.answer()
	return nil
}
func (p *crowdPort) Wait(timeout time.Duration) error {
	if len(p.in) > 0 {
		return nil
	}
	select {
	case <-p.wake:
	case <-time.After(timeout):
	}
	return nil
}
func (p *crowdPort) Wake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}
func (p *crowdPort) Stats() port.Stats { return port.Stats{} }
func (p *crowdPort) Close() error      { return nil }
