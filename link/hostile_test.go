package link_test

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/link"
	"github.com/hauberk/hauberk/link/linktest"
)

// listen accepts TLS connections with that certificate and serves each.
func listen(t *testing.T, certificate *tls.Certificate, serve func(net.Conn)) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", link.ServerTLS(func() (*tls.Certificate, error) { return certificate, nil }))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(time.Minute))
			serve(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// impostor is a node that listens as if it were a gateway.
func impostor(t *testing.T, creds *link.Credentials) string {
	return listen(t, &creds.Certificate, func(c net.Conn) { c.(*tls.Conn).Handshake() })
}

// TestHostileGateway sends a client every kind of nonsense: it counts, cuts,
// comes back, and never believes an ack of what it did not send.
func TestHostileGateway(t *testing.T) {
	authority := linktest.NewAuthority(t)
	marshal := func(f *link.Frame) []byte {
		e, err := link.Encode(f)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	welcome := func(w *link.Welcome) []byte { return marshal(&link.Frame{Body: &link.Frame_Welcome{Welcome: w}}) }
	fine := welcome(&link.Welcome{Protocol: 1, Heartbeat: 1000, Credits: []*link.Credit{{Class: bulk, Window: 1 << 20}}})
	for name, bytes := range map[string][]byte{
		"noise":               {0, 0, 0, 3, 0xff, 0xff, 0xff},
		"oversized":           {0xff, 0, 0, 0},
		"no welcome":          marshal(&link.Frame{Body: &link.Frame_Ack{Ack: &link.Ack{}}}),
		"protocol 9":          welcome(&link.Welcome{Protocol: 9}),
		"unknown dictionary":  welcome(&link.Welcome{Protocol: 1, Dictionary: 77}),
		"credit of no class":  welcome(&link.Welcome{Protocol: 1, Credits: []*link.Credit{{Window: 1}}}),
		"ack of nothing sent": append(fine[:len(fine):len(fine)], marshal(&link.Frame{Body: &link.Frame_Ack{Ack: &link.Ack{Class: bulk, Incarnation: 1, Sequence: 1 << 50}}})...),
		"hello from gateway":  append(fine[:len(fine):len(fine)], marshal(linktest.HelloFrame())...),
		"unasked renewal":     append(fine[:len(fine):len(fine)], marshal(&link.Frame{Body: &link.Frame_Renewed{Renewed: &link.Renewed{}}})...),
	} {
		t.Run(name, func(t *testing.T) {
			address := listen(t, authority.Server(t), func(c net.Conn) {
				var header [4]byte
				if _, err := io.ReadFull(c, header[:]); err != nil {
					return
				}
				io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(header[:])))
				c.Write(bytes)
				io.Copy(io.Discard, c)
			})
			n := linktest.NewNode(authority.Node(t, "acme"))
			n.Make(bulk, 10)
			metrics := &obs.Registry{}
			_, stop := start(t, n, metrics, address)
			await(t, "two protocol errors", func() bool { return value(metrics, "hauberk_link_protocol_errors_total", "") >= 2 })
			stop()
			if n.Unacked() != 1 {
				t.Error("the node forgot events nobody has")
			}
		})
	}
}

// TestServerLimits looks at the counters behind what a node is refused for.
func TestServerLimits(t *testing.T) {
	g := linktest.NewGateway(t, linktest.GatewayOptions{Heartbeat: 100 * time.Millisecond})
	cut := func(reason string) uint64 {
		return value(g.Metrics, "hauberk_link_connections_cut_total", "reason="+reason)
	}
	creds := g.Authority.Node(t, "acme")

	p := linktest.Dial(t, g.Address, &creds.Certificate)
	p.Hello(t)
	for f := p.Receive(t); f != nil; f = p.Receive(t) { // says nothing for 2.5 heartbeats
	}
	await(t, "the silent node counted", func() bool { return cut("silent") == 1 })

	g = linktest.NewGateway(t, linktest.GatewayOptions{Authority: g.Authority})
	g.Hold(true)
	p = linktest.Dial(t, g.Address, &creds.Certificate)
	p.Hello(t)
	for i := range 8 { // one after the other within 1 MiB, then beyond
		b := &event.Batch{FirstSequence: uint64(i + 1), Class: bulk, BaseTime: 1, Events: []*event.Event{{Process: &event.Process{Args: make([]byte, 200<<10)}}}}
		p.Send(t, linktest.BatchFrame(t, b, 0))
	}
	p.Refused(t, link.Reason_REASON_PROTOCOL)
	await(t, "the overdraft counted", func() bool { return cut("protocol") == 1 })
	g.Hold(false)
}

// TestStrangersAreBounded opens connections that never say anything.
func TestStrangersAreBounded(t *testing.T) {
	refused := func(g *linktest.Gateway, reason string) uint64 {
		return value(g.Metrics, "hauberk_link_connections_refused_total", "reason="+reason)
	}
	mute := func(g *linktest.Gateway) net.Conn {
		c, err := net.Dial("tcp", g.Address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(time.Minute))
		return c
	}
	closed := func(c net.Conn) {
		t.Helper()
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("the gateway waits for a stranger for a minute")
		}
	}
	g := linktest.NewGateway(t, linktest.GatewayOptions{MaxPending: 2})
	mute(g)
	mute(g)
	closed(mute(g))
	if refused(g, "pending") != 1 {
		t.Error("a third pending connection was not counted as refused")
	}

	g = linktest.NewGateway(t, linktest.GatewayOptions{Patience: 50 * time.Millisecond})
	closed(mute(g)) // never shakes hands
	await(t, "the handshake counted", func() bool { return refused(g, "handshake") == 1 })

	// Long enough for a handshake on a busy machine.
	g = linktest.NewGateway(t, linktest.GatewayOptions{Patience: 2 * time.Second})
	slow := linktest.Dial(t, g.Address, &g.Authority.Node(t, "acme").Certificate)
	slow.Write([]byte{0, 0}) // never ends its first frame
	closed(slow)

	g = linktest.NewGateway(t, linktest.GatewayOptions{Admit: func(netip.AddrPort) bool { return false }})
	closed(mute(g))
	if refused(g, "admission") != 1 {
		t.Error("admission was not counted")
	}
}
