package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/decoy"
	"github.com/hauberk/hauberk/netstack"
	"github.com/hauberk/hauberk/netstack/engine"
	"github.com/hauberk/hauberk/netstack/nic"
)

const zone = "@ 60 IN SOA ns h 1 3600 600 86400 300\n@ 60 IN NS ns\nns 60 IN A 10.9.0.2\nwww 60 IN A 192.0.2.80\n"

// serve is a server that is measured, until it is killed.
func serve(name string) error {
	switch name {
	case "echo-kernel", "dns-miekg-kernel":
		c, err := net.ListenPacket("udp4", "10.9.0.2:53")
		if err != nil {
			return err
		}
		if name == "echo-kernel" {
			return echoSocket(c.(*net.UDPConn))
		}
		return answer(c)
	case "dns-nsd":
		return nsd()
	case "dns-decoy":
		return responder()
	}
	cfg := netstack.DefaultConfig()
	cfg.Engine.Addresses = []netip.Prefix{netip.MustParsePrefix("10.9.0.2/24")}
	open := nic.DefaultConfig()
	open.Interface, open.Driver = "near", nic.Native
	queues, err := nic.Queues(open, &cfg)
	if err != nil {
		return err
	}
	return netstack.Run(context.Background(), cfg, queues, func(ctx context.Context, s *netstack.Stack) error {
		if name == "echo-callback" {
			var err error
			s.Do(func(e *engine.Stack) { _, err = e.Bind(netip.MustParseAddrPort("10.9.0.2:53"), echo{}) })
			if err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		}
		c, err := s.ListenPacket("udp4", "10.9.0.2:53")
		if err != nil {
			return err
		}
		if name == "dns-miekg-stack" {
			return answer(c)
		}
		return echoPackets(c)
	})
}

// echo answers in the loop of the stack.
type echo struct{}

func (echo) Datagram(s *engine.Stack, local, remote netip.AddrPort, b []byte) {
	_ = s.SendTo(local, remote, b) // Lost as on any network.
}

func echoSocket(c *net.UDPConn) error {
	for b := make([]byte, 2048); ; {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			return err
		}
		if _, err := c.WriteToUDPAddrPort(b[:n], from); err != nil {
			return err
		}
	}
}

func echoPackets(c *netstack.PacketConn) error {
	for b := make([]byte, 2048); ; {
		n, local, remote, err := c.ReadMsg(b)
		if err != nil {
			return err
		}
		if err := c.WriteMsg(b[:n], local.Addr(), remote); err != nil {
			return err
		}
	}
}

// answer serves with miekg/dns.
func answer(c net.PacketConn) error {
	rr, err := dns.NewRR("www.decoy.test. 60 IN A 192.0.2.80")
	if err != nil {
		return err
	}
	return (&dns.Server{PacketConn: c, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		m.Authoritative = true
		m.Answer = append(m.Answer, rr)
		_ = w.WriteMsg(m) // Lost as on any network.
	})}).ActivateAndServe()
}

// files makes a folder with the zone.
func files() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "netwirebench"); err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "zone"), []byte(zone), 0o600)
}

// responder is the decoy, without traps and without a limit of rate.
func responder() error {
	dir, err := files()
	if err != nil {
		return err
	}
	cfg := decoy.DefaultConfig()
	cfg.Interface, cfg.Driver, cfg.Queues, cfg.Socket = "near", nic.Native, 1, ""
	cfg.Addresses = []netip.Prefix{netip.MustParsePrefix("10.9.0.2/24")}
	cfg.Events.File = filepath.Join(dir, "events")
	cfg.DNS = decoy.DNS{Zones: []decoy.Zone{{Name: "decoy.test", File: filepath.Join(dir, "zone")}}}
	d, err := decoy.New(cfg, decoy.Deps{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	return d.Run(context.Background())
}

// nsd runs NSD with one server and no limit of rate, in the foreground.
func nsd() error {
	dir, err := files()
	if err != nil {
		return err
	}
	text := fmt.Sprintf(`server:
  ip-address: 10.9.0.2
  server-count: 1
  username: ""
  chroot: ""
  zonesdir: %[1]q
  database: ""
  zonelistfile: "%[1]s/list"
  xfrdfile: "%[1]s/xfrd"
  xfrdir: %[1]q
  pidfile: "%[1]s/pid"
  logfile: "%[1]s/log"
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: decoy.test
  zonefile: zone
`, dir)
	file := filepath.Join(dir, "nsd.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	path, err := exec.LookPath("nsd")
	if err != nil {
		return err
	}
	return replace(path, "nsd", "-d", "-c", file)
}

// replace makes this process a program, so that it is killed with it.
func replace(path string, args ...string) error { return unix.Exec(path, args, os.Environ()) }
