package control_test

import (
	"testing"

	"github.com/hauberk/hauberk/link"
	"github.com/hauberk/hauberk/link/linktest"
)

func TestGatewayConforms(t *testing.T) {
	c := newCentre(t)
	r := c.gateway(nil)
	linktest.Run(t, linktest.Subject{
		Address:  r.Address,
		NewToken: func(testing.TB) link.Token { return c.token(nil) },
	})
	if r.count("hauberk_control_enrolments_refused_total", "reason=spent") == 0 {
		t.Error("the second use of a token was not counted")
	}
	if r.count("hauberk_link_connections_cut_total", "reason=protocol") == 0 || r.count("hauberk_link_connections_refused_total", "reason=certificate") == 0 {
		t.Error("broken frames or foreign certificates were not counted")
	}
}
