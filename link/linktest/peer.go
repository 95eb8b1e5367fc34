package linktest

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/link"
)

// patience bounds every wait of the suite; it only ends a hang.
const patience = 30 * time.Second

// Peer is a node that speaks the protocol frame by frame and may break it.
type Peer struct {
	*tls.Conn
}

// Dial connects to a gateway as the holder of a TLS certificate, nil for
// none. It does not check who the gateway is.
func Dial(t testing.TB, address string, certificate *tls.Certificate) *Peer {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{link.ALPN}}
	if certificate != nil {
		config.Certificates = []tls.Certificate{*certificate}
	}
	c, err := tls.Dial("tcp", address, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return &Peer{c}
}

// Raw writes a frame of any bytes. A failure shows in Receive.
func (p *Peer) Raw(body []byte) {
	p.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
}

// Send writes a frame.
func (p *Peer) Send(t testing.TB, f *link.Frame) {
	t.Helper()
	body, err := f.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	p.Raw(body)
}

// Receive reads the next frame; nil when the gateway closed.
func (p *Peer) Receive(t testing.TB) *link.Frame {
	t.Helper()
	var header [4]byte
	if _, err := io.ReadFull(p, header[:]); err != nil {
		var timeout interface{ Timeout() bool }
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Fatalf("no frame within %s", patience)
		}
		return nil
	}
	body := make([]byte, binary.BigEndian.Uint32(header[:]))
	if _, err := io.ReadFull(p, body); err != nil {
		return nil
	}
	f, err := link.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Refused reads until the gateway says goodbye, for that reason.
func (p *Peer) Refused(t testing.TB, want link.Reason) {
	t.Helper()
	for f := p.Receive(t); f != nil; f = p.Receive(t) {
		if g := f.GetGoaway(); g != nil {
			if g.Reason != want {
				t.Fatalf("refused for %s (%s), want %s", g.Reason, g.Detail, want)
			}
			return
		}
	}
	t.Fatalf("closed without a goaway, want %s", want)
}

// Hello greets and returns the welcome.
func (p *Peer) Hello(t testing.TB) *link.Welcome {
	t.Helper()
	p.Send(t, HelloFrame())
	f := p.Receive(t)
	if f.GetWelcome() == nil {
		t.Fatalf("no welcome but %v", f)
	}
	return f.GetWelcome()
}

// HelloFrame returns a plain hello.
func HelloFrame() *link.Frame {
	return &link.Frame{Body: &link.Frame_Hello{Hello: &link.Hello{
		Protocol: link.Protocol, Version: "test", Kind: "agent", Incarnation: 1, Host: "test",
		Dictionaries: []uint32{link.Dictionary},
	}}}
}

// BatchFrame returns a frame with a marshalled batch, compressed with that
// dictionary.
func BatchFrame(t testing.TB, b *event.Batch, dictionary uint32) *link.Frame {
	t.Helper()
	raw, err := b.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	c, err := link.NewCompressor(dictionary)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	payload, encoding := c.Compress(raw)
	return &link.Frame{Body: &link.Frame_Batch{Batch: &link.Batch{
		Class: b.Class, Incarnation: max(1, b.Incarnation), FirstSequence: b.FirstSequence, LastSequence: b.LastSequence(),
		Events: uint32(len(b.Events)), Encoding: encoding, Size: uint32(len(raw)), Payload: append([]byte(nil), payload...),
	}}}
}

// Acked reads frames until an Ack reaches that position of the class.
func (p *Peer) Acked(t testing.TB, class event.Class, upTo uint64) {
	t.Helper()
	for {
		f := p.Receive(t)
		if f == nil {
			t.Fatalf("closed before the ack of %d", upTo)
		}
		if g := f.GetGoaway(); g != nil {
			t.Fatalf("cut off (%s %s) before the ack of %d", g.Reason, g.Detail, upTo)
		}
		if a := f.GetAck(); a != nil && a.Class == class && a.Sequence >= upTo {
			if a.Sequence > upTo {
				t.Fatalf("ack of %d, only %d was sent", a.Sequence, upTo)
			}
			return
		}
	}
}
