package detect

import (
	"fmt"
	"slices"

	"github.com/hauberk/hauberk/suricata"
)

// deed is what a rule does after it matched, whether it alerts or not.
type deed func(*Engine, *Packet)

func (s *Ruleset) addDeed(r *rule, o *suricata.Option) error {
	switch v := o.Value.(type) {
	case *suricata.Bits:
		if v.Cmd == "noalert" {
			r.noAlert = true
			return nil
		}
		if o.Name != "flowbits" {
			r.after = append(r.after, s.setXbit(o.Name, v))
			return nil
		}
		id := s.bits.of(v.Names[0])
		r.after = append(r.after, func(_ *Engine, p *Packet) {
			if p.State != nil {
				p.State.setBit(id, v.Cmd == "set" || v.Cmd == "toggle" && !p.State.bit(id))
			}
		})
		return nil
	case *suricata.FlowInt:
		s.addInt(r, v)
		return nil
	case *suricata.Threshold:
		if o.Name == "detection_filter" {
			r.filter = &limiter{spec: *v, filter: true}
		} else {
			r.limit = &limiter{spec: *v}
		}
		return nil
	}
	switch o.Name {
	case "noalert", "config":
		r.noAlert = true // config is of the pipeline.
	case "alert":
		r.noAlert = false
	case "bypass":
		r.after = append(r.after, func(_ *Engine, p *Packet) {
			if p.Flow != nil {
				p.Flow.Bypass = true
			}
		})
	case "prefilter", "tag", "filestore", "tls.store", "nfq_set_mark":
		// Of the pipeline, or a hint.
	default:
		return fmt.Errorf("%s is not applied yet", o.Name)
	}
	return nil
}

func (s *Ruleset) addInt(r *rule, v *suricata.FlowInt) {
	id, other := s.ints.of(v.Name), -1
	if v.Arg.Var != "" {
		other = s.ints.of(v.Arg.Var)
	}
	r.after = append(r.after, func(_ *Engine, p *Packet) {
		if p.State == nil {
			return
		}
		if p.State.ints == nil {
			p.State.ints = map[int]uint32{}
		}
		n := uint32(v.Arg.N)
		if other >= 0 {
			n = p.State.ints[other]
		}
		switch v.Op {
		case "+":
			p.State.ints[id] += n
		case "-":
			p.State.ints[id] -= n
		default:
			p.State.ints[id] = n
		}
	})
}

// matched does what follows from a match, and notes the alert.
func (e *Engine) matched(r *rule, p *Packet, stream bool) {
	e.Counters.Matched++
	if r.filter != nil && !e.limits.allows(r, r.filter, p) {
		return
	}
	for _, d := range r.after {
		d(e, p)
	}
	if stream && p.State != nil {
		if p.State.matched == nil {
			p.State.matched = map[int32]uint64{}
		}
		p.State.matched[r.index] = p.StreamAt + uint64(len(p.Stream))
	}
	if r.action == suricata.Pass {
		if p.State != nil && (r.Type == suricata.TypeIPOnly || r.Type == suricata.TypeLikeIPOnly || len(r.Apps) > 0) {
			p.State.passed = true
			if p.Flow != nil {
				p.Flow.Passed = true
			}
		}
		e.alerts = append(e.alerts, Alert{Rule: r.Compiled, Action: suricata.Pass, Tx: -1, Silent: true, rule: r})
		return
	}
	if len(e.alerts) >= e.set.site.MaxAlerts {
		e.Counters.Overflow++
		return
	}
	e.alerts = append(e.alerts, Alert{
		Rule: r.Compiled, Action: r.action, Class: r.class, Tx: -1, Stream: stream, Silent: r.noAlert, rule: r,
		Dropped: r.action == suricata.Drop || actionRank(r.action) == 2,
		Context: slices.Clone(e.context),
	})
}

// settle applies passing and thresholds to what matched.
func (e *Engine) settle(p *Packet) []Alert {
	if p.Flow != nil {
		p.Flow.Judged[p.Dir] = true
		if p.App != "" {
			p.Flow.AppJudged[p.Dir] = true
		}
	}
	if i := slices.IndexFunc(e.alerts, func(a Alert) bool { return a.Action == suricata.Pass }); i >= 0 {
		e.alerts = e.alerts[:i] // Rules that pass come first; what follows is silent.
	}
	for i := range e.alerts {
		a := &e.alerts[i]
		if a.Silent {
			continue
		}
		if e.limits.suppressed(a.rule, p) || !e.limits.told(a.rule, p) {
			a.Silent = true
			e.Counters.Suppressed++
			continue
		}
		e.Counters.Alerts++
		if p.Flow != nil {
			p.Flow.Alerted = true
		}
	}
	return e.alerts
}
