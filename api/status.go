package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/store"
)

// statusAnswer joins what the process and the store say.
type statusAnswer struct {
	Status
	OK       bool          `json:"ok"`
	Problems []string      `json:"problems"` // for people, worst first
	Version  string        `json:"version"`
	Started  string        `json:"started"`
	Events   *eventsAnswer `json:"events"` // null: the store does not answer
	Nodes    *nodeCounts   `json:"nodes"`  // null: the store or a gateway does not answer
	Alerts   *alertCounts  `json:"alerts"` // null: the store does not answer
}

type alertCounts struct {
	Total    uint64            `json:"total"`
	State    map[string]uint64 `json:"state"`
	Severity map[string]uint64 `json:"severity"` // of those that are not closed
}

type nodeCounts struct {
	Seen   uint64 `json:"seen"`   // ever
	Online uint64 `json:"online"` // connected to a gateway that is alive
}

type eventsAnswer struct {
	Rows       uint64            `json:"rows"`
	Bytes      uint64            `json:"bytes"`
	Days       int               `json:"days"`
	Oldest     string            `json:"oldest,omitempty"`
	Newest     string            `json:"newest,omitempty"`
	Produced   uint64            `json:"produced"`
	Stored     uint64            `json:"stored"`
	Rejected   map[string]uint64 `json:"rejected"`
	Dropped    map[string]uint64 `json:"dropped"`
	Difference int64             `json:"difference"`
}

func answerEvents(v store.Stats) *eventsAnswer {
	return &eventsAnswer{
		Rows: v.Events.Rows, Bytes: v.Events.Bytes, Days: v.Events.Days, Oldest: stamp(v.Events.Oldest), Newest: stamp(v.Events.Newest),
		Produced: v.Ledger.Produced, Stored: v.Ledger.Stored, Rejected: orEmpty(v.Ledger.Rejected), Dropped: orEmpty(v.Ledger.Dropped),
		Difference: v.Ledger.Difference,
	}
}

func orEmpty(m map[string]uint64) map[string]uint64 {
	if m == nil {
		return map[string]uint64{}
	}
	return m
}

func (s *Server) getStatus(c *call) error {
	return c.json(http.StatusOK, s.statusAnswer(c))
}

const (
	// partTime bounds how long the status waits for each other part: it must
	// come when they do not.
	partTime = 3 * time.Second
	// statusAge is how old a status may be: many tabs ask at the same time.
	statusAge = time.Second
)

// lastStatus is a status and when it was made.
type lastStatus struct {
	mu     sync.Mutex
	at     time.Time
	answer statusAnswer
}

// statusAnswer never fails: what does not answer is a problem it names.
func (s *Server) statusAnswer(c *call) statusAnswer {
	s.lastStatus.mu.Lock()
	defer s.lastStatus.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), partTime)
	defer cancel()
	if now := s.now(); now.Sub(s.lastStatus.at) >= statusAge {
		s.lastStatus.answer = s.gatherStatus(ctx)
		s.lastStatus.at = now
	}
	out := s.lastStatus.answer
	if counts, err := s.deps.Store.AlertCounts(ctx, c.who.Tenant); err == nil {
		out.Alerts = &alertCounts{counts.Total, map[string]uint64{}, orEmpty(counts.Severity)}
		for state, n := range counts.State {
			out.Alerts.State[string(state)] = n
		}
	}
	return out
}

func (s *Server) gatherStatus(ctx context.Context) statusAnswer {
	out := statusAnswer{Status: s.deps.Status(ctx), Problems: []string{}, Version: s.deps.Version, Started: stamp(s.started.UnixNano())}
	if out.Roles == nil {
		out.Roles = []RoleStatus{}
	}
	if out.Ingest.Stopped {
		out.Problems = append(out.Problems, "ingest is stopped: "+out.Ingest.Reason)
	}
	for _, r := range out.Roles {
		if r.State != "ready" {
			out.Problems = append(out.Problems, "role "+r.Name+" is "+r.State+": "+r.Detail)
		}
	}
	stats, err := s.deps.Store.Stats(ctx)
	if err == nil {
		out.Events = answerEvents(stats)
		if gateways, err := s.deps.Control.Gateways(ctx); err == nil {
			out.Nodes = &nodeCounts{Seen: stats.Nodes}
			for _, g := range gateways {
				out.Nodes.Online += uint64(g.GetNodes())
			}
		}
	} else if !slices.ContainsFunc(out.Roles, func(r RoleStatus) bool { return r.Name == "store" && r.State != "ready" }) {
		out.Problems = append(out.Problems, "the store does not answer: no search, no lists of alerts")
	}
	out.OK = len(out.Problems) == 0
	return out
}

// getMetrics writes the readings in Prometheus' text format 0.0.4.
func (s *Server) getMetrics(c *call) error {
	readings := s.metrics.Readings()
	if stats, err := s.deps.Store.Stats(c.Context()); err == nil {
		readings = append(readings, storeReadings(stats)...)
	}
	c.w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	return writeMetrics(c.w, readings)
}

// storeReadings are the store's counters, "name{label}", as readings.
func storeReadings(stats store.Stats) []obs.Reading {
	var list []obs.Reading
	for _, key := range sortedKeys(stats.Counters) {
		name, label, _ := strings.Cut(strings.TrimSuffix(key, "}"), "{")
		list = append(list, obs.Reading{Name: name, Label: label, Value: stats.Counters[key], Gauge: !strings.HasSuffix(name, "_total")})
	}
	return list
}

// writeMetrics writes each name once with all its labels, as the format
// demands.
func writeMetrics(w io.Writer, readings []obs.Reading) error {
	sort.SliceStable(readings, func(i, j int) bool { return readings[i].Name < readings[j].Name })
	var b strings.Builder
	seen := map[[2]string]bool{}
	for i, r := range readings {
		if seen[[2]string{r.Name, r.Label}] {
			continue // the store runs in this process: it counts once
		}
		seen[[2]string{r.Name, r.Label}] = true
		if i == 0 || readings[i-1].Name != r.Name {
			kind := "counter"
			if r.Gauge {
				kind = "gauge"
			}
			if r.Help != "" {
				fmt.Fprintf(&b, "# HELP %s %s\n", r.Name, strings.NewReplacer("\\", "\\\\", "\n", "\\n").Replace(r.Help))
			}
			fmt.Fprintf(&b, "# TYPE %s %s\n", r.Name, kind)
		}
		b.WriteString(r.Name)
		if key, value, ok := strings.Cut(r.Label, "="); ok {
			b.WriteString("{" + key + "=" + strconv.Quote(strings.Trim(value, `"`)) + "}")
		}
		b.WriteString(" " + strconv.FormatUint(r.Value, 10) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *Server) listRules(c *call) error {
	if s.deps.Rules == nil {
		return failf(http.StatusNotImplemented, "no-role", "this process has no detect role")
	}
	rules := s.deps.Rules()
	for i := range rules {
		if rules[i].Techniques == nil {
			rules[i].Techniques = []string{}
		}
	}
	return c.json(http.StatusOK, pageOf(rules, ""))
}

// checkRules checks the rules in the body, YAML documents.
func (s *Server) checkRules(c *call) error {
	if s.deps.CheckRules == nil {
		return failf(http.StatusNotImplemented, "no-role", "this process has no detect role")
	}
	text, err := io.ReadAll(c.Body)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "hauberk-rules-")
	if err != nil {
		return fmt.Errorf("check rules: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "rules.yml"), text, 0o600); err != nil {
		return fmt.Errorf("check rules: %w", err)
	}
	report, err := s.deps.CheckRules(dir)
	if err != nil {
		return badRequest("%v", err)
	}
	return c.json(http.StatusOK, report)
}

// backUp streams the archive; a failure after it began cuts the connection,
// so that half a backup is never taken for a whole one.
func (s *Server) backUp(c *call) error {
	if s.deps.Backup == nil {
		return failf(http.StatusNotImplemented, "no-role", "this process cannot make backups")
	}
	if c.who.Tenant != "" {
		return failf(http.StatusForbidden, "role", "a backup holds every tenant's data")
	}
	c.w.Header().Set("Content-Type", "application/octet-stream")
	c.w.Header().Set("Content-Disposition", `attachment; filename="hauberk-backup.tar.zst"`)
	err := s.deps.Backup(c.Context(), c.w)
	if err != nil && c.w.status != 0 {
		return errors.Join(errCutOff, err)
	}
	return err
}

func (s *Server) restore(c *call) error {
	if s.deps.Restore == nil {
		return failf(http.StatusNotImplemented, "no-role", "this process cannot restore backups")
	}
	err := s.deps.Restore(c.Context(), c.Body)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return badRequest("the backup is cut off: %v", err)
	}
	return err
}
