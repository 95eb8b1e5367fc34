package engine

import "math/bits"

// spread is how many chains there are for a connection: a SYN, which finds nobody, should not have to look at somebody
// else's connection, which is rarely in the cache.
const spread = 4

// table finds a connection by its addresses: chains through the connections, and linear hashing, so that it grows by a few
// chains at a time and never stops to rehash millions.
type table struct {
	heads []uint32
	level uint32 // heads is between 1<<level and 2<<level long.
	count int
}

func (t *table) init() {
	t.level = 8
	t.heads = make([]uint32, 1<<t.level)
}

func (t *table) bucket(h uint32) uint32 {
	b := h & (2<<t.level - 1)
	if b >= uint32(len(t.heads)) {
		b &= 1<<t.level - 1
	}
	return b
}

// hashOf mixes a connection's four numbers with the secret.
func (s *Stack) hashOf(local, remote *ip, lport, rport uint16) uint32 {
	a := s.seed[0] ^ uint64(lport)<<16 ^ uint64(rport)
	h, l := bits.Mul64(remote.lo()^a, local.lo()^s.seed[1]|1)
	a = h ^ l
	if !remote.is4() {
		h, l = bits.Mul64(remote.hi()^a, local.hi()^0x9e3779b97f4a7c15)
		a = h ^ l
	}
	h, l = bits.Mul64(a^s.seed[1], 0xd6e8feb86659fd93)
	return uint32(h ^ l)
}

func (s *Stack) lookup(local, remote *ip, lport, rport uint16) uint32 {
	t := &s.table
	for ci := t.heads[t.bucket(s.hashOf(local, remote, lport, rport))]; ci != 0; {
		c := s.conns.at(ci)
		if c.rport == rport && c.lport == lport && c.remote == *remote && c.local == *local {
			return ci
		}
		ci = c.next
	}
	return 0
}

func (s *Stack) insert(ci uint32, c *conn) {
	t := &s.table
	t.count++
	for t.count*spread > len(t.heads) {
		s.split()
	}
	b := t.bucket(s.hashOf(&c.local, &c.remote, c.lport, c.rport))
	c.next = t.heads[b]
	t.heads[b] = ci
}

// split adds a chain and moves to it what belongs there.
func (s *Stack) split() {
	t := &s.table
	old := uint32(len(t.heads)) - 1<<t.level
	ci := t.heads[old]
	t.heads = append(t.heads, 0)
	t.heads[old] = 0
	fresh := uint32(len(t.heads)) - 1
	for ci != 0 {
		c := s.conns.at(ci)
		next := c.next
		b := s.hashOf(&c.local, &c.remote, c.lport, c.rport) & (2<<t.level - 1)
		if b != fresh {
			b = old
		}
		c.next = t.heads[b]
		t.heads[b] = ci
		ci = next
	}
	if len(t.heads) == 2<<t.level {
		t.level++
	}
}

func (s *Stack) unlink(ci uint32, c *conn) {
	t := &s.table
	link := &t.heads[t.bucket(s.hashOf(&c.local, &c.remote, c.lport, c.rport))]
	for *link != 0 {
		if *link == ci {
			*link = c.next
			t.count--
			return
		}
		link = &s.conns.at(*link).next
	}
}
