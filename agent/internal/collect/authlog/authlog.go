// Package authlog sees log-ins, log-outs, sudo and su in what the host writes
// to its authentication log: auth.log, followed across rotation, or the
// journal, through journalctl.
package authlog

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/hauberk/hauberk/agent/internal/collect/host"
	"github.com/hauberk/hauberk/agent/internal/collect/source"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/obs"
)

// Methods, as Sensor.method has them.
const (
	MethodFile    = "auth.log"
	MethodJournal = "journald"
)

// Source reads one of the two logs.
type Source struct {
	method   string
	host     *host.Host
	follower *follower
	journal  string // journalctl's path

	message host.Message
	login   event.Event_Login

	skipped *obs.Counter
	cut     *obs.Counter
	foreign *obs.Counter
}

func newSource(method string, h *host.Host, counters *obs.Registry) *Source {
	const name, help = "hauberk_collect_log_lines_total", "lines of the authentication log that are no event"
	return &Source{
		method: method, host: h, login: event.Event_Login{Login: &event.Login{}},
		skipped: counters.Counter(name, "reason=no_login", help),
		cut:     counters.Counter(name, "reason=too_long", "lines cut at 8 KiB"),
		foreign: counters.Counter(name, "reason=malformed", help),
	}
}

// OpenFile follows the first of files that exists.
func OpenFile(files []string, h *host.Host, counters *obs.Registry) (*Source, error) {
	for _, path := range files {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		s := newSource(MethodFile, h, counters)
		var err error
		s.follower, err = follow(path, s.cut.Inc)
		return s, err
	}
	return nil, fmt.Errorf("none of %v is there", files)
}

// OpenJournal follows the journal, where journald runs.
func OpenJournal(h *host.Host, counters *obs.Registry) (*Source, error) {
	if _, err := os.Stat("/run/systemd/journal/socket"); err != nil {
		return nil, fmt.Errorf("journald does not run: %w", err)
	}
	path, err := exec.LookPath("journalctl")
	if err != nil {
		return nil, err
	}
	s := newSource(MethodJournal, h, counters)
	s.journal = path
	return s, nil
}

// Name is the method.
func (s *Source) Name() string { return s.method }

// Capabilities says what it sees.
func (s *Source) Capabilities() source.Capability { return source.Login }

// Run emits until ctx ends.
func (s *Source) Run(ctx context.Context, sink source.Sink) error {
	if s.follower == nil {
		return s.runJournal(ctx, sink)
	}
	return s.follower.run(ctx, func(text []byte) {
		now := time.Now()
		l, ok := split(text, now)
		if !ok {
			s.foreign.Inc()
			return
		}
		s.take(sink, l, now, event.Collector_COLLECTOR_AUTHLOG)
	}, sink.Flush)
}

// take emits a line that is a log-in.
func (s *Source) take(sink source.Sink, l line, now time.Time, from event.Collector) {
	if !parse(l, s.login.Login) {
		s.skipped.Inc()
		return
	}
	lag := int64(0)
	if !l.time.IsZero() {
		lag = max(0, int64(now.Sub(l.time)))
	}
	if s.host.Refresh != nil && l.pid != 0 {
		s.host.Refresh()
	}
	s.host.Lock()
	defer s.host.Unlock()
	s.message.Start(from, lag)
	if l.pid != 0 {
		if p := s.host.ProcessOf(l.pid, now.UnixNano()); p != nil {
			s.message.Full(s.host, p)
		}
	}
	s.message.Event.Body = &s.login
	sink.Emit(event.Class_CLASS_PRIORITY, now.UnixNano(), &s.message.Event)
}

// entry is one entry of `journalctl -o json`.
type entry struct {
	Message    json.RawMessage `json:"MESSAGE"` // text, or bytes as numbers
	Identifier string          `json:"SYSLOG_IDENTIFIER"`
	PID        string          `json:"_PID"`
	Time       string          `json:"__REALTIME_TIMESTAMP"` // us
}

// line takes an entry apart as split does a line.
func (e *entry) line() (line, bool) {
	var l line
	var text string
	if err := json.Unmarshal(e.Message, &text); err == nil {
		l.message = []byte(text)
	} else {
		var numbers []int
		if err := json.Unmarshal(e.Message, &numbers); err != nil {
			return l, false
		}
		for _, n := range numbers {
			l.message = append(l.message, byte(n))
		}
	}
	l.tag([]byte(e.Identifier))
	pid, _ := strconv.ParseUint(e.PID, 10, 32)
	l.pid = uint32(pid)
	if us, err := strconv.ParseInt(e.Time, 10, 64); err == nil {
		l.time = time.UnixMicro(us)
	}
	return l, len(l.service) > 0
}

// runJournal reads a journalctl that follows the two authentication
// facilities (4 auth, 10 authpriv).
func (s *Source) runJournal(ctx context.Context, sink source.Sink) error {
	cmd := exec.CommandContext(ctx, s.journal, "-f", "-n", "0", "-q", "-o", "json",
		"--output-fields=MESSAGE,SYSLOG_IDENTIFIER,_PID", "SYSLOG_FACILITY=4", "SYSLOG_FACILITY=10")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("follow journal: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("follow journal: %w", err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(make([]byte, 0, 4096), 64<<10)
	for lines.Scan() {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			s.foreign.Inc()
			continue
		}
		if l, ok := e.line(); ok {
			s.take(sink, l, time.Now(), event.Collector_COLLECTOR_JOURNAL)
			sink.Flush()
		} else {
			s.foreign.Inc()
		}
	}
	cmd.Cancel() // a line too long for the scanner leaves it running
	err = errors.Join(lines.Err(), cmd.Wait())
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("follow journal: journalctl ended: %w", err)
}
