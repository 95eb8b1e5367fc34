package suricata

import (
	"fmt"
	"slices"
	"strings"
)

// A Stage is a rule up to one of its conditions, to find the one that keeps it
// from matching: each stage matches wherever the next one does.
type Stage struct {
	Adds string // the condition this stage has beyond the one before

	header, options string
}

// WithID is the stage as a rule of that identity.
func (s *Stage) WithID(gid, sid uint32) string {
	return fmt.Sprintf("%s (%sgid:%d; sid:%d;)", s.header, s.options, gid, sid)
}

// Stages takes the rule apart: the protocol, addresses and ports, then the
// conditions as written, but flow first. A buffer, a content and what
// modifies it are one condition.
func (r *Rule) Stages() []Stage {
	open := "alert " + r.Proto.String() + " any any " + string(r.Way) + " any any"
	full := strings.Join([]string{"alert", r.Proto.String(), r.Src.String(), r.SrcPort.String(), string(r.Way), r.Dst.String(), r.DstPort.String()}, " ")
	stages := []Stage{{Adds: open, header: open}}
	if full != open {
		stages = append(stages, Stage{Adds: full, header: full})
	}
	conditions := r.conditions()
	var options, adds strings.Builder
	for i, o := range conditions {
		adds.WriteString(o.String() + "; ")
		options.WriteString(o.String() + "; ")
		next := Meta
		if i+1 < len(conditions) {
			next = conditions[i+1].Kind
		}
		s := Stage{Adds: strings.TrimSpace(adds.String()), header: full, options: options.String()}
		if o.Kind == StickyBuffer || o.Kind == Transform || next == ContentModifier || next == LegacyModifier {
			continue
		}
		if _, err := Parse(s.WithID(1, 1)); err != nil {
			continue // it makes sense with what follows only
		}
		stages = append(stages, s)
		adds.Reset()
	}
	return stages
}

// conditions are the options that decide whether the rule matches.
func (r *Rule) conditions() []*Option {
	var first, rest []*Option
	for i := range r.Options {
		o := &r.Options[i]
		bits, isBits := o.Value.(*Bits)
		switch {
		case o.Kind == Meta, o.Kind == Action, isBits && !bits.Asks():
		case o.Name == "flow":
			first = append(first, o)
		default:
			rest = append(rest, o)
		}
	}
	return slices.Concat(first, rest)
}
