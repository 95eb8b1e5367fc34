package main

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/hauberk/hauberk/internal/perf"
	"github.com/hauberk/hauberk/netstack/engine"
	"github.com/hauberk/hauberk/netstack/port"
	"github.com/hauberk/hauberk/packet"
)

// keeper knows its connections.
type keeper struct {
	ids  []engine.ID
	gone int
}

func (k *keeper) Opened(_ *engine.Stack, id engine.ID)            { k.ids = append(k.ids, id) }
func (k *keeper) Data(_ *engine.Stack, _ engine.ID, p []byte) int { return len(p) }
func (k *keeper) EOF(*engine.Stack, engine.ID)                    {}
func (k *keeper) Writable(*engine.Stack, engine.ID)               {}
func (k *keeper) Closed(_ *engine.Stack, _ engine.ID, err error)  { k.gone++ }

// heap is what is reachable, in bytes.
func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// many opens n connections at once, then pushes from the server at random at 1 % loss, and waits for keep-alive.
func many(report *perf.Report, n int) error {
	k := &keeper{ids: make([]engine.ID, 0, n)}
	now := int64(1)
	c := &crowd{rng: rand.New(rand.NewPCG(1, 1))}
	cfg := config()
	cfg.MaxConns, cfg.KeepIdle = 1<<28, 60_000_000_000
	before := heap()
	s, err := engine.New(cfg, c, now)
	if err != nil {
		return err
	}
	c.give = func(b []byte) { s.Input(now, port.Frame{Data: b}) }
	if _, err := s.Listen(ours, k); err != nil {
		return err
	}
	start := time.Now()
	for i := range n {
		now += 1000
		c.buf = segment(c.buf, i, 99, 0, packet.SYN, nil)
		s.Input(now, port.Frame{Data: c.buf})
		c.answer()
	}
	if len(k.ids) != n {
		return fmt.Errorf("open connections: %d of %d: %+v", len(k.ids), n, s.Count)
	}
	each := float64(time.Since(start).Nanoseconds()) / float64(n)
	size := (heap() - before) / float64(n)
	report.Add(perf.Figure{
		Name: "connections open at once, callback API", Value: float64(n), Unit: "connections", Target: "10 million", Reached: n >= 10_000_000,
		Note: fmt.Sprintf("each opened in %.0f ns, the peer's work included", each),
	})
	kernel, err := kernelMemory()
	if err != nil {
		return err
	}
	report.Add(perf.Figure{
		Name: "memory of an idle connection, callback API", Value: size, Unit: "B", Peer: "kernel, one end of loopback", PeerValue: kernel,
		Target: "400 B", Reached: size <= 400, Note: "heap, with its place in the table and its timers",
	})
	return pushes(report, s, c, k, now)
}

// pushes writes to 10,000 random connections a second for ten seconds of virtual time while 1 % of our segments are lost,
// and sees to it that every byte arrives; then it lets keep-alive go round.
func pushes(report *perf.Report, s *engine.Stack, c *crowd, k *keeper, now int64) error {
	const rate, seconds = 10_000, 10
	message := []byte("something has happened, look")
	c.received, c.loss = 0, 0.01
	c.give = func(b []byte) { s.Input(now, port.Frame{Data: b}) }
	start := time.Now()
	for range rate * seconds {
		now += 1_000_000_000 / rate
		s.Advance(now)
		if _, err := s.Write(k.ids[c.rng.IntN(len(k.ids))], message); err != nil {
			return fmt.Errorf("push: %w", err)
		}
		c.answer()
	}
	for end := now + 5_000_000_000; now < end; {
		now = max(now, min(s.Next(), end))
		s.Advance(now)
		c.answer()
	}
	late := 0
	s.Each(func(i engine.Info) bool {
		if i.SendQueue > 0 {
			late++
		}
		return true
	})
	busy := float64(time.Since(start).Milliseconds())
	report.Add(perf.Figure{
		Name: "server-first pushes that did not arrive at 1 % loss", Value: float64(late), Unit: "of 100,000", Target: "0", Reached: late == 0 && k.gone == 0,
		Note: fmt.Sprintf("10,000 random connections a second for 10 s; %d were sent again; %.0f ms of compute", s.Count.Retransmits, busy),
	})
	c.loss = 0
	sent := s.Count.KeepSent
	// All connections were silent for a minute at the latest a minute after the last push.
	for end := now + 130_000_000_000; now < end; {
		now = max(now, min(s.Next(), end))
		s.Advance(now)
		c.answer()
	}
	rounds := float64(s.Count.KeepSent-sent) / float64(len(k.ids))
	report.Add(perf.Figure{
		Name: "keep-alive probes of a connection in 130 s of virtual time, one due each 60 s", Value: rounds, Unit: "probes", Target: "2 of each, none lost",
		Reached: rounds >= 1.9 && rounds <= 2.2 && k.gone == 0,
	})
	return nil
}
