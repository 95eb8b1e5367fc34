// Package siteconf reads the files beside Suricata's rules:
// classification.config, reference.config and threshold.config. Each reader
// takes text and returns what is good together with an error per bad line.
package siteconf

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/netset"
)

// Class is a line of classification.config.
type Class struct {
	Name        string // as rules name it
	Description string
	Priority    int // 1 to 255, 1 is the most severe
}

// Classes are the lines by lower-case name.
type Classes map[string]Class

// Lookup finds a class whatever the case.
func (c Classes) Lookup(name string) (Class, bool) {
	class, ok := c[strings.ToLower(name)]
	return class, ok
}

// defaultPriority is that of a rule without a class.
const defaultPriority = 3

// Of is the class of a rule, with the rule's own priority if it has one. Without
// a class there is no description.
func (c Classes) Of(r *suricata.Compiled) Class {
	class, ok := c.Lookup(r.Classtype)
	if !ok {
		class.Priority = defaultPriority
	}
	if r.Priority != 0 {
		class.Priority = r.Priority
	}
	return class
}

// References are the URL prefixes of reference.config by system.
type References map[string]string

// URL is where a reference leads, "" if its system is unknown.
func (r References) URL(ref suricata.Reference) string {
	prefix, ok := r[strings.ToLower(ref.System)]
	if !ok {
		return ""
	}
	return prefix + ref.ID
}

// lines calls f with each line that is not blank or a comment, and joins its
// errors with file and line. A backslash continues a line.
func lines(text []byte, file string, f func(string) error) error {
	var errs []error
	n, start, joined := 0, 0, ""
	for raw := range bytes.Lines(text) {
		n++
		if joined == "" {
			start = n
		}
		line := strings.TrimSpace(string(raw))
		if rest, ok := strings.CutSuffix(line, `\`); ok && !strings.HasPrefix(joined+line, "#") {
			joined += rest + " "
			continue
		}
		line, joined = strings.TrimSpace(joined+line), ""
		if line == "" || line[0] == '#' {
			continue
		}
		if err := f(line); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", file, start, err))
		}
	}
	return errors.Join(errs...)
}

// cutConfig takes "config what:" off a line.
func cutConfig(line, what string) (string, error) {
	head, rest, ok := strings.Cut(line, ":")
	words := strings.Fields(head)
	if !ok || len(words) != 2 || words[0] != "config" || words[1] != what {
		return "", fmt.Errorf("expected config %s and a colon", what)
	}
	return strings.TrimSpace(rest), nil
}

// ParseClasses reads classification.config. Of equal names the first counts.
func ParseClasses(text []byte, file string) (Classes, error) {
	out := Classes{}
	err := lines(text, file, func(line string) error {
		rest, err := cutConfig(line, "classification")
		if err != nil {
			return err
		}
		part := strings.Split(rest, ",")
		if len(part) < 3 {
			return errors.New("expected name, description, priority")
		}
		last := strings.TrimSpace(part[len(part)-1])
		priority, err := strconv.ParseUint(last, 10, 8)
		if err != nil || priority == 0 {
			return fmt.Errorf("priority %q is not between 1 and 255", last)
		}
		c := Class{strings.TrimSpace(part[0]), strings.TrimSpace(strings.Join(part[1:len(part)-1], ",")), int(priority)}
		key := strings.ToLower(c.Name)
		if key == "" || strings.ContainsAny(key, " \t") {
			return fmt.Errorf("%q is no name", c.Name)
		}
		if _, seen := out[key]; !seen {
			out[key] = c
		}
		return nil
	})
	return out, err
}

// ParseReferences reads reference.config. Of equal names the first counts.
func ParseReferences(text []byte, file string) (References, error) {
	out := References{}
	err := lines(text, file, func(line string) error {
		rest, err := cutConfig(line, "reference")
		if err != nil {
			return err
		}
		part := strings.Fields(rest)
		if len(part) != 2 {
			return errors.New("expected system and URL")
		}
		if key := strings.ToLower(part[0]); out[key] == "" {
			out[key] = part[1]
		}
		return nil
	})
	return out, err
}

// Kind is what a line of threshold.config does.
type Kind string

// The kinds. threshold is the former name of event_filter.
const (
	EventFilter Kind = "event_filter"
	RateFilter  Kind = "rate_filter"
	Suppress    Kind = "suppress"
)

// Entry is a line of threshold.config. GID or SID 0 stands for all.
type Entry struct {
	Kind     Kind
	GID, SID uint32
	// Threshold: of event_filter all of it; of rate_filter Track, Count and Seconds.
	Threshold suricata.Threshold
	// Action and Timeout (seconds; 0: for good) of a rate_filter.
	Action  suricata.Verb
	Timeout uint32
	// Track and IP of suppress: by_src, by_dst or by_either; "": always.
	Track string
	IP    *netset.Addrs
}

// Suppresses reports whether a suppress entry silences an alert between two hosts.
func (e *Entry) Suppresses(src, dst netip.Addr) bool {
	switch {
	case e.Kind != Suppress:
		return false
	case e.Track == "":
		return true
	case e.Track == "by_src":
		return e.IP.Contains(src)
	case e.Track == "by_dst":
		return e.IP.Contains(dst)
	}
	return e.IP.Contains(src) || e.IP.Contains(dst)
}

// ParseThresholds reads threshold.config. vars resolves address variables.
func ParseThresholds(text []byte, file string, vars netset.Vars) ([]Entry, error) {
	var out []Entry
	err := lines(text, file, func(line string) error {
		kind, rest, _ := strings.Cut(line, " ")
		e := Entry{Kind: Kind(kind)}
		if kind == "threshold" {
			e.Kind = EventFilter
		}
		pairs, err := cutPairs(rest)
		if err != nil {
			return err
		}
		if err := e.fill(pairs, vars); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		out = append(out, e)
		return nil
	})
	return out, err
}

// cutPairs reads "key value, key value". Commas inside brackets do not count.
func cutPairs(s string) (map[string]string, error) {
	out := map[string]string{}
	for s != "" {
		end, depth := len(s), 0
		for i := range len(s) {
			switch s[i] {
			case '[':
				depth++
			case ']':
				depth--
			}
			if s[i] == ',' && depth == 0 {
				end = i
				break
			}
		}
		key, value, ok := strings.Cut(strings.TrimSpace(s[:end]), " ")
		if !ok || out[key] != "" {
			return nil, fmt.Errorf("expected key and value once each, found %q", strings.TrimSpace(s[:end]))
		}
		out[key] = strings.TrimSpace(value)
		s = strings.TrimPrefix(s[end:], ",")
	}
	return out, nil
}

func (e *Entry) fill(pairs map[string]string, vars netset.Vars) error {
	var err1, err2 error
	e.GID, err1 = id(pairs["gen_id"])
	e.SID, err2 = id(pairs["sig_id"])
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("gen_id and sig_id: %w", err)
	}
	delete(pairs, "gen_id")
	delete(pairs, "sig_id")
	switch e.Kind {
	case Suppress:
		return e.suppress(pairs, vars)
	case EventFilter:
		return e.threshold(pairs, true)
	case RateFilter:
		return e.rate(pairs)
	}
	return errors.New("unknown command")
}

func id(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is no id", s)
	}
	return uint32(n), nil
}

func (e *Entry) suppress(pairs map[string]string, vars netset.Vars) error {
	track, ip := pairs["track"], pairs["ip"]
	delete(pairs, "track")
	delete(pairs, "ip")
	if len(pairs) > 0 {
		return errors.New("takes gen_id, sig_id, track and ip")
	}
	if track == "" && ip == "" {
		return nil
	}
	if ip == "" || track != "by_src" && track != "by_dst" && track != "by_either" {
		return errors.New("needs both track by_src, by_dst or by_either, and ip")
	}
	expr, err := netset.Parse(ip)
	if err != nil {
		return fmt.Errorf("ip: %w", err)
	}
	e.Track = track
	e.IP, err = vars.Addrs(expr)
	return err
}

// threshold hands the pairs to the parser of the rule keyword.
func (e *Entry) threshold(pairs map[string]string, typed bool) error {
	text := ""
	for _, key := range [...]string{"type", "track", "count", "seconds", "multiplier"} {
		if v, ok := pairs[key]; ok {
			text += ", " + key + " " + v
			delete(pairs, key)
		}
	}
	if len(pairs) > 0 {
		return fmt.Errorf("does not take %v", pairs)
	}
	t, err := suricata.ParseThreshold(strings.TrimPrefix(text, ", "), typed)
	if err != nil {
		return err
	}
	e.Threshold = *t
	return nil
}

func (e *Entry) rate(pairs map[string]string) error {
	verb := suricata.Verb(pairs["new_action"])
	switch verb {
	case suricata.Alert, suricata.Drop, suricata.Pass, suricata.Reject:
	default:
		return fmt.Errorf("new_action %q is none of alert, drop, pass, reject", verb)
	}
	var err error
	if e.Timeout, err = id(pairs["timeout"]); err != nil {
		return fmt.Errorf("timeout: %w", err)
	}
	e.Action = verb
	delete(pairs, "new_action")
	delete(pairs, "timeout")
	return e.threshold(pairs, false)
}
