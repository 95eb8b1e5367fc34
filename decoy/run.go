package decoy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/hauberk/hauberk/decoy/internal/dns"
	"github.com/hauberk/hauberk/decoy/internal/trap"
	"github.com/hauberk/hauberk/internal/run"
	"github.com/hauberk/hauberk/internal/sock"
	"github.com/hauberk/hauberk/netstack"
	"github.com/hauberk/hauberk/netstack/engine"
	"github.com/hauberk/hauberk/netstack/nic"
)

// Run answers until ctx ends. The pipeline: the stack's loop moves frames and answers datagrams, sequentially; each connection
// is a session in a goroutine of its own, in parallel; the journal writes sessions, sequentially.
// With several queues each is a process of its own with a journal of its own.
func (d *Decoy) Run(ctx context.Context) error {
	stack, open := d.cfg.stack(), d.cfg.nic()
	open.Log = d.log
	queues, err := nic.Queues(open, &stack)
	if err != nil {
		return err
	}
	return netstack.Run(ctx, stack, queues, d.serve)
}

// numbered is a path of this process: that of the configuration for queue 0, with the queue's number for others.
func numbered(path string) string {
	if q := netstack.Queue(); q > 0 {
		return fmt.Sprint(path, ".queue", q)
	}
	return path
}

// serve answers on one queue.
func (d *Decoy) serve(ctx context.Context, s *netstack.Stack) error {
	journal, err := openJournal(numbered(d.cfg.Events.File), d.cfg.Events.Size, d.sink, d.log)
	if err != nil {
		return err
	}
	l := d.cfg.Limits
	t, err := trap.New(trap.Limits{Sessions: l.Sessions, PerSource: l.PerSource, Time: l.Time, Bytes: l.Bytes, Keep: l.Transcript}, journal.report)
	if err != nil {
		return err
	}
	if d.cfg.Capture != "" {
		stop, err := capture(s, numbered(d.cfg.Capture))
		if err != nil {
			return err
		}
		defer stop()
	}
	group, _ := run.NewGroup(ctx)
	over := make(chan struct{}) // No session is left to be told.
	group.Go("write events", func(context.Context) error { return journal.run(over) })
	group.Go("serve", func(ctx context.Context) error {
		defer close(over)
		all, err := d.open(ctx, group, s, t, journal)
		if err != nil {
			return err
		}
		d.log.Info("decoy answers", "interface", d.cfg.Interface, "queue", netstack.Queue(), "traps", len(d.cfg.Traps))
		return t.Serve(ctx, all)
	})
	return group.Wait()
}

// open opens all doors, and gives that of the traps.
func (d *Decoy) open(ctx context.Context, group *run.Group, s *netstack.Stack, t *trap.Trap, j *journal) (net.Listener, error) {
	if d.zones.Len() > 0 {
		if err := d.names(group, s); err != nil {
			return nil, err
		}
	}
	if d.cfg.Socket != "" {
		u, err := sock.Listen(ctx, numbered(d.cfg.Socket))
		if err != nil {
			return nil, err
		}
		group.Go("serve views", func(ctx context.Context) error { return views(ctx, u, s, t, j) })
	}
	s.Do(func(e *engine.Stack) { e.BindAll(datagrams{t}) })
	return s.ListenAll()
}

// capture writes what passes to a file.
func capture(s *netstack.Stack, path string) (stop func(), err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open capture: %w", err)
	}
	w := bufio.NewWriter(file)
	end, err := s.Capture(w, 256)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() {
		_ = errors.Join(end(), w.Flush(), file.Close()) // The decoy ends; a capture cut short says so by itself.
	}, nil
}

// names serves the zones on port 53 of the decoy's own addresses.
func (d *Decoy) names(group *run.Group, s *netstack.Stack) error {
	responder := dns.NewResponder(d.zones, d.cfg.DNS.Rate)
	for _, a := range d.cfg.Addresses {
		at := netip.AddrPortFrom(a.Addr(), 53)
		l, err := s.Listen("tcp", at.String())
		if err != nil {
			return err
		}
		var bound error
		s.Do(func(e *engine.Stack) { _, bound = e.Bind(at, &queries{responder: responder}) })
		if bound != nil {
			return fmt.Errorf("bind %s: %w", at, bound)
		}
		group.Go("serve names by TCP", func(ctx context.Context) error {
			stop := context.AfterFunc(ctx, func() { _ = l.Close() })
			defer stop()
			return dns.ServeTCP(l, d.zones)
		})
	}
	return nil
}

// queries answers DNS in the loop of the stack.
type queries struct {
	responder *dns.Responder
	out       [4096]byte
}

// Datagram is engine.Receiver's.
func (q *queries) Datagram(s *engine.Stack, local, remote netip.AddrPort, b []byte) {
	if answer := q.responder.Answer(q.out[:0], b, remote.Addr(), s.Now()); answer != nil {
		_ = s.SendTo(local, remote, answer) // Counted by the stack.
	}
}

// datagrams gives all others to the trap.
type datagrams struct{ t *trap.Trap }

// Datagram is engine.Receiver's.
func (d datagrams) Datagram(s *engine.Stack, local, remote netip.AddrPort, b []byte) {
	if answer := d.t.Datagram(time.Now(), local, remote, b); answer != nil {
		_ = s.SendTo(local, remote, answer)
	}
}

// views writes what the stack does to whoever connects: the words of the first line choose.
func views(ctx context.Context, l net.Listener, s *netstack.Stack, t *trap.Trap, j *journal) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		what, _ := bufio.NewReader(c).ReadString('\n')
		view := s.View(1000)
		switch what {
		case "netstat\n":
			err = view.Netstat(c)
		case "ifconfig\n":
			err = view.Ifconfig(c)
		case "statistics\n":
			err = errors.Join(view.Statistics(c), counters(c, t, j))
		default:
			_, err = fmt.Fprintln(c, "want netstat, ifconfig or statistics")
		}
		_ = errors.Join(err, c.Close()) // Who asked has gone.
	}
}

// counters writes what the honeypot has counted.
func counters(w net.Conn, t *trap.Trap, j *journal) error {
	n := &t.Count
	for _, c := range []struct {
		name  string
		value uint64
	}{
		{"Sessions", n.Sessions.Load()}, {"Datagrams", n.Datagrams.Load()}, {"RefusedSource", n.RefusedSource.Load()},
		{"RefusedFull", n.RefusedFull.Load()}, {"Panics", n.Panics.Load()}, {"Answered", n.Answered.Load()},
		{"NotAnswered", n.NotAnswered.Load()}, {"EventsWritten", j.written.Load()}, {"EventsDropped", j.dropped.Load()},
	} {
		if _, err := fmt.Fprintf(w, "decoy.%-18s %d\n", c.name, c.value); err != nil {
			return err
		}
	}
	return nil
}
