package detect

import (
	"slices"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// frameRules are the rules on frames, by protocol and kind ("smtp.data").
type frameRules map[string][]*rule

// indexFrames puts the rules on frames where frames look for them, and notes
// the buffers that rules look into.
func (s *Ruleset) indexFrames() {
	s.frames, s.wanted = frameRules{}, map[suricata.Buffer]bool{}
	for _, r := range s.rules {
		for i := range r.chains {
			s.wanted[r.chains[i].Buffer] = true
			name := r.chains[i].Frame
			if r.chains[i].Buffer == suricata.BufFrame && !slices.Contains(s.frames[name], r) {
				s.frames[name] = append(s.frames[name], r)
			}
		}
	}
}

// Wants says whether a rule looks into a buffer.
func (s *Ruleset) Wants(b suricata.Buffer) bool { return s.wanted[b] }

// WantsFrame says whether a rule looks into frames of a protocol's kind.
func (s *Ruleset) WantsFrame(p *app.Protocol, kind string) bool { return len(s.onFrame(p, kind)) > 0 }

// onFrame are the rules on frames of a kind, under any name of the protocol.
func (s *Ruleset) onFrame(p *app.Protocol, kind string) []*rule {
	if len(s.frames) == 0 {
		return nil
	}
	list := s.frames[p.Name+"."+kind]
	for _, name := range p.Aliases {
		list = append(slices.Clip(list), s.frames[name+"."+kind]...)
	}
	return list
}

// frameState is what rules remember of a frame.
type frameState struct {
	set     *Ruleset
	matched map[*rule]bool
}

// InspectFrame judges a frame by the rules on it. The alerts are good until
// the next call of any Inspect.
func (e *Engine) InspectFrame(p *Packet, f *app.LiveFrame) []Alert {
	e.begin(p)
	rules := e.set.onFrame(f.Proto, f.KindName())
	if len(rules) == 0 || p.State != nil && p.State.passed || p.Flow != nil && p.Flow.NoInspection {
		return nil
	}
	st, _ := f.Inspect.(*frameState)
	if st == nil || st.set != e.set {
		st = &frameState{set: e.set, matched: map[*rule]bool{}}
		f.Inspect = st
	}
	for _, r := range rules {
		if st.matched[r] || !goes(r, int(f.Dir)) || !e.matches(r, p) || !e.frameMatches(r, f) {
			continue
		}
		st.matched[r] = true
		n := len(e.alerts)
		e.matched(r, p, false)
		for ; n < len(e.alerts); n++ {
			if f.HasTx {
				e.alerts[n].Tx = int64(f.Tx)
			}
		}
	}
	return e.settle(p)
}

// frameMatches evaluates a rule's chains on a frame. What asks for its end
// waits until that is there.
func (e *Engine) frameMatches(r *rule, f *app.LiveFrame) bool {
	whole := f.Complete || f.Ended
	for i := range r.chains {
		c := &r.chains[i]
		if r.programs[i] == nil {
			continue
		}
		if c.Buffer != suricata.BufFrame || !whole && asksForEnd(c) || !e.run(r, i, match.Buffer{Data: f.Data}) {
			return false
		}
	}
	return true
}

// asksForEnd says whether more bytes could change a chain's answer to no.
func asksForEnd(c *suricata.Chain) bool {
	if len(c.Transforms) > 0 {
		return true
	}
	return slices.ContainsFunc(c.Steps, func(s suricata.Step) bool {
		switch s := s.(type) {
		case *suricata.Content:
			return s.EndsWith || s.Negated
		case *suricata.PCREStep:
			return s.Negated
		case *suricata.IsDataAt, *suricata.Size, *suricata.Absent:
			return true
		}
		return false
	})
}
