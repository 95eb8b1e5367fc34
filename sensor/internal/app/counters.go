package app

// Counters are those of one protocol over one transport.
type Counters struct {
	Flows, Txs, Errors uint64
}

// counted are the counters of a protocol, over TCP and UDP.
type counted [2]Counters

// Counters calls do with those of every protocol, under Suricata's names: a
// protocol that both transports carry has two.
func (r *Registry) Counters(do func(name string, c Counters)) {
	for _, p := range r.list {
		c := r.counted[p]
		switch p.Transport {
		case TCP:
			do(p.Name, c[0])
		case UDP:
			do(p.Name, c[1])
		default:
			do(p.Name+"_tcp", c[0])
			do(p.Name+"_udp", c[1])
		}
	}
}

// count are the counters of the session's protocol.
func (s *Session) count() *Counters {
	c := s.registry.counted[s.proto]
	if c == nil {
		return &Counters{} // Before the protocol is known.
	}
	if s.ctx.Flow.UDP {
		return &c[1]
	}
	return &c[0]
}
