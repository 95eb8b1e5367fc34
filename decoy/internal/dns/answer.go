// Package dns answers for DNS zones: queries in, answers out, without an allocation. What a query asks is looked up by its
// name as it came, folded to lower case; answers are put together from records in wire form.
//
// Sources: RFC 1035, 2308 (negative answers), 3597 (unknown types), 4592 (wildcards), 6891 (EDNS), 8482 (ANY).
package dns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net"
	"net/netip"
	"time"
)

var be = binary.BigEndian

// Return codes.
const (
	formErr, nxDomain, notImplemented, refused = 1, 3, 4, 5
	badVersion                                 = 16
)

// Limits of answers.
const (
	maxUDP     = 1232 // What passes everywhere without fragments (DNS flag day 2020).
	maxTCP     = 65535
	maxAliases = 8 // CNAMEs followed.
)

// query is what is asked.
type query struct {
	end    int // Of the question.
	name   [255]byte
	length int
	kind   uint16
	edns   bool
	do     bool
	limit  int
}

func (q *query) key() []byte { return q.name[:q.length] }

// parse reads a query; code is what to answer when it cannot be served.
func (q *query) parse(b []byte) (code int, ok bool) {
	q.limit = 512
	q.end = 12
	if be.Uint16(b[4:]) != 1 || be.Uint16(b[6:])+be.Uint16(b[8:]) != 0 {
		return formErr, false
	}
	at := 12
	for {
		if at >= len(b) || b[at] > 63 || q.length+int(b[at])+1 > len(q.name) || at+1+int(b[at]) > len(b) {
			return formErr, false
		}
		n := int(b[at]) + 1
		for i, c := range b[at : at+n] {
			if i > 0 && c >= 'A' && c <= 'Z' {
				c |= 0x20
			}
			q.name[q.length+i] = c
		}
		q.length += n
		at += n
		if n == 1 {
			break
		}
	}
	if at+4 > len(b) {
		return formErr, false
	}
	q.kind = be.Uint16(b[at:])
	class := be.Uint16(b[at+2:])
	q.end = at + 4
	if b[2]&0x78 != 0 {
		return notImplemented, false
	}
	rest := b[q.end:]
	if be.Uint16(b[10:]) > 0 && len(rest) >= 11 && rest[0] == 0 && be.Uint16(rest[1:]) == typeOPT {
		q.edns, q.do = true, rest[7]&0x80 != 0
		q.limit = min(maxUDP, max(512, int(be.Uint16(rest[3:]))))
		if rest[6] != 0 {
			return badVersion, false
		}
	}
	if class != 1 || q.kind == typeAXFR || q.kind == typeAXFR-1 {
		return refused, false
	}
	return 0, true
}

// message is an answer being written. One is used again and again, so that answers allocate nothing.
type message struct {
	b        []byte
	q        query
	limit    int
	counts   [3]uint16 // Of answer, authority, additional.
	tooLong  bool
	optional bool // Records that do not fit are left out without a word.
}

const (
	answers = iota
	authorities
	additionals
)

// add writes the records of a set under a name: nil for the question's, by a pointer.
func (m *message) add(section int, owner []byte, s *set) {
	if s == nil {
		return
	}
	for rest := s.records; len(rest) > 0; {
		n := 10 + int(be.Uint16(rest[8:]))
		need := n + 2
		if owner != nil {
			need = n + len(owner)
		}
		if len(m.b)+need > m.limit {
			m.tooLong = m.tooLong || !m.optional
			return
		}
		if owner == nil {
			m.b = append(m.b, 0xc0, 12)
		} else {
			m.b = append(m.b, owner...)
		}
		m.b = append(m.b, rest[:n]...)
		rest = rest[n:]
		m.counts[section]++
	}
}

// signed writes a set, and its signatures where they are asked for.
func (m *message) signed(section int, owner []byte, n *node, s *set) {
	m.add(section, owner, s)
	if s == nil || !m.q.do {
		return
	}
	if all := n.set(typeRRSIG); all != nil {
		for rest := all.records; len(rest) > 0; {
			size := 10 + int(be.Uint16(rest[8:]))
			if size >= 12 && be.Uint16(rest[10:]) == s.kind {
				one := set{kind: typeRRSIG, count: 1, records: rest[:size]}
				m.add(section, owner, &one)
			}
			rest = rest[size:]
		}
	}
}

// answer writes the answer to a message to dst, of at most limit bytes, or what a datagram may have (0); nil when it deserves
// none.
func (m *message) answer(z *Zones, dst, b []byte, limit int) []byte {
	if len(b) < 12 || b[2]&0x80 != 0 {
		return nil
	}
	q := &m.q
	*q = query{}
	code, ok := q.parse(b)
	if limit == 0 {
		limit = q.limit
	}
	m.b, m.limit = append(dst, b[:q.end]...), len(dst)+limit
	m.counts, m.tooLong, m.optional = [3]uint16{}, false, false
	if q.edns {
		m.limit -= 11
	}
	authoritative := false
	if ok {
		code, authoritative = z.lookup(m)
	}
	if m.tooLong {
		m.b, m.counts = m.b[:len(dst)+q.end], [3]uint16{}
	}
	if q.edns {
		m.b = append(m.b, 0, 0, typeOPT, maxUDP>>8, maxUDP&0xff, byte(code>>4), 0, boolByte(q.do)<<7, 0, 0, 0)
		m.counts[additionals]++
	}
	h := m.b[len(dst):]
	h[2] = 0x80 | b[2]&0x79 | boolByte(authoritative)<<2 | boolByte(m.tooLong)<<1
	h[3] = byte(code & 15)
	if q.end == 12 { // The question could not be read.
		be.PutUint16(h[4:], 0)
	}
	for i, n := range m.counts {
		be.PutUint16(h[6+2*i:], n)
	}
	return m.b
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// lookup fills the message with what the zones say.
func (z *Zones) lookup(m *message) (code int, authoritative bool) {
	name := m.q.key()
	zn := z.zoneOf(name)
	if zn == nil {
		return refused, false
	}
	var owner []byte
	for range maxAliases {
		n, cut := zn.find(name)
		if cut != nil {
			m.refer(zn, cut)
			return 0, owner != nil
		}
		if n == nil {
			m.negative(zn)
			return nxDomain, true
		}
		alias := n.set(typeCNAME)
		if alias == nil || m.q.kind == typeCNAME || m.q.kind == typeANY {
			s := n.set(m.q.kind)
			if m.q.kind == typeANY && len(n.sets) > 0 {
				s = &n.sets[0] // One is enough (RFC 8482).
			}
			if s == nil {
				m.negative(zn)
				return 0, true
			}
			m.signed(answers, owner, n, s)
			return 0, true
		}
		m.signed(answers, owner, n, alias)
		name = alias.records[10:]
		owner = name
		if z.zoneOf(name) != zn {
			break // The asker goes on.
		}
	}
	return 0, true
}

// zoneOf finds the zone with the longest name that holds a name.
func (z *Zones) zoneOf(name []byte) *zone {
	for {
		if zn := z.byApex[string(name)]; zn != nil {
			return zn
		}
		if name[0] == 0 {
			return nil
		}
		name = name[1+name[0]:]
	}
}

// find finds a name's node, or the wildcard that stands for it, or the name of the delegation above it.
func (zn *zone) find(name []byte) (n *node, cut []byte) {
	for at := name; len(at) > len(zn.apex); at = at[1+at[0]:] { // The highest cut decides.
		if d := zn.nodes[string(at)]; d != nil && d.set(typeNS) != nil {
			cut = at
		}
	}
	if cut != nil {
		return nil, cut
	}
	if n = zn.nodes[string(name)]; n != nil {
		return n, nil
	}
	for at := name; len(at) > len(zn.apex); {
		at = at[1+at[0]:]
		if zn.nodes[string(at)] == nil {
			continue
		}
		var star [257]byte
		star[0], star[1] = 1, '*'
		return zn.nodes[string(star[:2+copy(star[2:], at)])], nil // Of the closest encloser only (RFC 4592).
	}
	return nil, nil
}

// refer writes a delegation, with the addresses of its servers that lie within the zone.
func (m *message) refer(zn *zone, cut []byte) {
	n := zn.nodes[string(cut)]
	ns := n.set(typeNS)
	m.signed(authorities, cut, n, ns)
	m.optional = true
	for rest := ns.records; len(rest) > 0; {
		size := 10 + int(be.Uint16(rest[8:]))
		server := rest[10:size]
		if g := zn.nodes[string(server)]; g != nil {
			m.add(additionals, server, g.set(typeA))
			m.add(additionals, server, g.set(typeAAAA))
		}
		rest = rest[size:]
	}
}

// negative writes the SOA that says how long nothing is there.
func (m *message) negative(zn *zone) {
	n := zn.nodes[zn.apex]
	soa := n.set(typeSOA)
	before := len(m.b)
	m.b = append(m.b, zn.apex...)
	m.b = append(m.b, soa.records...)
	if len(m.b) > m.limit {
		m.b, m.tooLong = m.b[:before], true
		return
	}
	be.PutUint32(m.b[before+len(zn.apex)+4:], zn.negative)
	m.counts[authorities]++
}

// Responder answers datagrams, and bounds what it sends to one prefix (response rate limiting).
type Responder struct {
	zones   *Zones
	message message
	rate    uint32
	seed    maphash.Seed
	buckets [4096]bucket
	// Dropped counts answers that were not sent, Cut those sent without records.
	Dropped, Cut uint64
}

// bucket counts the answers of a second to what hashes there.
type bucket struct {
	second int64
	sent   uint32
}

// NewResponder makes a responder that gives one prefix at most rate answers a second about one name (0: no limit).
func NewResponder(z *Zones, rate int) *Responder {
	return &Responder{zones: z, rate: uint32(rate), seed: maphash.MakeSeed()}
}

// Answer writes the answer to a datagram to dst, or gives nil; now is in ns of any clock.
func (r *Responder) Answer(dst, b []byte, source netip.Addr, now int64) []byte {
	out := r.message.answer(r.zones, dst, b, 0)
	if out == nil || r.rate == 0 {
		return out
	}
	// Above the limit every second answer is cut, which lets those who really ask come back by TCP.
	switch n := r.take(b, out[len(dst)+3]&15, source, now); {
	case n <= r.rate:
		return out
	case n%2 == 0:
		r.Cut++
		return r.message.cut(out, len(dst))
	}
	r.Dropped++
	return nil
}

// take counts an answer; names that are not there count together, because anybody can invent them.
func (r *Responder) take(b []byte, code byte, source netip.Addr, now int64) uint32 {
	a := source.As16()
	n := 7
	if source.Is4() || source.Is4In6() {
		n = 15
	}
	var h maphash.Hash
	h.SetSeed(r.seed)
	_, _ = h.Write(a[:n]) // Never fails.
	if code == 0 {
		_, _ = h.Write(b[12:min(len(b), 12+255)])
	}
	k := &r.buckets[h.Sum64()%uint64(len(r.buckets))]
	if second := now / int64(time.Second); k.second != second {
		k.second, k.sent = second, 0
	}
	k.sent++
	return k.sent
}

// cut leaves the header and question of the answer just written, marked as cut.
func (m *message) cut(out []byte, start int) []byte {
	out = out[:start+m.q.end]
	h := out[start:]
	h[2] |= 2
	clear(h[6:12])
	return out
}

// Bounds of TCP: how long a client may be silent (RFC 7766 asks for seconds), and how many may be there.
const (
	tcpTime  = 10 * time.Second
	maxConns = 1024
)

// ServeTCP answers on connections until the listener ends; those above the bound are closed at once.
func ServeTCP(l net.Listener, z *Zones) error {
	places := make(chan struct{}, maxConns)
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("serve names: %w", err)
		}
		select {
		case places <- struct{}{}:
		default:
			_ = c.Close()
			continue
		}
		go func() { // It ends by its deadline at the latest, or with the stack.
			defer func() { <-places }()
			defer c.Close()
			_ = serveConn(c, z) // How a stranger's connection ended is nobody's concern.
		}()
	}
}

// serveConn answers the messages of a connection, each after its length.
func serveConn(c net.Conn, z *Zones) error {
	in, out := make([]byte, 2+1024), make([]byte, 0, 4096)
	var m message
	for {
		if err := c.SetDeadline(time.Now().Add(tcpTime)); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, in[:2]); err != nil {
			return err
		}
		n := int(be.Uint16(in))
		if n > len(in)-2 {
			return fmt.Errorf("read query: %d bytes", n)
		}
		if _, err := io.ReadFull(c, in[2:2+n]); err != nil {
			return err
		}
		b := m.answer(z, append(out[:0], 0, 0), in[2:2+n], maxTCP)
		if b == nil {
			return nil
		}
		be.PutUint16(b, uint16(len(b)-2))
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
}
