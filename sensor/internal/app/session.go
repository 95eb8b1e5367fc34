package app

import "slices"

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
	txs      uint64 // So far.
	events   []string
	become   *string

	host     Host
	flip     Dir       // 1: what comes is still called by its direction before it was turned.
	first    Dir       // Of the first bytes, if seen says that there were any.
	seen     [2]uint64 // Bytes, while the protocol is not known.
	checked  [2]bool   // This direction's first bytes agree with the protocol.
	expected *Protocol // That Become asked for.
	frames   [2][]*LiveFrame
	frameIDs [2]uint64
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
		s.count().Txs++
		s.txs++
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
	dir ^= s.flip
	if s.ctx.Flow.UDP {
		s.datagram(dir, data, time)
		return
	}
	if s.proto == nil && !s.waits(dir, len(data)) {
		return
	}
	s.grow(dir, offset, data)
	if len(s.pending[dir]) == 0 {
		s.at[dir] = offset
	}
	if s.pending[dir] == nil {
		s.pending[dir], s.registry.spare = s.registry.spare, nil
	}
	s.pending[dir] = append(s.pending[dir], data...)
	defer s.spare()
	if s.proto == nil {
		if !s.recognise(&dir) {
			return
		}
	} else if !s.checked[dir] {
		s.check(dir)
	}
	s.parse(dir, time)
}

// spare gives the memory of what waited back to the registry, for the next
// session that needs some: nearly always nothing is left of it.
func (s *Session) spare() {
	for dir, b := range s.pending {
		if cap(b) <= 2*len(b) {
			continue
		}
		s.pending[dir] = slices.Clone(b)
		if len(b) == 0 {
			s.pending[dir] = nil
		}
		if cap(b) <= maxSpare {
			s.registry.spare = b[:0]
		}
	}
}

// maxSpare is the largest buffer that is kept for the next session.
const maxSpare = 64 << 10

// waits counts bytes of a direction while the protocol is not known. It says
// whether they are looked at.
func (s *Session) waits(dir Dir, n int) bool {
	if s.seen[0]|s.seen[1] == 0 {
		s.first = dir
	}
	s.seen[dir] += uint64(n)
	if s.seen[dir] > skipAfter && s.seen[dir.Other()] == 0 && s.unknown[dir] && !s.unknown[dir.Other()] {
		s.unknown[dir.Other()] = true
		s.events = append(s.events, EvSkipped)
	}
	return !s.given[dir]
}

// Gap says that size bytes of a direction are lost.
func (s *Session) Gap(dir Dir, offset, size uint64) {
	if s.stopped {
		return
	}
	dir ^= s.flip
	s.at[dir], s.pending[dir] = offset+size, s.pending[dir][:0]
	s.endFrames(dir)
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
	dir ^= s.flip
	if s.stopped || s.done[dir] {
		return
	}
	s.done[dir] = true
	s.endFrames(dir)
	if s.proto == nil {
		if len(s.pending[dir]) > 0 {
			s.unknown[dir] = true
		}
		return
	}
	s.parse(dir, time)
}

// TxCount is how many transactions there were.
func (s *Session) TxCount() uint64 { return s.txs }

// Ended says that nothing follows in either direction.
func (s *Session) Ended() bool { return s.done[0] && s.done[1] }

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
	s.pending[dir], s.at[dir] = data, 0
	if s.proto == nil && !s.recognise(&dir) {
		s.pending[dir], s.unknown[dir] = nil, true
		return
	}
	if s.parser != nil {
		s.parser.Parse(&Input{Dir: dir, Data: data, Time: time})
		s.own()
		s.change()
	}
	s.pending[dir] = nil
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
			if len(s.pending[dir]) == 0 || !s.recognise(&dir) {
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
	s.seen, s.checked, s.expected = [2]uint64{}, [2]bool{}, s.registry.Find(name)
	if p := s.expected; p != nil && len(p.Signatures) == 0 && p.Probe == nil {
		s.adopt(p) // Nothing can tell it.
		s.expected = nil
	}
	return true
}

func (s *Session) adopt(p *Protocol) {
	s.proto = p
	s.count().Flows++
	if p.New != nil {
		s.parser = p.New(&s.ctx)
	} else {
		s.parser = nil
	}
	if s.registry.frames[p]&wantStream != 0 && !s.ctx.Flow.UDP {
		for _, dir := range [...]Dir{ToServer, ToClient} {
			s.addFrame(Frame{Kind: streamFrame, Dir: dir, Offset: s.at[dir], Size: -1})
		}
	}
}

// recognise looks at the bytes of a direction and, if they tell, at those of
// the other that wait. The direction changes where the flow is turned around.
func (s *Session) recognise(dir *Dir) bool {
	if s.proto != nil {
		return true
	}
	data := s.pending[*dir]
	found, unsure := s.registry.recognise(*dir, data, s.ctx.Flow, false)
	const enough = 5 // Bytes of a client that could have told.
	if found == nil && !s.ctx.Flow.UDP && s.seen[ToServer] >= enough && len(s.pending[ToClient]) > 0 {
		found = s.registry.fallback(s.pending[ToClient], s.ctx.Flow)
	}
	if found == nil {
		if !unsure || len(data) >= maxUnknown {
			s.unknown[*dir] = true
			if len(data) >= maxUnknown {
				s.at[*dir] += uint64(len(data))
				s.pending[*dir], s.given[*dir] = nil, true
			}
			s.expectedOther(nil)
		}
		return false
	}
	if s.registry.reversed {
		s.reverse(dir)
	}
	s.expectedOther(found)
	s.checked[*dir] = true
	if found.ClientFirst && !s.ctx.Flow.UDP && s.first == ToClient {
		s.events = append(s.events, EvWrongFirst)
		s.unknown, s.stopped = [2]bool{true, true}, true
		s.pending = [2][]byte{}
		return false
	}
	s.adopt(found)
	if other := dir.Other(); len(s.pending[other]) > 0 && !s.ctx.Flow.UDP {
		s.check(other)
		s.parse(other, 0)
	}
	return true
}

// reverse turns the flow around, if it may be: what is known of the
// directions changes sides.
func (s *Session) reverse(dir *Dir) {
	if s.host == nil || !s.host.Reverse() {
		return
	}
	*dir = dir.Other()
	f := &s.ctx.Flow
	if !f.UDP {
		s.flip ^= 1
	}
	f.ClientPort, f.ServerPort = f.ServerPort, f.ClientPort
	s.first = s.first.Other()
	s.pending[0], s.pending[1] = s.pending[1], s.pending[0]
	s.at[0], s.at[1] = s.at[1], s.at[0]
	s.unknown[0], s.unknown[1] = s.unknown[1], s.unknown[0]
	s.given[0], s.given[1] = s.given[1], s.given[0]
	s.done[0], s.done[1] = s.done[1], s.done[0]
}
