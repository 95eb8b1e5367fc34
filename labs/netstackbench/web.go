package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/hauberk/hauberk/internal/perf"
	"github.com/hauberk/hauberk/netstack"
	"github.com/hauberk/hauberk/netstack/engine"
	"github.com/hauberk/hauberk/netstack/port"
	"github.com/hauberk/hauberk/packet"
)

// start runs a stack until the returned function is called.
func start(p port.Port, address string) (*netstack.Stack, func(), error) {
	cfg := netstack.DefaultConfig()
	cfg.Engine.Addresses = []netip.Prefix{netip.MustParsePrefix(address)}
	cfg.Engine.MaxConns = 1 << 28
	cfg.Engine.KeepIdle = 0
	s, err := netstack.New(cfg, p)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s, func() { cancel(); <-done }, nil
}

// conns opens a million net.Conn.
func conns(report *perf.Report) error {
	const n = 1_000_000
	held := make([]net.Conn, 0, n)
	before := heap()
	p := newCrowdPort()
	s, stop, err := start(p, "10.0.0.1/8")
	if err != nil {
		return err
	}
	defer stop()
	l, err := s.Listen("tcp", ours.String())
	if err != nil {
		return err
	}
	for len(held) < n {
		s.Do(func(*engine.Stack) {
			for i := range 500 {
				p.in = append(p.in, segment(nil, len(held)+i, 99, 0, packet.SYN, nil))
			}
		})
		p.Wake()
		for range 500 {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			held = append(held, c)
		}
	}
	size := (heap() - before) / n
	report.Add(perf.Figure{Name: "connections open at once, net.Conn", Value: float64(len(held)), Unit: "connections", Target: "1 million", Reached: true})
	report.Add(perf.Figure{
		Name: "memory of an idle connection, net.Conn without its goroutine", Value: size, Unit: "B", Target: "2 KB", Reached: size <= 2048,
		Note: "heap",
	})
	return nil
}

// web runs net/http with a new connection for each request, and with kept ones, on the in-memory link and on loopback:
// client and server in this process, rounds interleaved.
func web(report *perf.Report) error {
	a, b := port.NewLink(1500)
	server, stop, err := start(b, "10.0.0.1/8")
	if err != nil {
		return err
	}
	defer stop()
	client, stopClient, err := start(a, "10.0.0.2/8")
	if err != nil {
		return err
	}
	defer stopClient()
	l, err := server.Listen("tcp", ours.String())
	if err != nil {
		return err
	}
	loopback, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })}
	defer srv.Close()
	for _, l := range []net.Listener{l, loopback} {
		go func() { _ = srv.Serve(l) }() // Ends with Close.
	}
	for _, kept := range []bool{false, true} {
		stack := &http.Transport{DialContext: client.DialContext, DisableKeepAlives: !kept}
		kernel := &http.Transport{DisableKeepAlives: !kept}
		var ours, theirs []float64
		for range 7 {
			for _, r := range []struct {
				t    *http.Transport
				addr string
				out  *[]float64
			}{{stack, l.Addr().String(), &ours}, {kernel, loopback.Addr().String(), &theirs}} {
				rate, err := requests(r.t, r.addr)
				if err != nil {
					return err
				}
				*r.out = append(*r.out, rate)
			}
		}
		name := "new connection for each request"
		if kept {
			name = "kept connection"
		}
		v, p := perf.Median(ours), perf.Median(theirs)
		report.Add(perf.Figure{
			Name: "net/http unchanged, client and server on the stack, " + name, Value: v, Unit: "requests/s", Peer: "kernel loopback", PeerValue: p,
			Target: "faster than loopback", Reached: v > p, Note: "in-memory link, one process, both cores",
		})
	}
	return nil
}

// requests asks for a fifth of a second, one after the other.
func requests(t *http.Transport, addr string) (float64, error) {
	defer t.CloseIdleConnections()
	c := &http.Client{Transport: t}
	n, begin := 0, time.Now()
	for time.Since(begin) < 200*time.Millisecond {
		resp, err := c.Get("http://" + addr + "/")
		if err != nil {
			return 0, err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil {
			return 0, err
		}
		n++
	}
	return float64(n) / time.Since(begin).Seconds(), nil
}
