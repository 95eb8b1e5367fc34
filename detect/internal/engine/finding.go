package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/detect/internal/fold"
	"github.com/hauberk/hauberk/detect/internal/ruleset"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/sigma"
)

// fingerprintOf says what repeats of a match are: the same rule, tenant and
// node, the same kind of process (executable, parent's executable, user,
// container) and the same object (path, peer, account). docs/formats/alerts.md
// lists the parts.
func fingerprintOf(rule string, r *event.Record) fold.Fingerprint {
	h := newHash(rule, r.Tenant)
	h.add(r.ID.Node[:])
	p := r.Event.GetProcess()
	h.add(p.GetExecutable())
	if a := p.GetAncestors(); len(a) > 0 {
		h.add(a[0].GetExecutable())
	} else {
		h.add(nil)
	}
	h.add([]byte(strconv.FormatUint(uint64(p.GetUid()), 10)))
	h.add([]byte(p.GetContainerId()))
	switch b := r.Event.GetBody().(type) {
	case *event.Event_File:
		h.add(b.File.GetPath())
		h.add(b.File.GetNewPath())
	case *event.Event_Denied:
		h.add(b.Denied.GetPath())
	case *event.Event_Connection:
		h.add(b.Connection.GetDestinationIp())
		h.add([]byte(strconv.FormatUint(uint64(b.Connection.GetDestinationPort()), 10)))
	case *event.Event_Login:
		h.add(b.Login.GetUser())
		h.add(b.Login.GetBy())
		h.add(b.Login.GetSourceIp())
		h.add(b.Login.GetService())
	case *event.Event_Dns:
		h.add(b.Dns.GetQuestionName())
	case *event.Event_Http:
		h.add(b.Http.GetHost())
	case *event.Event_Tls:
		h.add(b.Tls.GetServerName())
	case *event.Event_Status:
		h.add([]byte(b.Status.GetReason()))
	}
	return h.sum()
}

// coarse is the fingerprint of all matches of a rule on a node.
func coarse(rule string, r *event.Record) fold.Fingerprint {
	h := newHash(rule, r.Tenant)
	h.add(r.ID.Node[:])
	return h.sum()
}

// fingerprintOfHit says what repeats of a correlation are: the same rule,
// tenant and group.
func fingerprintOfHit(rule, tenant string, hit *sigma.Hit) fold.Fingerprint {
	h := newHash(rule, tenant)
	for _, g := range hit.Group {
		h.add([]byte(g.Field))
		h.add([]byte(g.Value))
	}
	h.add([]byte(hit.Subject))
	return h.sum()
}

// hash joins parts so that no two lists of parts look alike.
type hash struct{ buf []byte }

func newHash(parts ...string) *hash {
	h := &hash{}
	for _, p := range parts {
		h.add([]byte(p))
	}
	return h
}

func (h *hash) add(part []byte) {
	h.buf = binary.AppendUvarint(h.buf, uint64(len(part)))
	h.buf = append(h.buf, part...)
}

func (h *hash) sum() fold.Fingerprint {
	sum := sha256.Sum256(h.buf)
	return fold.Fingerprint(sum[:len(fold.Fingerprint{})])
}

// newAlert makes the alert of a rule for a record, without what fold adds.
func newAlert(info *ruleset.Info, r *event.Record, summary string) *event.Alert {
	a := &event.Alert{
		RuleId: info.Key, RuleName: info.Title, Severity: info.Severity, Description: info.Description,
		Techniques: info.Techniques, TechniqueNames: info.TechniqueNames, Tactics: info.Tactics,
		FalsePositives: info.FalsePositives, References: info.References, Ruleset: info.Source,
		Summary: summary,
	}
	place(a, r)
	return a
}

// place says whose alert it is, as the gateway has it.
func place(a *event.Alert, r *event.Record) {
	if !r.ID.Node.IsZero() {
		a.Node = r.ID.Node.String()
	}
	if r.Host != nil {
		a.Host = strings.Clone(r.Host.GetName())
		a.Labels = make(map[string]string, len(r.Host.GetLabels()))
		for k, v := range r.Host.GetLabels() {
			a.Labels[strings.Clone(k)] = strings.Clone(v)
		}
	}
	a.Tenant = strings.Clone(r.Tenant)
}

// evidenceOf copies the event, so that it outlives its batch.
func evidenceOf(r *event.Record) *event.Evidence {
	return &event.Evidence{Id: r.ID.String(), Time: r.Time, Event: clone(r.Event)}
}

// clone copies deeply: the event borrows from the bytes it was read from.
func clone(e *event.Event) *event.Event {
	out := &event.Event{}
	data, err := e.MarshalVT()
	if err == nil {
		err = out.UnmarshalVT(data)
	}
	if err != nil { // cannot be: what was read can be written
		return &event.Event{Process: &event.Process{Pid: e.GetProcess().GetPid(), Start: e.GetProcess().GetStart()}}
	}
	return out
}

// maxSummary bounds the parts of a summary line, in bytes.
const maxSummary = 200

// summaryOf says in one line for people what happened.
func summaryOf(r *event.Record) string {
	p := r.Event.GetProcess()
	var b strings.Builder
	switch body := r.Event.GetBody().(type) {
	case *event.Event_File:
		f := body.File
		b.WriteString(show(f.GetPath()))
		if len(f.GetNewPath()) > 0 {
			b.WriteString(" -> " + show(f.GetNewPath()))
		}
		v, _ := r.Value(event.FieldEventAction)
		b.WriteString(" " + string(v.Bytes))
		by(&b, p)
	case *event.Event_Denied:
		fmt.Fprintf(&b, "%s of %s denied", orElse(body.Denied.GetOperation(), "access"), show(body.Denied.GetPath()))
		by(&b, p)
	case *event.Event_Connection:
		value := func(f event.Field) string { v, _ := r.Value(f); return string(v.AppendText(nil)) }
		c := body.Connection
		if c.GetDirection() == event.Direction_DIRECTION_LISTEN {
			fmt.Fprintf(&b, "listens on %s port %d", value(event.FieldSourceIp), c.GetSourcePort())
		} else {
			fmt.Fprintf(&b, "%s %s port %d", value(event.FieldEventAction), value(event.FieldDestinationIp), c.GetDestinationPort())
		}
		by(&b, p)
	case *event.Event_Login:
		l := body.Login
		action, _ := r.Value(event.FieldEventAction)
		outcome, _ := r.Value(event.FieldEventOutcome)
		fmt.Fprintf(&b, "%s of %s: %s", action.Bytes, show(l.GetUser()), outcome.Bytes)
		if len(l.GetBy()) > 0 {
			b.WriteString(", by " + show(l.GetBy()))
		}
		if v, ok := r.Value(event.FieldSourceIp); ok {
			b.WriteString(", from " + string(v.AppendText(nil)))
		}
		if len(l.GetCommand()) > 0 {
			b.WriteString(": " + show(l.GetCommand()))
		}
	case *event.Event_Dns:
		b.WriteString("asked for " + show(body.Dns.GetQuestionName()))
	case *event.Event_Http:
		b.WriteString(show(body.Http.GetMethod()) + " " + show(body.Http.GetHost()) + show(body.Http.GetUrl()))
	case *event.Event_Tls:
		b.WriteString("TLS to " + show(body.Tls.GetServerName()))
	case *event.Event_Status:
		b.WriteString(orElse(body.Status.GetReason(), "status") + ": " + show([]byte(body.Status.GetDetail())))
	default:
		if line, ok := r.Value(event.FieldProcessCommandLine); ok {
			b.WriteString(show(line.Bytes))
		} else {
			b.WriteString(show(p.GetExecutable()))
		}
		who(&b, p)
	}
	return b.String()
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return show([]byte(s))
}

// by adds " by <program> ...".
func by(b *strings.Builder, p *event.Process) {
	if len(p.GetExecutable()) > 0 {
		b.WriteString(" by " + show([]byte(path.Base(string(p.GetExecutable())))))
	} else if len(p.GetName()) > 0 {
		b.WriteString(" by " + show(p.GetName()))
	}
	who(b, p)
}

// who adds " (user, child of <program>)".
func who(b *strings.Builder, p *event.Process) {
	if p == nil {
		return
	}
	user := p.GetUser()
	if user == "" {
		user = "uid " + strconv.FormatUint(uint64(p.GetUid()), 10)
	}
	b.WriteString(" (" + show([]byte(user)))
	if a := p.GetAncestors(); len(a) > 0 && len(a[0].GetExecutable()) > 0 {
		b.WriteString(", child of " + show([]byte(path.Base(string(a[0].GetExecutable())))))
	}
	b.WriteString(")")
}

// show makes text safe for a terminal and a line: cut to maxSummary, bytes
// that are not printable as '?'.
func show(text []byte) string {
	cut := len(text) > maxSummary
	if cut {
		text = text[:maxSummary]
	}
	s := strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '?'
	}, strings.ToValidUTF8(string(text), "?"))
	if cut {
		s += "..."
	}
	return s
}
