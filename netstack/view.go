package netstack

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hauberk/hauberk/netstack/engine"
	"github.com/hauberk/hauberk/netstack/port"
)

// View is what a stack is doing, at one moment.
type View struct {
	Port        port.Info
	PortStats   port.Stats
	Addresses   []netip.Prefix
	Traps       []netip.Prefix
	Counters    engine.Counters
	Connections []engine.Info // At most as many as were asked for, by local and remote address.
	Total       int           // How many connections there are.
	Listeners   []netip.AddrPort
	Sockets     []netip.AddrPort
	Neighbours  []engine.Neighbour
	ConnBytes   uint64 // Memory of connections.
	BufferBytes uint64 // Memory of what they hold.
}

// View looks at the stack; it describes at most limit connections.
func (s *Stack) View(limit int) View {
	v := View{Port: s.port.Info(), PortStats: s.port.Stats()}
	s.Do(func(e *engine.Stack) {
		c := e.Config()
		v.Addresses, v.Traps, v.Counters, v.Neighbours = c.Addresses, c.Traps, e.Count, e.Neighbours()
		v.ConnBytes, v.BufferBytes = e.Memory()
		e.Each(func(i engine.Info) bool {
			if v.Total++; len(v.Connections) < limit {
				v.Connections = append(v.Connections, i)
			}
			return true
		})
		for a := range s.doors {
			v.Listeners = append(v.Listeners, a)
		}
		for p := range s.sockets {
			v.Sockets = append(v.Sockets, p.addr)
		}
	})
	slices.SortFunc(v.Connections, func(a, b engine.Info) int {
		return cmp.Or(a.Local.Compare(b.Local), a.Remote.Compare(b.Remote))
	})
	slices.SortFunc(v.Listeners, netip.AddrPort.Compare)
	slices.SortFunc(v.Sockets, netip.AddrPort.Compare)
	slices.SortFunc(v.Neighbours, func(a, b engine.Neighbour) int { return a.Addr.Compare(b.Addr) })
	return v
}

// Netstat writes connections, listeners and sockets as netstat -an does.
func (v View) Netstat(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "Proto\tRecv-Q\tSend-Q\tLocal Address\tForeign Address\tState\tRTT")
	for _, a := range v.Listeners {
		local := "*:*" // of ListenAll
		if a.IsValid() {
			local = a.String()
		}
		fmt.Fprintf(t, "tcp\t0\t0\t%s\t*\tLISTEN\t\n", local)
	}
	for _, c := range v.Connections {
		fmt.Fprintf(t, "tcp\t%d\t%d\t%s\t%s\t%s\t%s\n", c.ReceiveQueue, c.SendQueue, c.Local, c.Remote, c.State, time.Duration(c.RTT))
	}
	for _, a := range v.Sockets {
		fmt.Fprintf(t, "udp\t0\t0\t%s\t*\t\t\n", a)
	}
	if more := v.Total - len(v.Connections); more > 0 {
		fmt.Fprintf(t, "(%d more connections)\n", more)
	}
	return t.Flush()
}

// Ifconfig writes the port, its addresses and its counters as ifconfig does, and the table of neighbours.
func (v View) Ifconfig(w io.Writer) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s: mtu %d\n", v.Port.Name, v.Port.MTU)
	if !v.Port.L3 {
		fmt.Fprintf(b, "        ether %s\n", v.Port.MAC)
	}
	for _, a := range v.Addresses {
		family := "inet"
		if a.Addr().Is6() {
			family = "inet6"
		}
		fmt.Fprintf(b, "        %s %s\n", family, a)
	}
	for _, a := range v.Traps {
		fmt.Fprintf(b, "        trap %s\n", a)
	}
	p := v.PortStats
	fmt.Fprintf(b, "        RX packets %d bytes %d no-buffer %d too-long %d\n", p.RxFrames, p.RxBytes, p.RxNoBuffer, p.RxTooLong)
	fmt.Fprintf(b, "        TX packets %d bytes %d full %d errors %d\n", p.TxFrames, p.TxBytes, p.TxFull, p.TxError)
	for _, n := range v.Neighbours {
		mac := "incomplete"
		if n.MAC != nil {
			mac = n.MAC.String()
		}
		fmt.Fprintf(b, "        neighbour %s at %s\n", n.Addr, mac)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Statistics writes the counters that are not zero as netstat -s does, by their names.
func (v View) Statistics(w io.Writer) error {
	b := &strings.Builder{}
	c := reflect.ValueOf(v.Counters)
	for i := range c.NumField() {
		if n := c.Field(i).Uint(); n > 0 {
			fmt.Fprintf(b, "%-18s %d\n", c.Type().Field(i).Name, n)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// setting is one that Set changes while the stack runs.
type setting struct {
	name string
	at   func(*engine.Config) any // A pointer: to a number, a switch, or a time (*int64) in ns.
}

// settings are the names, as of sysctl.
var settings = []setting{
	{"ip.segment_rate", func(c *engine.Config) any { return &c.SegmentRate }},
	{"tcp.delayed_ack", func(c *engine.Config) any { return &c.DelayedAck }},
	{"tcp.ecn", func(c *engine.Config) any { return &c.ECN }},
	{"tcp.fin_timeout", func(c *engine.Config) any { return &c.FinTimeout }},
	{"tcp.keepalive_interval", func(c *engine.Config) any { return &c.KeepEvery }},
	{"tcp.keepalive_time", func(c *engine.Config) any { return &c.KeepIdle }},
	{"tcp.max_connections", func(c *engine.Config) any { return &c.MaxConns }},
	{"tcp.max_half_open", func(c *engine.Config) any { return &c.MaxHalfOpen }},
	{"tcp.max_memory", func(c *engine.Config) any { return &c.MaxMemory }},
	{"tcp.max_time_wait", func(c *engine.Config) any { return &c.MaxTimeWait }},
	{"tcp.min_rto", func(c *engine.Config) any { return &c.MinRTO }},
	{"tcp.newreno", func(c *engine.Config) any { return &c.NewReno }},
	{"tcp.send_buffer", func(c *engine.Config) any { return &c.SendBuffer }},
	{"tcp.time_wait", func(c *engine.Config) any { return &c.TimeWait }},
	{"tcp.zero_window", func(c *engine.Config) any { return &c.ZeroWindow }},
}

// Settings lists what Set takes, each as name = value, in order.
func (s *Stack) Settings() (out []string) {
	var c engine.Config
	s.Do(func(e *engine.Stack) { c = e.Config() })
	for _, x := range settings {
		v := reflect.ValueOf(x.at(&c)).Elem().Interface()
		if ns, ok := v.(int64); ok {
			v = time.Duration(ns)
		}
		out = append(out, fmt.Sprintf("%s = %v", x.name, v))
	}
	return out
}

// Set changes a setting while the stack runs: numbers, true or false, or times as 1m30s.
func (s *Stack) Set(name, value string) error {
	i := slices.IndexFunc(settings, func(x setting) bool { return x.name == name })
	if i < 0 {
		return fmt.Errorf("set %s: no such setting", name)
	}
	var err error
	s.Do(func(e *engine.Stack) {
		c := e.Config()
		switch p := settings[i].at(&c).(type) {
		case *int64:
			var d time.Duration
			d, err = time.ParseDuration(value)
			*p = int64(d)
		case *bool:
			*p, err = strconv.ParseBool(value)
		case *int:
			*p, err = strconv.Atoi(value)
		case *uint32:
			var n uint64
			n, err = strconv.ParseUint(value, 10, 32)
			*p = uint32(n)
		case *uint64:
			*p, err = strconv.ParseUint(value, 10, 64)
		}
		if err == nil {
			err = e.Apply(c)
		}
	})
	if err != nil {
		return fmt.Errorf("set %s to %q: %w", name, value, err)
	}
	return nil
}
