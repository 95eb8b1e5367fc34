// Package porttest is the suite that every driver of port.Port passes.
package porttest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/hauberk/hauberk/netstack/port"
)

// Link is a port under test and what is at the other end of its cable.
type Link struct {
	Port port.Port
	// Inject sends packets from the other end to the port.
	Inject func(t *testing.T, packets ...[]byte)
	// Collect gives packets that the port sent and the other end received, at least one of them, waiting as needed.
	Collect func(t *testing.T) [][]byte
}

// patience bounds every wait of the suite; nothing is measured with it.
const patience = 10 * time.Second

// Packet makes a frame fit for the port: a UDP packet of IPv4 with n bytes of payload, and the number in it.
func Packet(info port.Info, number uint32, n int) []byte {
	var p []byte
	if !info.L3 {
		p = append(p, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 9, 9, 8, 0)
	}
	p = append(p, 0x45, 0, 0, 0, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2)
	ip := p[len(p)-20:]
	binary.BigEndian.PutUint16(ip[2:], uint16(28+n))
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum+sum>>16))
	p = append(p, 0x30, 0x39, 0x30, 0x3a, 0, 0, 0, 0)
	binary.BigEndian.PutUint16(p[len(p)-4:], uint16(8+n))
	start := len(p)
	p = append(p, make([]byte, n)...)
	binary.BigEndian.PutUint32(p[start:], number)
	return p
}

// Run runs the suite; open makes a fresh link for each test.
func Run(t *testing.T, open func(t *testing.T) Link) {
	t.Run("Info", func(t *testing.T) {
		info := open(t).Port.Info()
		if info.Name == "" || info.MTU < 576 || info.MTU > 65535 {
			t.Fatalf("info %+v", info)
		}
		if !info.L3 && len(info.MAC) != 6 {
			t.Fatalf("an Ethernet port with address %v", info.MAC)
		}
	})
	t.Run("Receive", func(t *testing.T) { receive(t, open(t)) })
	t.Run("Transmit", func(t *testing.T) { transmit(t, open(t)) })
	t.Run("ReplyInPlace", func(t *testing.T) { reply(t, open(t)) })
	t.Run("NoLeak", func(t *testing.T) { noLeak(t, open(t)) })
	t.Run("Wake", func(t *testing.T) {
		l := open(t)
		l.Port.Wake()
		if err := l.Port.Wait(patience); err != nil {
			t.Fatal(err)
		}
		if err := l.Port.Wait(0); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("Close", func(t *testing.T) {
		l := open(t)
		if err := l.Port.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Port.Receive(make([]port.Frame, 1)); !errors.Is(err, port.ErrClosed) {
			t.Fatalf("receive after close: %v", err)
		}
	})
}

// take receives until it has the packets numbered 0 to n-1 of its own, in order, and hands each to use.
func take(t *testing.T, p port.Port, n int, use func(port.Frame)) {
	t.Helper()
	rx := make([]port.Frame, 8)
	for next, end := 0, time.Now().Add(patience); next < n; {
		got, err := p.Receive(rx)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range rx[:got] {
			if !bytes.HasPrefix(payload(p.Info(), f.Data), binary.BigEndian.AppendUint32(nil, uint32(next))) {
				p.Release(f) // Somebody else's: a kernel at the other end speaks of its own accord.
				continue
			}
			next++
			use(f)
		}
		if got == 0 {
			if time.Now().After(end) {
				t.Fatalf("received %d of %d", next, n)
			}
			if err := p.Wait(time.Second); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// payload finds the payload of the suite's packets in a frame, or nil.
func payload(info port.Info, b []byte) []byte {
	if !info.L3 {
		if len(b) < 14 {
			return nil
		}
		b = b[14:]
	}
	if len(b) < 28 || b[0] != 0x45 || b[9] != 17 {
		return nil
	}
	return b[28:]
}

func receive(t *testing.T, l Link) {
	const n = 100
	sizes := []int{18, 64, 512, l.Port.Info().MTU - 28}
	var sent [][]byte
	for i := range n {
		sent = append(sent, Packet(l.Port.Info(), uint32(i), sizes[i%len(sizes)]))
	}
	l.Inject(t, sent...)
	i := 0
	take(t, l.Port, n, func(f port.Frame) {
		if !bytes.Equal(f.Data, sent[i]) {
			t.Fatalf("frame %d: got %x, want %x", i, f.Data, sent[i])
		}
		i++
		l.Port.Release(f)
	})
	if s := l.Port.Stats(); s.RxFrames < n {
		t.Errorf("received %d frames by its own count", s.RxFrames)
	}
}

// build copies a packet into a buffer of the port.
func build(t *testing.T, p port.Port, packet []byte) port.Frame {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		f, ok := p.Buffer()
		if ok {
			f.Data = append(f.Data, packet...)
			return f
		}
		if time.Now().After(end) {
			t.Fatal("no buffer")
		}
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
	}
}

// expect collects until the packets numbered 0 to n-1 came.
func expect(t *testing.T, l Link, want [][]byte) {
	t.Helper()
	for i := 0; i < len(want); {
		for _, p := range l.Collect(t) {
			if i < len(want) && bytes.Equal(p, want[i]) {
				i++
			}
		}
	}
}

func transmit(t *testing.T, l Link) {
	var want [][]byte
	for i := range 64 {
		want = append(want, Packet(l.Port.Info(), uint32(i), 18+i*8))
		l.Port.Transmit(build(t, l.Port, want[i]))
	}
	if err := l.Port.Flush(); err != nil {
		t.Fatal(err)
	}
	expect(t, l, want)
	if s := l.Port.Stats(); s.TxFrames < 64 {
		t.Errorf("sent %d frames by its own count", s.TxFrames)
	}
}

func reply(t *testing.T, l Link) {
	l.Inject(t, Packet(l.Port.Info(), 0, 100))
	want := Packet(l.Port.Info(), 7, 100)
	take(t, l.Port, 1, func(f port.Frame) {
		f.Data = append(f.Data[:0], want...)
		l.Port.Transmit(f)
	})
	if err := l.Port.Flush(); err != nil {
		t.Fatal(err)
	}
	expect(t, l, [][]byte{want})
}

// noLeak moves far more frames than any port has buffers.
func noLeak(t *testing.T, l Link) {
	const rounds, batch = 400, 32
	for range rounds {
		var in [][]byte
		for i := range batch {
			in = append(in, Packet(l.Port.Info(), uint32(i), 64))
		}
		l.Inject(t, in...)
		n := 0
		take(t, l.Port, batch, func(f port.Frame) {
			if n++; n%2 == 0 {
				l.Port.Release(f)
				return
			}
			l.Port.Transmit(f)
			spare := build(t, l.Port, in[0])
			l.Port.Release(spare)
		})
		if err := l.Port.Flush(); err != nil {
			t.Fatal(err)
		}
		expect(t, l, in[:1])
	}
}
