// Package detect says which rules match: a [Ruleset] is what a set of compiled
// rules has become, an [Engine] applies it to the packets of one pipeline.
//
// Rules are evaluated in one order, that of Suricata: passing before dropping
// before alerting, those that set flowbits before those that ask for them,
// then by priority and as they were loaded. For a packet the engine finds the
// candidates first (group.go: by protocol and direction; search.go: by the fast
// patterns in the payload, the short ones only at their ports and protocols;
// stream.go: by those in the stream, each byte searched once; tx.go: by those in
// a transaction's buffers), and evaluates those (packet.go), with early exit at
// the first condition that fails. What a rule does after it
// matched (flowbits, thresholds) is in post.go.
package detect

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/sensor/internal/detect/state"
	"github.com/hauberk/hauberk/sensor/internal/detect/transform"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
	"github.com/hauberk/hauberk/suricata/netset"
	"github.com/hauberk/hauberk/suricata/siteconf"
)

// rule is a compiled rule as the engine evaluates it.
type rule struct {
	*suricata.Compiled
	src, dst   *addressSet
	index      int32 // In the order of evaluation.
	programs   []*match.Program
	chains     []suricata.Chain
	transforms []transform.Chain // By chain; nil: none.
	action     suricata.Verb
	both       bool // <>: the header matches either way.
	noAlert    bool
	class      siteconf.Class
	// wantsPacket: its payload conditions are of packets, not of the stream.
	wantsPacket bool
	wantsStream bool
	events      []decode.Event
	engine      []string // Events of detection and the app layer's beginnings.
	packet      []packetCondition
	flow        []flowCondition
	file        []fileCondition
	after       []deed
	filter      *limiter // detection_filter
	limit       *limiter // threshold
}

// Alertable says whether an alert of the rule is told.
func (r *rule) Alertable() bool { return !r.noAlert }

// addressSet is one that rules may share.
type addressSet struct {
	*netset.Addrs
	id  int
	any bool
}

// Ruleset is immutable.
type Ruleset struct {
	rules  []*rule
	groups [protos][2]group
	decode group // Rules on events of broken packets.
	apps   map[string]*[2]appGroup
	frames frameRules
	wanted map[suricata.Buffer]bool // The buffers that rules look into.
	sets   map[*netset.Addrs]*addressSet
	bits   names // Of flowbits.
	ints   names
	xbits  names
	site   Site
	// known is the rules of the set before by their first chain, while the set
	// is made: chains that are the same need no compiling.
	known map[*suricata.Chain]*rule
}

// Site is what the files beside the rules say.
type Site struct {
	Thresholds []siteconf.Entry
	Classes    siteconf.Classes
	// Data is what the rules were prepared with; nil: they know no datasets.
	Data *state.Data
	// Refused and Skipped are how many rules were left out: because they are
	// wrong, and because they ask for another version.
	Refused, Skipped int
	// Order is in which order rules are evaluated by their actions; empty: pass,
	// drop, reject, alert.
	Order []string
	// MaxAlerts is how many alerts a packet has at most (packet-alert-max).
	MaxAlerts int
}

func (s *Ruleset) addresses(a *netset.Addrs) *addressSet {
	set := s.sets[a]
	if set == nil {
		set = &addressSet{Addrs: a, id: len(s.sets), any: a.Any()}
		s.sets[a] = set
	}
	return set
}

// names gives numbers to names.
type names map[string]int

func (n names) of(name string) int {
	if i, ok := n[name]; ok {
		return i
	}
	n[name] = len(n)
	return len(n) - 1
}

// proto is what groups are made by.
type proto uint8

const (
	tcp proto = iota
	udp
	icmp
	other
	protos
)

// Compile makes a ruleset. Rules it cannot apply are returned with their reason
// and left out. What flows and hosts remember keeps its meaning from the set
// before, which may be nil.
func Compile(rules []*suricata.Compiled, site Site, before *Ruleset) (*Ruleset, []error) {
	if site.MaxAlerts == 0 {
		site.MaxAlerts = 15
	}
	if site.Data == nil {
		site.Data = state.New(state.Config{})
	}
	s := &Ruleset{sets: map[*netset.Addrs]*addressSet{}, bits: names{}, ints: names{}, xbits: names{}, site: site}
	if before != nil {
		s.bits, s.ints, s.xbits = maps.Clone(before.bits), maps.Clone(before.ints), maps.Clone(before.xbits)
		s.known = make(map[*suricata.Chain]*rule, len(before.rules))
		for _, r := range before.rules {
			if len(r.chains) > 0 {
				s.known[&r.chains[0]] = r
			}
		}
	}
	var problems []error
	for _, c := range rules {
		r, err := s.rule(c)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s:%d: sid %d: %w", c.Rule.File, c.Line, c.SID, err))
			continue
		}
		s.rules = append(s.rules, r)
	}
	s.known = nil
	s.order()
	s.indexFrames()
	if err := s.group(); err != nil {
		problems = append(problems, err)
	}
	return s, problems
}

// actionRank is the place of an action in the order of evaluation.
func (s *Ruleset) actionRank(v suricata.Verb) int {
	if len(s.site.Order) == 0 {
		return actionRank(v)
	}
	name := string(v)
	if actionRank(v) == rejectRank {
		name = string(suricata.Reject)
	}
	if i := slices.Index(s.site.Order, name); i >= 0 {
		return i
	}
	return len(s.site.Order)
}

// Site is what the rules were compiled for.
func (s *Ruleset) Site() Site { return s.site }

// Len is how many rules there are.
func (s *Ruleset) Len() int { return len(s.rules) }

func (s *Ruleset) rule(c *suricata.Compiled) (*rule, error) {
	r := &rule{Compiled: c, chains: c.Chains(), both: c.Way == suricata.Either, action: c.Actions[0].Verb}
	if len(r.chains) > maxChains {
		return nil, fmt.Errorf("matches on %d buffers, at most %d", len(r.chains), maxChains)
	}
	r.class = s.site.Classes.Of(c)
	r.src, r.dst = s.addresses(c.Src), s.addresses(c.Dst)
	if err := s.programs(r); err != nil {
		return nil, err
	}
	switch c.Type {
	case suricata.TypePacket:
		r.wantsPacket = true
	case suricata.TypeStream:
		r.wantsStream = true
	case suricata.TypePacketStream:
		r.wantsPacket, r.wantsStream = true, true
	}
	if err := s.prepared(r); err != nil {
		return nil, err
	}
	for _, o := range c.Events {
		if err := r.addEvent(o); err != nil {
			return nil, err
		}
	}
	for _, o := range c.Packet {
		f, err := packetConditionOf(o)
		if err != nil {
			return nil, err
		}
		r.packet = append(r.packet, f)
	}
	for _, o := range c.Flow {
		f, err := s.flowConditionOf(o)
		if err != nil {
			return nil, err
		}
		r.flow = append(r.flow, f)
	}
	for _, o := range c.File {
		f, err := fileConditionOf(c, o)
		if err != nil {
			return nil, err
		}
		r.file = append(r.file, f)
	}
	for _, o := range c.Post {
		if err := s.addDeed(r, o); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// programs compiles what a rule asks of its buffers, unless the set before did.
func (s *Ruleset) programs(r *rule) (err error) {
	if len(r.chains) > 0 {
		if old := s.known[&r.chains[0]]; old != nil {
			r.programs, r.transforms = old.programs, old.transforms
			return nil
		}
	}
	if r.programs, err = match.CompileRule(r.Compiled); err != nil {
		return err
	}
	r.transforms = make([]transform.Chain, len(r.chains))
	for i := range r.chains {
		if len(r.chains[i].Transforms) == 0 {
			continue
		}
		if r.transforms[i], err = transform.Compile(r.chains[i].Transforms); err != nil {
			return err
		}
	}
	return nil
}

// Known are the rules by their text, for reading them again.
func (s *Ruleset) Known() map[string]*suricata.Rule {
	known := make(map[string]*suricata.Rule, len(s.rules))
	for _, r := range s.rules {
		known[r.Text()] = r.Rule
	}
	return known
}

// prepared says whether the datasets of a rule are there.
func (s *Ruleset) prepared(r *rule) error {
	for i := range r.chains {
		for _, step := range r.chains[i].Steps {
			if d, ok := step.(*suricata.DataStep); ok && s.site.Data.Lookup(d) == nil {
				return fmt.Errorf("%s is not prepared", d.Keyword)
			}
		}
	}
	return nil
}

func (r *rule) addEvent(o *suricata.Option) error {
	name := o.Value.String()
	switch o.Name {
	case "decode-event", "engine-event":
		e, ok := decode.EventByName("decoder." + name)
		if !ok {
			r.engine = append(r.engine, name)
			return nil
		}
		r.events = append(r.events, e)
	case "stream-event":
		e, ok := decode.EventByName("stream." + name)
		if !ok {
			return fmt.Errorf("no such event %q", name)
		}
		r.events = append(r.events, e)
	default: // app-layer-event
		r.engine = append(r.engine, name)
	}
	return nil
}

// order sorts the rules into their order of evaluation.
func (s *Ruleset) order() {
	slices.SortStableFunc(s.rules, func(a, b *rule) int {
		return cmp.Or(
			cmp.Compare(s.actionRank(a.action), s.actionRank(b.action)),
			cmp.Compare(a.bitRank(), b.bitRank()),
			cmp.Compare(a.class.Priority, b.class.Priority),
		)
	})
	for i, r := range s.rules {
		r.index = int32(i)
	}
}

func actionRank(v suricata.Verb) int {
	switch v {
	case suricata.Pass:
		return 0
	case suricata.Drop:
		return 1
	case suricata.Reject, suricata.RejectSrc, suricata.RejectDst, suricata.RejectBoth:
		return rejectRank
	}
	return 3
}

// rejectRank is that of all kinds of rejecting.
const rejectRank = 2

// bitRank puts rules that set flowbits before those that ask for them.
func (r *rule) bitRank() int {
	var sets, asks bool
	for _, o := range r.Options {
		if b, ok := o.Value.(*suricata.Bits); ok {
			sets = sets || !b.Asks() && b.Cmd != "noalert"
			asks = asks || b.Asks()
		}
	}
	switch {
	case sets && !asks:
		return 0
	case sets:
		return 1
	case asks:
		return 2
	}
	return 3
}

// Data is what the rules know beyond packets and flows.
func (s *Ruleset) Data() *state.Data { return s.site.Data }
