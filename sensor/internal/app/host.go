package app

// Host is the flow's place, as far as a session acts on it.
type Host interface {
	// Reverse turns the flow around: what was taken for its client is the
	// server. It says whether it did; of TCP only flows whose beginning was not
	// seen are turned.
	Reverse() bool
	// Expect announces a flow to come.
	Expect(Expectation)
	// Bypass says that nothing that follows in the flow is worth inspecting.
	Bypass()
}

// Event names that no protocol owns: how a flow's protocol came to be known.
const (
	EvMismatch        = "applayer_mismatch_protocol_both_directions"
	EvWrongFirst      = "applayer_wrong_direction_first_data"
	EvOneDirection    = "applayer_detect_protocol_only_one_direction"
	EvSkipped         = "applayer_proto_detection_skipped"
	EvNoTLS           = "applayer_no_tls_after_starttls"
	EvUnexpectedProto = "applayer_unexpected_protocol"
)

// skipAfter is how many bytes of one direction alone are waited for.
const skipAfter = 100_000

// Attach says what the session may do to its flow. Without, it does nothing.
func (s *Session) Attach(h Host) { s.host = h }

// Turned says that a connection that Reverse agreed to turn is turned now:
// directions are called by their new names from here on.
func (s *Session) Turned() { s.flip = 0 }

// Expected says that the flow was announced, by which protocol and data.
func (s *Session) Expected(e Expectation) {
	p := s.registry.Find(e.Proto)
	if p == nil || s.proto != nil {
		return
	}
	s.ctx.Expected = e.Data
	s.checked = [2]bool{true, true}
	s.adopt(p)
}

// Become implements Hooks.
func (s *Session) Become(proto string) { s.become = &proto }

// Expect implements Hooks.
func (s *Session) Expect(e Expectation) {
	if s.host != nil {
		s.host.Expect(e)
	}
}

// Stop implements Hooks.
func (s *Session) Stop(bypass bool) {
	s.stopped = true
	if !bypass {
		s.count().Errors++
	}
	if bypass && s.host != nil {
		s.host.Bypass()
	}
}

// GiveUp implements Hooks.
func (s *Session) GiveUp(Tx) { s.registry.GivenUp++ }

// FlowEvent implements Hooks.
func (s *Session) FlowEvent(e EventID) {
	if s.proto != nil && int(e) < len(s.proto.Events) {
		s.events = append(s.events, s.proto.Name+"."+s.proto.Events[e])
	}
}

// expectedOther raises what there is to say when a protocol was asked for
// (Become) and the bytes are of p, or of none that is known.
func (s *Session) expectedOther(p *Protocol) {
	want := s.expected
	s.expected = nil
	switch {
	case want == nil || want == p:
	case want.Name == "tls":
		s.events = append(s.events, EvNoTLS)
	default:
		s.events = append(s.events, EvUnexpectedProto)
	}
}

// check looks at the first bytes of the direction that did not tell the
// protocol: they should be of the same.
func (s *Session) check(dir Dir) {
	s.checked[dir] = true
	p, unsure := s.registry.recognise(dir, s.pending[dir], s.ctx.Flow, true)
	switch {
	case p == s.proto || unsure:
	case p != nil:
		s.events = append(s.events, EvMismatch)
	case s.proto.tells(dir):
		s.events = append(s.events, EvOneDirection)
	}
}

// tells says whether a direction of the protocol can be recognised.
func (p *Protocol) tells(dir Dir) bool {
	for i := range p.Signatures {
		if p.Signatures[i].Dir == dir {
			return true
		}
	}
	return false
}
