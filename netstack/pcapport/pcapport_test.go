package pcapport

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/netstack/port"
	"github.com/hauberk/hauberk/netstack/port/porttest"
	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/packet/pcap"
)

// TestSuite runs the suite of ports; both captures are pipes, so that one can be written while it is read.
func TestSuite(t *testing.T) {
	porttest.Run(t, func(t *testing.T) porttest.Link {
		in, feed := io.Pipe()
		sent := &bytes.Buffer{}
		writers := make(chan *pcap.Writer, 1)
		go func() {
			w, err := pcap.NewWriter(feed, packet.LinkEthernet, 0, pcap.Format{})
			if err != nil {
				t.Error(err)
			}
			writers <- w
		}()
		p, err := New(1500, in, sent)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		w := <-writers
		var packets *pcap.Reader
		return porttest.Link{
			Port: p,
			Inject: func(t *testing.T, frames ...[]byte) {
				for _, f := range frames {
					if err := w.Write(&pcap.Packet{Data: f, Length: len(f), Link: packet.LinkEthernet}); err != nil {
						t.Fatal(err)
					}
				}
			},
			Collect: func(t *testing.T) [][]byte {
				if packets == nil {
					if packets, err = pcap.NewReader(sent); err != nil {
						t.Fatal(err)
					}
				}
				p, err := packets.Next()
				if err != nil {
					t.Fatal(err)
				}
				return [][]byte{bytes.Clone(p.Data)}
			},
		}
	})
}

// TestEnd reads a capture to its end, and one that is none.
func TestEnd(t *testing.T) {
	var file bytes.Buffer
	w, err := pcap.NewWriter(&file, packet.LinkEthernet, 0, pcap.Format{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(&pcap.Packet{Data: make([]byte, 60), Length: 60, Link: packet.LinkEthernet}); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(&pcap.Packet{Data: make([]byte, 60), Length: 900, Link: packet.LinkEthernet}); err != nil { // Cut.
		t.Fatal(err)
	}
	for _, c := range []struct {
		in     io.Reader
		frames uint64
		want   error
	}{{&file, 1, ErrEnd}, {strings.NewReader("no capture at all, certainly"), 0, port.ErrClosed}} {
		p, err := New(1500, io.NopCloser(c.in), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		rx := make([]port.Frame, 4)
		for err == nil {
			if _, err = p.Receive(rx); err == nil {
				err = p.Wait(time.Minute)
			}
		}
		if !errors.Is(err, c.want) || !errors.Is(err, port.ErrClosed) || p.Stats().RxFrames != c.frames {
			t.Errorf("got %v after %+v", err, p.Stats())
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}
