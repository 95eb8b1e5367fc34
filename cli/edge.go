package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/hauberk/hauberk/edge/importer"
	"github.com/hauberk/hauberk/edge/wire"
	"github.com/hauberk/hauberk/internal/run"
)

// edgeSession is what the commands of `hauberk edge` share. They speak to the
// status socket of the edge on this machine, not to the API.
type edgeSession struct {
	*session
	watch time.Duration
}

func (s *session) edgeCommand() *cobra.Command {
	s = &session{options: s.options} // its flags are not those of the API's commands
	e := &edgeSession{session: s}
	c := &cobra.Command{
		Use:   "edge",
		Short: "Show and steer the load balancer on this machine",
		Example: `  hauberk edge status
  hauberk edge backends --watch 1s
  hauberk edge drain web3               no new flows; --undo takes it back
  hauberk edge import < keepalived.conf`,
	}
	f := c.PersistentFlags()
	f.StringVar(&s.dataDir, "data-dir", wire.DefaultDataDir, "data directory of the edge")
	f.BoolVar(&s.json, "json", false, "print one JSON object per line")
	f.BoolVar(&s.noColor, "no-color", os.Getenv("NO_COLOR") != "", "no colours even on a terminal ($NO_COLOR)")
	c.AddCommand(
		e.watched("status", "Show the edge: interfaces, sessions, packets by what became of them", e.status),
		e.watched("vips", "List the VIPs as ipvsadm does", e.vips),
		e.watched("backends", "List the backends with their health, weight and sessions", e.backends),
		e.dropsCommand(), e.capture(), e.sessions(), e.top(), e.drain(), e.reload(), e.importer(),
	)
	return c
}

// watched is a command that --watch repeats.
func (e *edgeSession) watched(use, short string, show func(context.Context, *printer) error) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		ctx, stop := interruptible(c)
		defer stop()
		p := e.printer(c)
		if e.watch == 0 {
			return show(ctx, p)
		}
		return e.repeat(ctx, p, e.watch, show)
	}}
	c.Flags().DurationVar(&e.watch, "watch", 0, "repeat that often, such as 1s")
	return c
}

// repeat shows again and again until Ctrl-C; on a terminal in place.
func (e *edgeSession) repeat(ctx context.Context, p *printer, every time.Duration, show func(context.Context, *printer) error) error {
	for {
		var page bytes.Buffer
		q := *p
		q.out = &page
		if err := show(ctx, &q); err != nil {
			return err
		}
		if p.color && !e.json {
			io.WriteString(p.out, "\x1b[H\x1b[2J") // home, erase: what follows would fail too
		}
		if _, err := page.WriteTo(p.out); err != nil {
			return err
		}
		if run.Sleep(ctx, every) != nil {
			return nil
		}
	}
}

// ask sends a request to the edge and reads its answer.
func (e *edgeSession) ask(ctx context.Context, method, path string, body, into any) error {
	answer, err := e.open(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	if err := json.NewDecoder(answer).Decode(into); err != nil {
		return fmt.Errorf("answer of the edge: %w", err)
	}
	return nil
}

func (e *edgeSession) open(ctx context.Context, method, path string, body any) (io.ReadCloser, error) {
	socket := wire.SocketPath(e.dataDir)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	var send bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&send).Encode(body); err != nil {
			return nil, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://edge"+path, &send)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(r)
	if err != nil {
		if errors.Is(err, os.ErrPermission) {
			return nil, fmt.Errorf("ask edge: %s is root's: %w", socket, syscall.EACCES)
		}
		return nil, fmt.Errorf("%w: ask edge (does hauberk-edge run with data directory %s?): %w", errUnreachable, e.dataDir, errors.Unwrap(err))
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	var failed struct{ Error string }
	if err := json.NewDecoder(answer.Body).Decode(&failed); err != nil {
		failed.Error = answer.Status
	}
	return nil, &apiError{Status: answer.StatusCode, Title: clean(failed.Error)}
}

func (e *edgeSession) status(ctx context.Context, p *printer) error {
	var s wire.Status
	if err := e.ask(ctx, "GET", "/status", nil, &s); err != nil {
		return err
	}
	if e.json {
		return p.jsonValue(s)
	}
	var b strings.Builder
	line := func(key, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", key, fmt.Sprintf(format, args...))
	}
	line("edge", "%s, pid %d, since %s", clean(s.Version), s.PID, s.Since.Format(time.RFC3339))
	line("config", "taken %s", s.ConfigAt.Format(time.RFC3339))
	if s.Error != "" {
		line("", "%s", p.paint(red, "the last one was not taken: "+clean(s.Error)))
	}
	for _, i := range s.Interfaces {
		line("interface", "%s, %s XDP", clean(i.Name), map[bool]string{true: "native", false: "generic"}[i.Native])
	}
	for _, neighbor := range sortedKeys(s.BGP) {
		line("bgp", "%s %s, %d routes", clean(neighbor), clean(s.BGP[neighbor]), len(s.Routes))
	}
	line("vips", "%d, %d serve", s.VIPs, s.Serving)
	line("backends", "%d, %d are up", s.Backends, s.Up)
	line("sessions", "%d of %d", s.Sessions, s.Slots)
	for _, reason := range sortedKeys(s.Packets) {
		if n := s.Packets[reason]; n > 0 {
			line("packets", "%-16s %d", reason, n)
		}
	}
	_, err := io.WriteString(p.out, b.String())
	return err
}

// notDrops are what becomes of packets that are not lost.
var notDrops = []string{"forwarded", "passed", "answered"}

func (e *edgeSession) drops(ctx context.Context, p *printer) error {
	var s wire.Status
	if err := e.ask(ctx, "GET", "/status", nil, &s); err != nil {
		return err
	}
	t := &table{head: []string{"REASON", "PACKETS"}}
	drops := map[string]uint64{}
	for _, reason := range sortedKeys(s.Packets) {
		if !slices.Contains(notDrops, reason) {
			drops[reason] = s.Packets[reason]
			t.add(reason, strconv.FormatUint(s.Packets[reason], 10))
		}
	}
	if e.json {
		return p.jsonValue(drops)
	}
	return p.table(t)
}

func (e *edgeSession) readVIPs(ctx context.Context) ([]wire.VIPStatus, error) {
	var vips []wire.VIPStatus
	return vips, e.ask(ctx, "GET", "/vips", nil, &vips)
}

// stateColor paints the column of states.
func stateColor(p *printer, at int) func(int, string, string) string {
	return func(column int, cell, padded string) string {
		if column != at {
			return padded
		}
		switch cell {
		case "serving", "up":
			return p.paint(green, padded)
		case "down":
			return p.paint(red, padded)
		}
		return p.paint(yellow, padded)
	}
}

func (e *edgeSession) vips(ctx context.Context, p *printer) error {
	vips, err := e.readVIPs(ctx)
	if err != nil {
		return err
	}
	t := &table{head: []string{"PROTO", "ADDRESS", "SCHED", "FORWARD", "STATE", "UP", "SESSIONS", "FLOWS", "PACKETS-IN", "PACKETS-OUT", "BYTES-IN", "BYTES-OUT", "NAME"}, paint: stateColor(p, 4)}
	for _, v := range vips {
		if e.json {
			if err := p.jsonValue(v); err != nil {
				return err
			}
			continue
		}
		up := 0
		for _, b := range v.Backends {
			if b.State == "up" {
				up++
			}
		}
		cells := []string{v.Proto, net.JoinHostPort(v.Address, v.Ports), v.Scheduler, v.Mode, v.State, fmt.Sprintf("%d/%d", up, len(v.Backends)), strconv.Itoa(v.Sessions)}
		t.add(append(append(cells, traffic(v.Traffic)...), v.Name)...)
	}
	if e.json {
		return nil
	}
	return p.table(t)
}

func traffic(t wire.Traffic) []string {
	out := []string{}
	for _, n := range []uint64{t.Flows, t.PacketsIn, t.PacketsOut} {
		out = append(out, strconv.FormatUint(n, 10))
	}
	return append(out, size(t.BytesIn), size(t.BytesOut))
}

func (e *edgeSession) backends(ctx context.Context, p *printer) error {
	vips, err := e.readVIPs(ctx)
	if err != nil {
		return err
	}
	t := &table{head: []string{"VIP", "BACKEND", "ADDRESS", "STATE", "SINCE", "WEIGHT", "SESSIONS", "FLOWS", "PACKETS-IN", "PACKETS-OUT", "BYTES-IN", "BYTES-OUT", "PROBE"}, paint: stateColor(p, 3)}
	for _, v := range vips {
		for _, b := range v.Backends {
			if e.json {
				if err := p.jsonValue(b); err != nil {
					return err
				}
				continue
			}
			weight := strconv.FormatUint(uint64(b.Weight), 10)
			if b.Effective != float64(b.Weight) {
				weight = fmt.Sprintf("%g/%s", b.Effective, weight)
			}
			cells := []string{v.Name, b.Name, b.Address, b.State, p.ago(instant{b.Since}), weight, strconv.Itoa(b.Sessions)}
			t.add(append(append(cells, traffic(b.Traffic)...), b.Error)...)
		}
	}
	if e.json {
		return nil
	}
	return p.table(t)
}

func (e *edgeSession) sessions() *cobra.Command {
	var vip string
	var limit int
	c := &cobra.Command{
		Use: "sessions", Short: "List live sessions as ipvsadm -Lc does", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := interruptible(c)
			defer stop()
			stream, err := e.open(ctx, "GET", "/sessions?"+url.Values{"vip": {vip}}.Encode(), nil)
			if err != nil {
				return err
			}
			defer stream.Close()
			p := e.printer(c)
			t := &table{head: []string{"PROTO", "EXPIRES", "STATE", "CLIENT", "SERVICE", "LOCAL", "BACKEND", "VIP"}}
			read := json.NewDecoder(stream)
			for n := 0; limit == 0 || n < limit; n++ {
				var s wire.SessionStatus
				if err := read.Decode(&s); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					return fmt.Errorf("answer of the edge: %w", err)
				}
				if e.json {
					if err := p.jsonValue(s); err != nil {
						return err
					}
					continue
				}
				t.add(s.Proto, fmt.Sprintf("%.0fs", s.Left), s.State, s.Client, s.Service, s.Local, s.Backend, s.VIP)
			}
			if e.json {
				return nil
			}
			return p.table(t)
		},
	}
	c.Flags().StringVar(&vip, "vip", "", "only those of the VIP of that name")
	c.Flags().IntVar(&limit, "limit", 1000, "at most that many; 0: all")
	return c
}

// top shows rates, the busiest VIP first.
func (e *edgeSession) top() *cobra.Command {
	var every time.Duration
	var once bool
	c := &cobra.Command{
		Use: "top", Short: "Show what passes in each second, the busiest VIP first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := interruptible(c)
			defer stop()
			before, err := e.readVIPs(ctx)
			if err != nil {
				return err
			}
			show := func(ctx context.Context, p *printer) error {
				now, err := e.readVIPs(ctx)
				if err != nil {
					return err
				}
				defer func() { before = now }()
				return e.rates(p, before, now, every)
			}
			if run.Sleep(ctx, every) != nil {
				return nil
			}
			if once {
				return show(ctx, e.printer(c))
			}
			return e.repeat(ctx, e.printer(c), every, show)
		},
	}
	c.Flags().DurationVar(&every, "interval", time.Second, "how long to measure")
	c.Flags().BoolVar(&once, "once", false, "measure once and end")
	return c
}

// rate is one VIP in a second.
type rate struct {
	VIP        string  `json:"vip"`
	Sessions   int     `json:"sessions"`
	Flows      float64 `json:"flows_per_second"`
	PacketsIn  float64 `json:"packets_in_per_second"`
	PacketsOut float64 `json:"packets_out_per_second"`
	BitsIn     float64 `json:"bits_in_per_second"`
	BitsOut    float64 `json:"bits_out_per_second"`
}

func (e *edgeSession) rates(p *printer, before, now []wire.VIPStatus, span time.Duration) error {
	was := map[string]wire.Traffic{}
	for _, v := range before {
		was[v.Name] = v.Traffic
	}
	rates := make([]rate, 0, len(now))
	for _, v := range now {
		per := func(now, was uint64) float64 { return float64(now-min(was, now)) / span.Seconds() }
		w, t := was[v.Name], v.Traffic
		rates = append(rates, rate{v.Name, v.Sessions, per(t.Flows, w.Flows), per(t.PacketsIn, w.PacketsIn), per(t.PacketsOut, w.PacketsOut),
			8 * per(t.BytesIn, w.BytesIn), 8 * per(t.BytesOut, w.BytesOut)})
	}
	slices.SortStableFunc(rates, func(a, b rate) int {
		switch x, y := a.PacketsIn+a.PacketsOut, b.PacketsIn+b.PacketsOut; {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	t := &table{head: []string{"VIP", "SESSIONS", "FLOWS/S", "PACKETS-IN/S", "PACKETS-OUT/S", "MBIT-IN/S", "MBIT-OUT/S"}}
	for _, r := range rates {
		if e.json {
			if err := p.jsonValue(r); err != nil {
				return err
			}
			continue
		}
		t.add(r.VIP, strconv.Itoa(r.Sessions), fmt.Sprintf("%.0f", r.Flows), fmt.Sprintf("%.0f", r.PacketsIn), fmt.Sprintf("%.0f", r.PacketsOut),
			fmt.Sprintf("%.2f", r.BitsIn/1e6), fmt.Sprintf("%.2f", r.BitsOut/1e6))
	}
	if e.json {
		return nil
	}
	return p.table(t)
}

func (e *edgeSession) drain() *cobra.Command {
	var r wire.DrainRequest
	c := &cobra.Command{
		Use: "drain BACKEND", Short: "Send a backend no new flows; those it has live on", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r.Backend = args[0]
			var answer wire.DrainAnswer
			if err := e.ask(c.Context(), "POST", "/drain", r, &answer); err != nil {
				return err
			}
			p := e.printer(c)
			if e.json {
				return p.jsonValue(answer)
			}
			for _, b := range answer.Backends {
				if _, err := fmt.Fprintf(p.out, "%s of %s: %s, %d sessions\n", clean(b.Name), clean(b.VIP), b.State, b.Sessions); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().StringVar(&r.VIP, "vip", "", "only in the VIP of that name")
	c.Flags().BoolVar(&r.Undo, "undo", false, "take it back")
	return c
}

func (e *edgeSession) reload() *cobra.Command {
	return &cobra.Command{
		Use: "reload", Short: "Read edge.yaml again; whole, or not at all", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var nothing struct{}
			if err := e.ask(c.Context(), "POST", "/reload", nil, &nothing); err != nil {
				return err
			}
			_, err := fmt.Fprintln(c.OutOrStdout(), "configuration taken")
			return err
		},
	}
}

// importer turns what ipvsadm or keepalived has into an edge.yaml.
func (e *edgeSession) importer() *cobra.Command {
	return &cobra.Command{
		Use:   "import [FILE]",
		Short: "Turn `ipvsadm -S` output or keepalived.conf into the vips of an edge.yaml",
		Long: `Reads what ipvsadm -S -n prints, or the virtual_server blocks of a keepalived.conf,
from FILE or standard input, and prints the vips of an edge.yaml. What has no
counterpart is told on standard error, each with its line; the exit code is 1 then.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			in := c.InOrStdin()
			if len(args) == 1 {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			}
			text, notes, err := importer.Read(in)
			if err != nil {
				return err
			}
			if _, err := c.OutOrStdout().Write(text); err != nil {
				return err
			}
			for _, n := range notes {
				fmt.Fprintln(c.ErrOrStderr(), clean(n.String()))
			}
			if len(notes) > 0 {
				return fmt.Errorf("%d lines have no counterpart", len(notes))
			}
			return nil
		},
	}
}
