package link_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/link"
	"github.com/hauberk/hauberk/link/linktest"
)

// eager sends to a node while it decides whether to accept it.
type eager struct{ refuse bool }

func (eager) Enrol(context.Context, netip.AddrPort, *link.EnrolRequest) (*link.Enrolled, error) {
	return nil, errors.New("nobody enrols here")
}

func (eager) Renew(context.Context, link.Identity, *x509.Certificate, *link.RenewRequest) (*link.Renewed, error) {
	return nil, errors.New("nobody renews here")
}

func (e eager) Accept(_ context.Context, c *link.Conn, _ *link.Hello) (*link.Welcome, link.Node, error) {
	c.SendMode(&fleet.SignedMode{Mode: []byte("m")})
	c.SendCommand(&fleet.SignedCommand{Command: []byte("c")})
	if e.refuse {
		return nil, nil, &link.Refusal{Reason: link.Reason_REASON_UNAUTHORIZED}
	}
	return &link.Welcome{}, quiet{}, nil
}

type quiet struct{}

func (quiet) Batch(*link.Inbound)             {}
func (quiet) Status(*link.Status)             {}
func (quiet) ConfigResult(*link.ConfigResult) {}
func (quiet) Result(*fleet.CommandResult)     {}
func (quiet) Closed(error)                    {}

// TestWelcomeComesFirst sends before the decision; the node sees it after the
// Welcome, and not at all if it is refused.
func TestWelcomeComesFirst(t *testing.T) {
	authority := linktest.NewAuthority(t)
	certificate := authority.Server(t)
	for _, refuse := range []bool{false, true} {
		s, err := link.NewServer(link.ServerConfig{
			TLS:   link.ServerTLS(func() (*tls.Certificate, error) { return certificate, nil }),
			Roots: authority.Pool,
		}, eager{refuse})
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(ctx, l) }()
		p := linktest.Dial(t, l.Addr().String(), &authority.Node(t, "acme").Certificate)
		p.Send(t, linktest.HelloFrame())
		if refuse {
			if f := p.Receive(t); f.GetGoaway() == nil {
				t.Errorf("refused node got %v first", f)
			}
		} else {
			if f := p.Receive(t); f.GetWelcome() == nil {
				t.Errorf("first frame: %v", f)
			}
			if f := p.Receive(t); string(f.GetMode().GetMode()) != "m" {
				t.Errorf("second frame: %v", f)
			}
			if f := p.Receive(t); string(f.GetCommand().GetCommand()) != "c" {
				t.Errorf("third frame: %v", f)
			}
		}
		p.Close()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
