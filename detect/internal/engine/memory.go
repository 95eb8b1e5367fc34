package engine

import (
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/sigma"
)

// memory keeps copies of the events that feed correlations, so that a hit can
// show them: the latest maxMemory, first in first out. What it has forgotten
// is missing in the evidence only; correlations count without it.
type memory struct {
	records map[string]*event.Record
	order   []string // ring of ids
	next    int
}

// maxMemory bounds the copies; at some 2 KB each they take 8 MB.
const maxMemory = 4096

func (m *memory) keep(id string, r *event.Record) {
	if m.records == nil {
		m.records = map[string]*event.Record{}
	}
	if _, have := m.records[id]; have {
		return
	}
	if len(m.order) < maxMemory {
		m.order = append(m.order, id)
	} else {
		delete(m.records, m.order[m.next])
		m.order[m.next] = id
		m.next = (m.next + 1) % maxMemory
	}
	kept := &event.Record{ID: r.ID, Tenant: strings.Clone(r.Tenant), Observed: r.Observed, Time: r.Time, Event: clone(r.Event)}
	if r.Host != nil {
		kept.Host = &event.Host{Name: strings.Clone(r.Host.GetName()), Labels: make(map[string]string, len(r.Host.GetLabels()))}
		for k, v := range r.Host.GetLabels() {
			kept.Host.Labels[strings.Clone(k)] = strings.Clone(v)
		}
	}
	m.records[id] = kept
}

// find returns the records of ids that are still remembered, in order.
func (m *memory) find(ids []string) []*event.Record {
	var out []*event.Record
	for _, id := range ids {
		if r := m.records[id]; r != nil {
			out = append(out, r)
		}
	}
	return out
}

// summaryOfHit says in one line what a correlation saw, and its last event.
func summaryOfHit(hit *sigma.Hit, r *event.Record) string {
	var b strings.Builder
	b.WriteString(strconv.FormatFloat(hit.Value, 'g', 6, 64) + " in " + hit.Last.Sub(hit.First).Round(1e6).String())
	for i, g := range hit.Group {
		if i == 0 {
			b.WriteString(" (")
		} else {
			b.WriteString(", ")
		}
		b.WriteString(g.Field + " " + show([]byte(g.Value)))
		if i == len(hit.Group)-1 {
			b.WriteString(")")
		}
	}
	if last := summaryOf(r); last != "" {
		b.WriteString("; last: " + last)
	}
	return b.String()
}
