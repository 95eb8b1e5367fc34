// Package except decides whether an exception silences a match. An exception
// names a rule and conditions on the process, its parent, its user, its
// command line and the labels of the host; all that are given must hold. Pure:
// time is what it is told.
package except

import (
	"bytes"
	"strconv"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
)

// List is an immutable set of exceptions, indexed by rule.
type List struct {
	byRule map[string][]*fleet.Exception
	size   int
}

// everyRule is the rule of an exception for all rules.
const everyRule = "*"

// New indexes exceptions. The messages must not be changed afterwards.
func New(exceptions []*fleet.Exception) *List {
	l := &List{byRule: map[string][]*fleet.Exception{}, size: len(exceptions)}
	for _, e := range exceptions {
		l.byRule[e.GetRule()] = append(l.byRule[e.GetRule()], e)
	}
	return l
}

// Len returns the number of exceptions.
func (l *List) Len() int { return l.size }

// Match returns the first exception that silences the rule for the record, nil
// if there is none. It allocates nothing while no exception names the rule.
func (l *List) Match(rule string, r *event.Record, now time.Time) *fleet.Exception {
	for _, key := range [...]string{rule, everyRule} {
		for _, e := range l.byRule[key] {
			if holds(e, r, now) {
				return e
			}
		}
	}
	return nil
}

func holds(e *fleet.Exception, r *event.Record, now time.Time) bool {
	if e.Expires != 0 && now.UnixNano() >= e.Expires {
		return false
	}
	// Without a tenant it is the platform operator's and reaches into all.
	if e.Tenant != "" && e.Tenant != r.Tenant {
		return false
	}
	p := r.Event.GetProcess()
	if !glob(e.Executable, p.GetExecutable()) {
		return false
	}
	if e.Parent != "" {
		ancestors := p.GetAncestors()
		if len(ancestors) == 0 || !glob(e.Parent, ancestors[0].GetExecutable()) {
			return false
		}
	}
	if e.User != "" && !isUser(e.User, r) {
		return false
	}
	if e.CommandLine != "" {
		v, ok := r.Value(event.FieldProcessCommandLine)
		if !ok || !glob(e.CommandLine, v.Bytes) {
			return false
		}
	}
	for name, pattern := range e.Labels {
		if have, ok := r.Label(name); !ok || !glob(pattern, []byte(have)) {
			return false
		}
	}
	return true
}

// isUser compares with the user's name and with the number of the id.
func isUser(pattern string, r *event.Record) bool {
	if v, ok := r.Value(event.FieldUserName); ok && glob(pattern, v.Bytes) {
		return true
	}
	p := r.Event.GetProcess()
	return p != nil && pattern == strconv.FormatUint(uint64(p.Uid), 10)
}

// glob matches a pattern with '*' for any run of bytes and '?' for one byte;
// the empty pattern matches everything. It is linear in the text but for a
// factor of the pattern's length.
func glob(pattern string, text []byte) bool {
	if pattern == "" {
		return true
	}
	star, mark := -1, 0
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return len(bytes.Trim([]byte(pattern[p:]), "*")) == 0
}
