package netstack

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hauberk/hauberk/netstack/port"
	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/packet/pcap"
)

// tap is a port that copies what passes to a capture, when there is one.
type tap struct {
	port.Port
	capture atomic.Pointer[capture]
}

// capture writes packets to a pcap file until an error.
type capture struct {
	mu   sync.Mutex
	w    *pcap.Writer
	link packet.LinkType
	snap int
	err  error
}

func (t *tap) Receive(rx []port.Frame) (int, error) {
	n, err := t.Port.Receive(rx)
	if c := t.capture.Load(); c != nil {
		for _, f := range rx[:n] {
			c.write(f.Data)
		}
	}
	return n, err
}

func (t *tap) Transmit(f port.Frame) {
	if c := t.capture.Load(); c != nil {
		c.write(f.Data)
	}
	t.Port.Transmit(f)
}

func (c *capture) write(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = c.w.Write(&pcap.Packet{Time: time.Now().UnixNano(), Data: b[:min(len(b), c.snap)], Length: len(b), Link: c.link})
	}
}

// Capture copies every frame received and sent, up to snap bytes of each, to w as a pcap file, until stop is called, which
// says what went wrong with w. The kernel's tcpdump does not see what a Stack does. One capture runs at a time; a new one
// takes the place of the old.
func (s *Stack) Capture(w io.Writer, snap int) (stop func() error, err error) {
	link := packet.LinkEthernet
	if s.port.Info().L3 {
		link = packet.LinkRaw
	}
	file, err := pcap.NewWriter(w, link, snap, pcap.Format{})
	if err != nil {
		return nil, err
	}
	c := &capture{w: file, link: link, snap: snap}
	s.port.capture.Store(c)
	return func() error {
		s.port.capture.CompareAndSwap(c, nil)
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.err
	}, nil
}
