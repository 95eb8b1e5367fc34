package afpacket

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/hauberk/hauberk/netstack/filter"
	"github.com/hauberk/hauberk/netstack/port"
	"github.com/hauberk/hauberk/netstack/port/porttest"
)

func open(t *testing.T, take string) *Port {
	t.Helper()
	p, err := Open(Config{Interface: "near", Rules: filter.Rules{Take: []netip.Prefix{netip.MustParsePrefix(take)}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// TestSuite runs the suite of ports.
func TestSuite(t *testing.T) {
	porttest.InNamespace(t, func(t *testing.T) {
		for _, mtu := range []string{"1500", "9000"} {
			t.Run(mtu, func(t *testing.T) {
				porttest.Run(t, func(t *testing.T) porttest.Link {
					l := porttest.Veth(t, "near", "far", mtu)
					l.Port = open(t, "192.0.2.2/32")
					return l
				})
			})
		}
	})
}

// TestSilentKernel asks for a port nobody has: as long as the port is open the kernel, which would forward the question
// and answer that the host is unreachable, is kept from it.
func TestSilentKernel(t *testing.T) {
	porttest.InNamespace(t, func(t *testing.T) {
		l := porttest.Veth(t, "near", "far", "1500")
		p := open(t, "192.0.2.2/32")
		l.Inject(t, porttest.Packet(p.Info(), 1, 64))
		rx := make([]port.Frame, 1)
		for n := 0; n == 0; {
			var err error
			if n, err = p.Receive(rx); err != nil {
				t.Fatal(err)
			}
			if err := p.Wait(time.Second); err != nil {
				t.Fatal(err)
			}
			p.Wake()
		}
		p.Release(rx...)
		if c, err := p.Filter().Counts(); err != nil || c.Ours != 1 {
			t.Errorf("withheld from the kernel: %+v %v", c, err)
		}
	})
}

// TestVanish takes the interface away while a port waits.
func TestVanish(t *testing.T) {
	porttest.InNamespace(t, func(t *testing.T) {
		porttest.Veth(t, "near", "far", "1500")
		p := open(t, "192.0.2.2/32")
		done := make(chan error, 1)
		go func() {
			for {
				if err := p.Wait(-1); err != nil {
					done <- err
					return
				}
				if _, err := p.Receive(make([]port.Frame, 1)); err != nil {
					done <- err
					return
				}
			}
		}()
		porttest.Command(t, "ip link del far")
		if err := <-done; !errors.Is(err, port.ErrClosed) {
			t.Fatal(err)
		}
	})
}

func TestNowhere(t *testing.T) {
	var op *net.OpError
	if _, err := Open(Config{Interface: "nowhere0"}); !errors.As(err, &op) {
		t.Errorf("open: %v", err)
	}
	if _, err := Open(Config{Interface: "lo"}); err == nil || errors.Is(err, syscall.EPERM) {
		t.Error(fmt.Errorf("lo: %w", err))
	}
}
