package nic_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/netip"

	"github.com/miekg/dns"

	"github.com/hauberk/hauberk/netstack"
	"github.com/hauberk/hauberk/netstack/engine"
	"github.com/hauberk/hauberk/netstack/nic"
)

// on is an interface, and the configuration of a stack with an address on it.
func on(name, address string) (netstack.Config, netstack.Queues) {
	cfg := netstack.DefaultConfig()
	cfg.Engine.Addresses = []netip.Prefix{netip.MustParsePrefix(address)}
	c := nic.DefaultConfig()
	c.Interface = name
	q, err := nic.Queues(c, &cfg)
	if err != nil {
		log.Fatal(err)
	}
	return cfg, q
}

// A web server on every queue of eth1.
func ExampleQueues() {
	cfg, queues := on("eth1", "192.0.2.2/24")
	log.Fatal(netstack.Run(context.Background(), cfg, queues, func(ctx context.Context, s *netstack.Stack) error {
		l, err := s.Listen("tcp", ":80") // Was net.Listen.
		if err != nil {
			return err
		}
		return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello") }))
	}))
}

// A DNS server that anybody could have written for the kernel.
func ExampleQueues_dns() {
	cfg, queues := on("eth1", "192.0.2.2/24")
	log.Fatal(netstack.Run(context.Background(), cfg, queues, func(ctx context.Context, s *netstack.Stack) error {
		c, err := s.ListenPacket("udp", ":53") // Was net.ListenPacket.
		if err != nil {
			return err
		}
		server := dns.Server{PacketConn: c, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			if err := w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeNameError)); err != nil {
				log.Print(err)
			}
		})}
		return server.ActivateAndServe()
	}))
}

// echoes answers each datagram in the loop of the stack, without a copy of its own or an allocation.
type echoes struct{}

func (echoes) Datagram(s *engine.Stack, local, remote netip.AddrPort, b []byte) {
	if err := s.SendTo(local, remote, b); err != nil {
		log.Print(err)
	}
}

// UDP echo by callback.
func ExampleQueues_echo() {
	cfg, queues := on("eth1", "192.0.2.2/24")
	log.Fatal(netstack.Run(context.Background(), cfg, queues, func(ctx context.Context, s *netstack.Stack) (err error) {
		s.Do(func(e *engine.Stack) { _, err = e.Bind(netip.MustParseAddrPort("192.0.2.2:7"), echoes{}) })
		<-ctx.Done()
		return err
	}))
}
