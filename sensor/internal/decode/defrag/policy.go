package defrag

import (
	"encoding/binary"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/decode/hostos"
)

// verdict is what one piece makes of a fragment.
type verdict uint8

const (
	next verdict = iota // Look at the piece after it.
	keep                // Keep what is left of the fragment.
	lose                // Another has all of it.
)

// add lets the fragment and the pieces at hand take from each other what the
// policy says, and keeps what is left of the fragment. It returns false if there
// is no room.
func (t *Table) add(d *datagram, f *Fragment, r *Result) bool {
	end := int32(f.Offset + len(f.Data))
	for i := d.first; i != 0 && !r.Overlap; i = t.pieces.At(i).next {
		p := t.pieces.At(i)
		r.Overlap = !p.skip && int32(f.Offset) < p.offset+p.size && p.offset < end
	}
	switch d.policy {
	case hostos.First, hostos.OldSolaris, hostos.HPUX11, hostos.MacOS:
		return t.addUnder(d, f, end)
	case hostos.Last:
		return t.addOver(d, f, end)
	}
	trim, ok := t.trade(d, int32(f.Offset), end)
	return !ok || t.insert(d, f, int32(f.Offset)+trim, end)
}

// addUnder keeps of a fragment what no piece has.
func (t *Table) addUnder(d *datagram, f *Fragment, end int32) bool {
	from := int32(f.Offset)
	for i := d.first; i != 0 && from < end; {
		p := *t.pieces.At(i)
		if from < p.offset && !t.insert(d, f, from, min(end, p.offset)) {
			return false
		}
		from = max(from, p.offset+p.size)
		i = p.next
	}
	return from >= end || t.insert(d, f, from, end)
}

// addOver keeps a fragment, and of the pieces what it does not have.
func (t *Table) addOver(d *datagram, f *Fragment, end int32) bool {
	from := int32(f.Offset)
	for i := d.first; i != 0; {
		p := t.pieces.At(i)
		this, pEnd := i, p.offset+p.size
		i = p.next
		if p.offset >= end || pEnd <= from {
			continue
		}
		if pEnd > end { // Its tail becomes a piece, before it is cut.
			tail := Fragment{Offset: int(end), More: p.more, Data: t.arena.Bytes(p.data)[end-p.offset : p.size]}
			if !t.insert(d, &tail, end, pEnd) {
				return false
			}
			p.more = true
		}
		if p.offset >= from {
			t.remove(d, this)
		} else {
			d.covered -= pEnd - from
			p.size = from - p.offset
		}
	}
	return t.insert(d, f, from, end)
}

// trade is for policies that are what a system's code does: it looks at pieces
// from the one before the fragment's place on, and stops at the first that had
// a say. If the fragment is behind all of them, or at the front of the
// datagram, it looks at all; that is Suricata's way, and a few datagrams depend
// on it. It returns how many bytes at the fragment's front are gone, and false
// if all are.
func (t *Table) trade(d *datagram, offset, end int32) (trim int32, ok bool) {
	for i := t.predecessor(d, offset); i != 0; {
		p := t.pieces.At(i)
		following := p.next
		if !p.skip {
			var after *piece
			if following != 0 {
				after = t.pieces.At(following)
			}
			switch decide(d.policy, &trim, offset, end, p, after) {
			case lose:
				return trim, false
			case keep:
				if p.skip || p.trim >= p.size {
					t.remove(d, i)
				}
				return trim, trim < end-offset
			}
		}
		i = following
	}
	return trim, trim < end-offset
}

// predecessor is the piece before the first that begins at offset or after; the
// first piece if there is none.
func (t *Table) predecessor(d *datagram, offset int32) uint32 {
	last := d.first
	for i := d.first; offset > 0 && i != 0; last, i = i, t.pieces.At(i).next {
		if t.pieces.At(i).offset >= offset {
			return last
		}
	}
	return d.first
}

// remove forgets one piece of a datagram.
func (t *Table) remove(d *datagram, i uint32) {
	link := &d.first
	for *link != i {
		link = &t.pieces.At(*link).next
	}
	*link = t.pieces.At(i).next
	d.pieces--
	d.covered -= t.pieces.At(i).size
	t.release(i)
}

// decide is those policies: what a fragment of [offset, end), of which trim
// bytes are gone, and a piece that came before it take from each other.
func decide(policy hostos.Policy, trim *int32, offset, end int32, p, after *piece) verdict {
	pEnd, pStart := p.offset+p.size, p.offset+p.trim
	start := offset + *trim
	switch policy {
	case hostos.BSDRight: // What lies further right is written last, and wins.
	case hostos.Linux, hostos.OldLinux: // Whoever begins first has it.
		if pStart < start && pEnd > start {
			*trim += pEnd - offset
			start = offset + *trim
		}
		if start < pStart && end > pStart {
			p.trim = end - p.offset
			return keep
		}
		if start <= pStart && end >= pEnd {
			p.skip = true
			return keep
		}
	case hostos.Windows, hostos.Vista, hostos.Windows2003: // The first has it, unless it lies wholly inside.
		switch {
		case offset >= p.offset && end <= pEnd:
			return lose
		case offset < p.offset && end > pEnd:
			p.skip = true
			return keep
		case start > pStart && start < pEnd, offset == p.offset && end > pEnd:
			*trim += pEnd - offset
			return keep
		}
	case hostos.Solaris: // The first has it, except where the new one covers it.
		if offset < pEnd {
			if offset >= p.offset {
				*trim = pEnd - offset
			} else if end >= pEnd {
				p.skip = true
			}
			return keep
		}
	default: // BSD, HPUX10, IRIX: the first has it, unless the new one begins before it.
		if offset >= pEnd {
			break
		}
		if p.offset <= offset {
			if pEnd > end {
				return lose
			}
			*trim = pEnd - offset
		} else if end > pStart {
			p.trim = max(p.trim, end-p.offset)
		}
		if after != nil && end > after.offset {
			after.trim = end - after.offset
		}
		return keep
	}
	return next
}

// patch corrects the IP header of a rebuilt packet, whose payload that was in
// fragments begins at head. It returns false if the lengths do not fit.
func patch(ip []byte, head, nextAt int, nextIs uint8) bool {
	be := binary.BigEndian
	if ip[0]>>4 == 4 {
		if len(ip) > maxIP {
			return false
		}
		sum := packet.UpdateChecksum(be.Uint16(ip[10:]), be.Uint16(ip[2:]), uint16(len(ip)))
		be.PutUint16(ip[10:], packet.UpdateChecksum(sum, be.Uint16(ip[6:]), 0))
		be.PutUint16(ip[2:], uint16(len(ip)))
		be.PutUint16(ip[6:], 0)
		return true
	}
	if len(ip) > packet.IPv6Len+maxIP || head < packet.IPv6Len {
		return false
	}
	be.PutUint16(ip[4:], uint16(len(ip)-packet.IPv6Len))
	ip[nextAt] = nextIs
	return true
}
