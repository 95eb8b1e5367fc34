package link_test

import (
	"testing"

	"github.com/hauberk/hauberk/link"
	"github.com/hauberk/hauberk/link/linktest"
)

func TestServerConforms(t *testing.T) {
	g := linktest.NewGateway(t, linktest.GatewayOptions{})
	linktest.Run(t, linktest.Subject{
		Address:  g.Address,
		NewToken: func(testing.TB) link.Token { return g.NewToken() },
	})
}
