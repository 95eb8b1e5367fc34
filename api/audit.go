package api

import (
	"context"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hauberk/hauberk/store/cases"
)

// auditTime bounds the writing of an entry, which goes on when the client
// has gone.
const auditTime = 10 * time.Second

// maxDetail bounds an entry's texts, in bytes.
const maxDetail = 500

// audit writes who tried to change what, and what came of it.
func (s *Server) audit(r *route, c *call, err error) {
	e := cases.AuditEntry{
		At: s.now().UnixNano(), Actor: "-", Address: addressOf(c.Request),
		Action: r.name, Object: c.target, Detail: clip(c.note), Outcome: outcome(c.w.status),
	}
	if err != nil && e.Outcome == "ok" {
		e.Outcome = "failed" // after its answer had begun
	}
	if c.who != nil {
		e.Actor, e.Tenant, e.Via, e.Address = c.who.Name, c.who.Tenant, c.who.Via, c.who.From
		if c.who.id != "" {
			e.Via += " " + c.who.id
		}
	}
	if e.Object == "" {
		e.Object = pathTarget(r.path, c.Request)
	}
	e.Object = clip(e.Object)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), auditTime)
	defer cancel()
	if err := s.deps.Store.Audit(ctx, e); err != nil {
		s.count.auditFailed.Inc()
		s.log.Error("audit entry lost", "actor", e.Actor, "via", e.Via, "address", e.Address, "action", e.Action, "object", e.Object, "outcome", e.Outcome, "cause", err)
	}
}

// pathTarget joins the values of a path's variables.
func pathTarget(path string, q *http.Request) string {
	var parts []string
	for _, part := range strings.Split(path, "/") {
		if strings.HasPrefix(part, "{") {
			parts = append(parts, q.PathValue(strings.Trim(part, "{}")))
		}
	}
	return strings.Join(parts, "/")
}

// clip cuts at a character, to maxDetail bytes.
func clip(s string) string {
	if len(s) <= maxDetail {
		return s
	}
	n := maxDetail
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// outcome says an HTTP status in the log's three words.
func outcome(status int) string {
	switch {
	case status < 400:
		return "ok"
	case status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusTooManyRequests:
		return "denied"
	}
	return "failed"
}

type auditAnswer struct {
	ID      int64  `json:"id"`
	Time    string `json:"time"`
	Who     string `json:"who"`
	Tenant  string `json:"tenant,omitempty"`
	Via     string `json:"via,omitempty"` // session, token or socket
	From    string `json:"from,omitempty"`
	Action  string `json:"action"` // operationId
	Target  string `json:"target,omitempty"`
	Detail  string `json:"detail,omitempty"`
	Outcome string `json:"outcome"` // ok, denied or failed
}

func (s *Server) listAudit(c *call) error {
	q := c.URL.Query()
	f := cases.AuditFilter{Actor: q.Get("who"), Action: q.Get("action"), Object: q.Get("target"), Tenant: c.tenant()}
	var err error
	if f.Limit, f.Cursor, err = c.page(); err != nil {
		return err
	}
	if f.Since, err = s.time(c, "since"); err != nil {
		return err
	}
	if f.Until, err = s.time(c, "until"); err != nil {
		return err
	}
	page, err := s.deps.Store.AuditLog(c.Context(), f)
	if err != nil {
		return err
	}
	out := make([]auditAnswer, len(page.Entries))
	for i, e := range page.Entries {
		out[i] = auditAnswer{e.ID, stamp(e.At), e.Actor, e.Tenant, e.Via, e.Address, e.Action, e.Object, e.Detail, e.Outcome}
	}
	return c.json(http.StatusOK, pageOf(out, page.Next))
}
