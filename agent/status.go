package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hauberk/hauberk/event"
)

// Status is what `hauberk-agent status` tells of a running agent.
type Status struct {
	Version     string    `json:"version"`
	PID         int       `json:"pid"`
	Since       time.Time `json:"since"`
	Node        string    `json:"node,omitempty"` // empty: not enrolled
	Tenant      string    `json:"tenant,omitempty"`
	Certificate time.Time `json:"certificate_expires,omitzero"`
	Mode        string    `json:"mode"` // run, idle, stopped
	ModeReason  string    `json:"mode_reason,omitempty"`
	ModeEpoch   uint64    `json:"mode_epoch"`

	Connected bool      `json:"connected"`
	Gateway   string    `json:"gateway,omitempty"`
	LinkSince time.Time `json:"link_since,omitzero"`
	LinkError string    `json:"link_error,omitempty"`

	Incarnation uint32 `json:"incarnation"`
	Backlog     uint64 `json:"backlog"` // events not yet acknowledged

	Collector      int      `json:"collector_pid"` // 0: not running
	CollectorError string   `json:"collector_error,omitempty"`
	Limits         string   `json:"limits"` // by the kernel
	Sensors        []Sensor `json:"sensors"`

	ConfigVersion uint64            `json:"config_version"`
	ConfigError   string            `json:"config_error,omitempty"`
	Counters      map[string]uint64 `json:"counters"`
}

// Sensor is one thing the agent watches.
type Sensor struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Method string `json:"method,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Status returns the agent's status now.
func (a *Agent) Status() *Status {
	node := a.nodeStatus(true)
	m := a.mode.State()
	s := &Status{
		Version: a.deps.Version, PID: os.Getpid(), Since: a.began.UTC(), Mode: node.Mode, ModeReason: m.Reason, ModeEpoch: m.Epoch,
		Incarnation: a.spool.Incarnation(), Backlog: a.spool.Backlog(), Limits: "none by the kernel", Counters: map[string]uint64{}, Sensors: []Sensor{},
	}
	if g := a.limits(); g != nil {
		s.Limits = g.Detail
	}
	for _, x := range node.Sensors {
		s.Sensors = append(s.Sensors, Sensor{x.Name, strings.ToLower(strings.TrimPrefix(x.State.String(), "SENSOR_STATE_")), x.Method, x.Reason})
	}
	for _, c := range node.Counters {
		s.Counters[counterKey(c)] = c.Value
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s.Collector, s.CollectorError = a.child.pid, a.child.failed
	if s.CollectorError == "" {
		s.CollectorError = a.child.note
	}
	s.ConfigVersion, s.ConfigError = a.central.Version, a.centralError
	if a.identity != nil {
		leaf := a.identity.Credentials()
		s.Node, s.Tenant, s.Certificate = leaf.Identity.Node.String(), leaf.Identity.Tenant, leaf.Leaf.NotAfter
		l := a.client.State()
		s.Connected, s.Gateway, s.LinkSince, s.LinkError = l.Connected, l.Gateway, l.Since.UTC(), l.Error
	}
	return s
}

func counterKey(c *event.Counter) string {
	if c.Label == "" {
		return c.Name
	}
	return c.Name + "{" + c.Label + "}"
}

const (
	socketName = "agent.sock"
	// socketPatience bounds one conversation on the status socket.
	socketPatience = 5 * time.Second
	// maxStatus bounds what a reader takes, in bytes.
	maxStatus = 1 << 20
)

// serveStatus answers every connection to <data_dir>/run/agent.sock (0600)
// with the status as JSON. Without a socket the agent runs on.
func (a *Agent) serveStatus(ctx context.Context) error {
	path := a.path("run", socketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		a.log.Error("no status socket", "cause", err)
		return nil
	}
	l, err := net.Listen("unix", path) // in a folder of mode 0700
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		a.log.Error("no status socket", "cause", err)
		return nil
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil {
			return nil // closed with the context
		}
		c.SetDeadline(time.Now().Add(socketPatience))
		if err := json.NewEncoder(c).Encode(a.Status()); err != nil {
			a.log.Debug("status not written", "cause", err)
		}
		c.Close()
	}
}

// ReadStatus asks the agent that runs with that data directory.
func ReadStatus(dataDir string) (*Status, error) {
	c, err := net.DialTimeout("unix", filepath.Join(dataDir, "run", socketName), socketPatience)
	if err != nil {
		return nil, fmt.Errorf("ask agent (does it run with data directory %s?): %w", dataDir, err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(socketPatience))
	s := &Status{}
	if err := json.NewDecoder(io.LimitReader(c, maxStatus)).Decode(s); err != nil {
		return nil, fmt.Errorf("read status: %w", err)
	}
	return s, nil
}

// headline is the agent in one line.
func (a *Agent) headline() string {
	a.mu.Lock()
	enrolled := a.identity != nil
	a.mu.Unlock()
	if !enrolled {
		return "runs, not enrolled"
	}
	return "runs as node " + a.identity.Node().String()
}

// Write prints the status for people.
func (s *Status) Write(w io.Writer) error {
	var b strings.Builder
	line := func(key, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", key, fmt.Sprintf(format, args...))
	}
	line("agent", "%s, pid %d, since %s", s.Version, s.PID, s.Since.Format(time.RFC3339))
	switch {
	case s.Node == "":
		line("node", "not enrolled")
	default:
		line("node", "%s of tenant %s, certificate until %s", s.Node, s.Tenant, s.Certificate.Format(time.RFC3339))
	}
	switch {
	case s.Connected:
		line("gateway", "connected to %s since %s", s.Gateway, s.LinkSince.Format(time.RFC3339))
	case s.LinkError != "":
		line("gateway", "not connected to %s: %s", s.Gateway, s.LinkError)
	default:
		line("gateway", "not connected")
	}
	line("mode", "%s%s", s.Mode, reasonOf(s.ModeReason))
	line("spool", "%d events wait, incarnation %d", s.Backlog, s.Incarnation)
	if s.Collector != 0 {
		line("collector", "pid %d%s", s.Collector, reasonOf(s.CollectorError))
	} else {
		line("collector", "not running%s", reasonOf(s.CollectorError))
	}
	line("limits", "%s", s.Limits)
	line("config", "version %d of the centre%s", s.ConfigVersion, reasonOf(s.ConfigError))
	for _, x := range s.Sensors {
		line("sensor", "%-8s %-11s %s%s", x.Name, x.State, x.Method, reasonOf(x.Reason))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func reasonOf(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}
