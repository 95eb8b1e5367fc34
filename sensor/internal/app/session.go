package app

import (
	"bytes"
	"slices"
)

// Registry is the protocols a sensor knows.
type Registry struct {
	// GivenUp counts the transactions that were forgotten before they were
	// judged, because too many waited.
	GivenUp uint64

	config *Config
	list   []*Protocol
}

// NewRegistry takes protocols in the order in which they are asked.
func NewRegistry(c *Config, list []*Protocol) *Registry { return &Registry{config: c, list: list} }

// Protocols are those of the registry.
func (r *Registry) Protocols() []*Protocol { return r.list }

// Find returns a protocol by its name or an alias.
func (r *Registry) Find(name string) *Protocol {
	for _, p := range r.list {
		if p.Name == name || slices.Contains(p.Aliases, name) {
			return p
		}
	}
	return nil
}

// maxUnknown is how many bytes of a direction are looked at before its
// protocol counts as unknown.
const maxUnknown = 4 << 10

// maxBefore bounds the protocols of one flow whose transactions wait.
const maxBefore = 8

// Session is the application layer of one flow.
type Session struct {
	registry *Registry
	ctx      Context
	proto    *Protocol
	parser   Parser
	before   []Parser // Of protocols the flow had before, while they have transactions.
	pending  [2][]byte
	at       [2]uint64 // Offset of pending.
	unknown  [2]bool   // Nothing is known by this direction's bytes.
	given    [2]bool   // More of them will not be looked at.
	done     [2]bool   // Nothing follows.
	stopped  bool
	events   []string
	become   *string
}

// NewSession begins the application layer of a flow.
func NewSession(r *Registry, f FlowInfo) *Session {
	s := &Session{registry: r}
	s.ctx = Context{Config: r.config, Flow: f, Hooks: s}
	return s
}

// Protocol is that of the flow, nil while it is not known.
func (s *Session) Protocol() *Protocol { return s.proto }

// Failed says that the protocol will not be known.
func (s *Session) Failed() bool { return s.proto == nil && s.unknown[0] && s.unknown[1] }

// Txs are the transactions not yet freed, oldest first.
func (s *Session) Txs() []Tx {
	if len(s.before) == 0 {
		if s.parser == nil {
			return nil
		}
		return s.parser.Txs()
	}
	var list []Tx
	for _, p := range s.before {
		list = append(list, p.Txs()...)
	}
	if s.parser != nil {
		list = append(list, s.parser.Txs()...)
	}
	return list
}

// Free forgets a transaction.
func (s *Session) Free(tx Tx) {
	for _, p := range s.before {
		p.Free(tx)
	}
	if s.parser != nil {
		s.parser.Free(tx)
	}
}

// own tells new transactions their protocol.
func (s *Session) own() {
	txs := s.parser.Txs()
	for i := len(txs) - 1; i >= 0 && txs[i].Common().Protocol == nil; i-- {
		txs[i].Common().Protocol = s.proto
	}
}

// TakeEvents returns the events without a transaction that were raised since
// the last call.
func (s *Session) TakeEvents() []string {
	list := s.events
	s.events = nil
	return list
}

// Data brings the next bytes of a direction; a datagram comes whole, at offset 0.
func (s *Session) Data(dir Dir, offset uint64, data []byte, time int64) {
	if s.stopped {
		return
	}
	if s.ctx.Flow.UDP {
		s.datagram(dir, data, time)
		return
	}
	if s.proto == nil && s.given[dir] {
		return
	}
	if len(s.pending[dir]) == 0 {
		s.at[dir] = offset
	}
	s.pending[dir] = append(s.pending[dir], data...)
	if s.proto == nil && !s.recognise(dir) {
		return
	}
	s.parse(dir, time)
}

// Gap says that size bytes of a direction are lost.
func (s *Session) Gap(dir Dir, offset, size uint64) {
	if s.stopped {
		return
	}
	s.at[dir], s.pending[dir] = offset+size, s.pending[dir][:0]
	if s.proto == nil {
		s.unknown[dir] = true
		return
	}
	if s.parser != nil && !s.parser.Gap(dir, size) {
		s.stopped = true
	}
}

// End says that nothing follows in a direction.
func (s *Session) End(dir Dir, time int64) {
	if s.stopped || s.done[dir] {
		return
	}
	s.done[dir] = true
	if s.proto == nil {
		if len(s.pending[dir]) > 0 {
			s.unknown[dir] = true
		}
		return
	}
	s.parse(dir, time)
}

// Finish says that the flow is over.
func (s *Session) Finish() {
	for _, p := range s.before {
		p.End()
	}
	if s.parser != nil {
		s.parser.End()
	}
}

func (s *Session) datagram(dir Dir, data []byte, time int64) {
	if s.proto == nil {
		s.pending[dir] = data
		known := s.recognise(dir)
		s.pending[dir] = nil
		if !known {
			s.unknown[dir] = true
			return
		}
	}
	if s.parser != nil {
		s.parser.Parse(&Input{Dir: dir, Data: data, Time: time})
		s.own()
		s.change()
	}
}

// parse feeds the parser what it has not consumed.
func (s *Session) parse(dir Dir, time int64) {
	for s.parser != nil && !s.stopped {
		data := s.pending[dir]
		if len(data) == 0 && !s.done[dir] {
			return
		}
		consumed, _ := s.parser.Parse(&Input{Dir: dir, Data: data, Offset: s.at[dir], End: s.done[dir], Time: time})
		s.own()
		if consumed > 0 {
			s.at[dir] += uint64(consumed)
			s.pending[dir] = data[:copy(data, data[consumed:])]
		}
		if s.change() {
			if !s.recognise(dir) {
				return
			}
			continue
		}
		if consumed == 0 || len(s.pending[dir]) == 0 {
			break
		}
	}
	if len(s.pending[dir]) > MaxPending {
		s.stopped = true
		s.pending = [2][]byte{}
	}
}

// change applies Become. It says whether the protocol changed.
func (s *Session) change() bool {
	if s.become == nil {
		return false
	}
	name := *s.become
	s.become = nil
	s.before = slices.DeleteFunc(s.before, func(p Parser) bool { return len(p.Txs()) == 0 })
	if s.parser != nil {
		s.before = append(s.before, s.parser)
	}
	if len(s.before) > maxBefore {
		s.stopped = true // A tunnel in a tunnel in a tunnel.
	}
	s.proto, s.parser, s.unknown, s.given = nil, nil, [2]bool{}, [2]bool{}
	if p := s.registry.Find(name); p != nil {
		s.adopt(p)
	}
	return true
}

func (s *Session) adopt(p *Protocol) {
	s.proto = p
	if p.New != nil {
		s.parser = p.New(&s.ctx)
	} else {
		s.parser = nil
	}
}

// recognise looks at the bytes of a direction and, if they tell, at those of
// the other that wait.
func (s *Session) recognise(dir Dir) bool {
	if s.proto != nil {
		return true
	}
	data := s.pending[dir]
	p, unsure := s.registry.recognise(dir, data, s.ctx.Flow)
	if p == nil {
		if !unsure || len(data) >= maxUnknown {
			s.unknown[dir] = true
			if len(data) >= maxUnknown {
				s.at[dir] += uint64(len(data))
				s.pending[dir], s.given[dir] = nil, true
			}
		}
		return false
	}
	s.adopt(p)
	if other := dir.Other(); len(s.pending[other]) > 0 && !s.ctx.Flow.UDP {
		s.parse(other, 0)
	}
	return true
}

// recognise finds the protocol of the first bytes of a direction; unsure says
// that more of them may tell.
func (r *Registry) recognise(dir Dir, data []byte, f FlowInfo) (p *Protocol, unsure bool) {
	transport := TCP
	if f.UDP {
		transport = UDP
	}
	for _, p := range r.list {
		if p.Transport&transport == 0 {
			continue
		}
		for i := range p.Signatures {
			sig := &p.Signatures[i]
			if sig.Dir != dir {
				continue
			}
			switch sig.look(data) {
			case Yes:
				return p, false
			case Unsure:
				unsure = true
			}
		}
	}
	for _, atPort := range []bool{true, false} {
		for _, p := range r.list {
			if p.Probe == nil || p.Transport&transport == 0 || slices.Contains(p.Ports, f.ServerPort) != atPort {
				continue
			}
			if !atPort && len(p.Ports) > 0 {
				continue
			}
			switch p.Probe(dir, data) {
			case Yes:
				return p, false
			case Unsure:
				unsure = true
			}
		}
	}
	return nil, unsure && !f.UDP
}

// look compares a signature with the first bytes.
func (sig *Signature) look(data []byte) Verdict {
	end := min(len(data), sig.Depth)
	if end <= sig.Offset {
		return Unsure
	}
	window := data[sig.Offset:end]
	text := []byte(sig.Text)
	if sig.Fold {
		window, text = bytes.ToLower(window), bytes.ToLower(text)
	}
	if bytes.Contains(window, text) {
		return Yes
	}
	if len(data) >= sig.Depth {
		return No
	}
	for n := min(len(text)-1, len(window)); n > 0; n-- { // The text may have begun.
		if bytes.HasSuffix(window, text[:n]) {
			return Unsure
		}
	}
	if sig.Offset+len(text) == sig.Depth {
		return No // It had to be here.
	}
	return Unsure
}

// Become implements Hooks.
func (s *Session) Become(proto string) { s.become = &proto }

// Expect implements Hooks.
func (s *Session) Expect(Expectation) {}

// Frame implements Hooks.
func (s *Session) Frame(Frame) {}

// Stop implements Hooks.
func (s *Session) Stop(bool) { s.stopped = true }

// GiveUp implements Hooks.
func (s *Session) GiveUp(Tx) { s.registry.GivenUp++ }

// FlowEvent implements Hooks.
func (s *Session) FlowEvent(e EventID) {
	if s.proto != nil && int(e) < len(s.proto.Events) {
		s.events = append(s.events, s.proto.Events[e])
	}
}
