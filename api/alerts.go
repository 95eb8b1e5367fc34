package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/store/cases"
)

// tenant is whose data the call may see: the caller's tenant, or the one
// asked for where the caller has none.
func (c *call) tenant() string {
	if c.who.Tenant != "" {
		return c.who.Tenant
	}
	return c.URL.Query().Get("tenant")
}

// alertFilter reads the query of a list of alerts.
func (s *Server) alertFilter(c *call) (cases.AlertFilter, error) {
	q := c.URL.Query()
	f := cases.AlertFilter{
		Tenant: c.tenant(), Severity: q.Get("severity"), Rule: q.Get("rule"), Node: q.Get("node"), Host: q.Get("host"),
		Technique: q.Get("technique"), Text: q.Get("text"),
	}
	if states := q.Get("state"); states != "" {
		for _, word := range strings.Split(states, ",") {
			state, err := cases.ParseState(word)
			if err != nil {
				return f, err
			}
			f.States = append(f.States, state)
		}
	}
	if _, ok := event.ParseSeverity(f.Severity); !ok && f.Severity != "" {
		return f, badRequest("severity: %q is none of informational, low, medium, high, critical", f.Severity)
	}
	var err error
	if f.Limit, f.Cursor, err = c.page(); err != nil {
		return f, err
	}
	if f.Since, err = s.time(c, "since"); err != nil {
		return f, err
	}
	f.Until, err = s.time(c, "until")
	return f, err
}

func (s *Server) listAlerts(c *call) error {
	f, err := s.alertFilter(c)
	if err != nil {
		return err
	}
	page, err := s.deps.Store.Alerts(c.Context(), f)
	if err != nil {
		return err
	}
	out := make([]alertAnswer, len(page.Alerts))
	for i, a := range page.Alerts {
		out[i] = answerAlert(a)
	}
	return c.json(http.StatusOK, pageOf(out, page.Next))
}

func (s *Server) getAlert(c *call) error {
	a, err := s.deps.Store.Alert(c.Context(), c.PathValue("id"), c.who.Tenant)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, detailAlert(a))
}

// maxIDs bounds the alerts of one change.
const maxIDs = 1000

func (s *Server) changeAlerts(c *call) error {
	var in struct {
		IDs     []string `json:"ids"`
		State   string   `json:"state"`
		Comment string   `json:"comment"`
	}
	if err := c.body(&in); err != nil {
		return err
	}
	switch {
	case len(in.IDs) == 0 || len(in.IDs) > maxIDs:
		return badRequest("ids: %d alerts, want 1 to %d", len(in.IDs), maxIDs)
	case in.State == "" && in.Comment == "":
		return badRequest("say a state (open, acknowledged, closed) or a comment")
	}
	c.target, c.note = clip(strings.Join(in.IDs, " ")), strings.TrimSpace(in.State+" "+in.Comment)
	change := cases.AlertChange{IDs: in.IDs, Tenant: c.who.Tenant, By: c.who.Name, Comment: in.Comment}
	if in.State != "" {
		state, err := cases.ParseState(in.State)
		if err != nil {
			return err
		}
		change.State = state
	}
	n, err := s.deps.Store.ChangeAlerts(c.Context(), change)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, map[string]int{"changed": n})
}

// changeAlert is changeAlerts for one, answered with the alert as it is then.
func (s *Server) changeAlert(c *call) error {
	var in struct {
		State   string `json:"state"`
		Comment string `json:"comment"`
	}
	if err := c.body(&in); err != nil {
		return err
	}
	state, err := cases.ParseState(in.State)
	if err != nil {
		return err
	}
	id := c.PathValue("id")
	c.note = strings.TrimSpace(in.State + " " + in.Comment)
	change := cases.AlertChange{IDs: []string{id}, Tenant: c.who.Tenant, State: state, By: c.who.Name, Comment: in.Comment}
	if _, err := s.deps.Store.ChangeAlerts(c.Context(), change); err != nil {
		return err
	}
	return s.getAlert(c)
}

// maxReason bounds a reason, in bytes.
const maxReason = 4096

// exceptionInput is what a person says of an exception.
type exceptionInput struct {
	Rule        string            `json:"rule"`
	Executable  string            `json:"executable"`
	Parent      string            `json:"parent"`
	User        string            `json:"user"`
	CommandLine string            `json:"command_line"`
	Labels      map[string]string `json:"labels"`
	Tenant      string            `json:"tenant"`
	Reason      string            `json:"reason"`
	Seconds     int64             `json:"seconds"` // until it expires, 0: never
}

func (in *exceptionInput) exception(s *Server, c *call) (*fleet.Exception, error) {
	if strings.TrimSpace(in.Reason) == "" || len(in.Reason) > maxReason {
		return nil, badRequest("reason: say why in 1 to %d bytes; whoever finds the exception later will ask", maxReason)
	}
	if in.Seconds < 0 || in.Seconds > int64(100*366*24*time.Hour/time.Second) {
		return nil, badRequest("seconds: %d is outside 0 to a hundred years", in.Seconds)
	}
	if c.who.Tenant != "" {
		in.Tenant = c.who.Tenant
	}
	e := &fleet.Exception{
		Tenant: in.Tenant, Rule: in.Rule, Executable: in.Executable, Parent: in.Parent, User: in.User,
		CommandLine: in.CommandLine, Labels: in.Labels, Author: c.who.Name, Reason: in.Reason,
	}
	if in.Seconds > 0 {
		e.Expires = s.now().Add(time.Duration(in.Seconds) * time.Second).UnixNano()
	}
	return e, nil
}

// exceptAlert makes an exception of an alert and closes the alert. Without
// conditions of its own it silences the rule for the executable and the
// parent that raised it.
func (s *Server) exceptAlert(c *call) error {
	var in exceptionInput
	if err := c.body(&in); err != nil {
		return err
	}
	a, err := s.deps.Store.Alert(c.Context(), c.PathValue("id"), c.who.Tenant)
	if err != nil {
		return err
	}
	e, err := in.exception(s, c)
	if err != nil {
		return err
	}
	e.Rule, e.Tenant, e.Alert = a.RuleID, a.Tenant, a.ID
	if e.Executable == "" && e.Parent == "" && e.User == "" && e.CommandLine == "" && len(e.Labels) == 0 {
		if i := subject(a.Alert); i >= 0 {
			p := a.Alert.GetEvidence()[i].GetEvent().GetProcess()
			e.Executable = quoteGlob(string(p.GetExecutable()))
			if ancestors := p.GetAncestors(); len(ancestors) > 0 {
				e.Parent = quoteGlob(string(ancestors[0].GetExecutable()))
			}
		}
		if e.Executable == "" && e.Parent == "" {
			return badRequest("this alert names no process; say for which executable, user or label the rule is silenced")
		}
	}
	made, err := s.deps.Control.PutException(c.Context(), e)
	if err != nil {
		return err
	}
	c.note = "exception " + made.GetId() + ": " + in.Reason
	if _, err := s.deps.Store.ChangeAlerts(c.Context(), cases.AlertChange{
		IDs: []string{a.ID}, State: cases.StateClosed, By: c.who.Name, Comment: c.note,
	}); err != nil {
		return err
	}
	return c.json(http.StatusCreated, answerException(made))
}

// quoteGlob makes a pattern of a path: its '*' becomes '?', which matches one
// byte only; a '?' matches itself.
func quoteGlob(s string) string { return strings.ReplaceAll(s, "*", "?") }
