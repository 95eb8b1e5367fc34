// Package defrag puts fragments of IP datagrams together as their receiver
// would: systems differ in which of two overlapping fragments they keep, and
// an attacker who knows the receiver shows an observer another datagram.
//
// Memory has one budget, and nothing in it is scanned by the garbage
// collector. When it is spent, the datagram that waited longest is given up.
// It is pure: fragments and their time go in, datagrams come out.
package defrag

import (
	"net/netip"
	"time"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/decode/hostos"
	"github.com/hauberk/hauberk/sensor/internal/flow/slab"
)

const (
	// maxLink is how many bytes of headers before IP are kept; a rebuilt packet
	// behind longer ones begins with IP.
	maxLink = 256
	// maxIP is the most bytes of an IP packet after IPv6's fixed header, or of
	// an IPv4 packet.
	maxIP = 65535
	// MaxDatagram is the most bytes a rebuilt packet has.
	MaxDatagram = maxLink + packet.IPv6Len + maxIP
	// maxPieces is how many fragments of one datagram are kept. At the smallest
	// MTU in use there are 120; thousands of tiny ones are an attack on us, as
	// they lie in a list.
	maxPieces = 512
)

// Config limits what is kept.
type Config struct {
	Memory       int           // Bytes of fragments.
	Datagrams    int           // That wait for fragments.
	Fragments    int           // Of all datagrams.
	Timeout      time.Duration // Since a datagram's last fragment.
	HostPolicies *hostos.Table // Of the destination; may be nil.
}

// DefaultConfig is suricata.yaml's.
func DefaultConfig() Config {
	return Config{Memory: 32 << 20, Datagrams: 65535, Fragments: 65535, Timeout: 60 * time.Second}
}

// Counters count what was given up.
type Counters struct {
	TimedOut     uint64 // Datagrams that were never completed.
	Evicted      uint64 // Datagrams given up for others, the budget being spent.
	Ignored      uint64 // Fragments for which there was no room.
	TooLarge     uint64 // Fragments beyond the end of any datagram.
	Inconsistent uint64 // Datagrams whose fragments make no packet.
}

// Fragment is one fragment.
type Fragment struct {
	Key     packet.Key // Of the datagram's ends; the ports are 0.
	ID      uint32
	Dst     netip.Addr // Chooses the policy.
	Time    int64      // Nanoseconds since 1970.
	Offset  int        // Of Data in the datagram, bytes.
	More    bool
	Data    []byte
	Head    []byte // All that comes before, without a fragment header.
	Link    int    // How much of Head is before IP.
	Next    uint8  // IPv6: what the first fragment's fragment header says is next,
	NextAt  int    // and where in Head that number belongs.
	Version uint8  // 4 or 6
}

// Result is what became of a fragment.
type Result struct {
	Size     int  // Of the rebuilt packet, 0 if there is none.
	Link     int  // How much of it is before IP.
	Overlap  bool // The fragment covers bytes that others have.
	TooLarge bool
	Ignored  bool // There was no room for it.
}

type key struct {
	ends packet.Key
	id   uint32
}

// datagram is one that waits for fragments.
type datagram struct {
	key      key
	last     int64 // Time of the last fragment.
	older    uint32
	newer    uint32
	first    uint32 // Piece with the lowest offset.
	pieces   uint32
	covered  int32 // Sum of the pieces' sizes.
	end      int32 // Of the piece that reaches furthest.
	handle   slab.Handle
	policy   hostos.Policy
	seenLast bool
}

// piece is a fragment that is kept, without what others had of it.
type piece struct {
	next    uint32
	data    slab.Block
	head    slab.Block // Of one at offset 0.
	offset  int32
	size    int32
	trim    int32 // Bytes at its front that others replace.
	headLen uint16
	link    uint16
	nextAt  uint16
	nextIs  uint8
	more    bool
	skip    bool // All of it is replaced.
}

// Table is the datagrams of one pipeline that wait for fragments.
type Table struct {
	Counters Counters

	cfg       Config
	arena     *slab.Arena
	datagrams slab.Slab[datagram]
	pieces    slab.Slab[piece]
	index     map[key]slab.Handle
	oldest    uint32 // Datagrams by the time of their last fragment.
	newest    uint32
}

// New returns an empty table.
func New(cfg Config) *Table {
	return &Table{cfg: cfg, arena: slab.NewArena(cfg.Memory), index: map[key]slab.Handle{}}
}

// Len is how many datagrams wait.
func (t *Table) Len() int { return t.datagrams.Len() }

// Held is how many bytes fragments hold.
func (t *Table) Held() int { return t.arena.Held() }

// Add takes a fragment. If it completes its datagram, the packet is written to
// out, which has room for MaxDatagram bytes.
func (t *Table) Add(f *Fragment, out []byte) Result {
	t.expire(f.Time)
	if f.tooLarge() {
		t.Counters.TooLarge++
		return Result{TooLarge: true}
	}
	d := t.find(f)
	r := Result{}
	if !t.add(d, f, &r) {
		t.Counters.Ignored++
		r.Ignored = true
		t.drop(d)
		return r
	}
	if d.seenLast && t.complete(d) {
		r.Size, r.Link = t.rebuild(d, out)
		if r.Size == 0 {
			t.Counters.Inconsistent++
		}
		t.drop(d)
	}
	return r
}

// tooLarge says whether a packet with the fragment would be longer than IP
// allows.
func (f *Fragment) tooLarge() bool {
	head := len(f.Head) - f.Link
	if f.Version == 6 {
		head -= packet.IPv6Len
	}
	return max(head, 0)+f.Offset+len(f.Data) > maxIP
}

// expire gives up datagrams whose fragments stopped coming.
func (t *Table) expire(now int64) {
	for t.oldest != 0 {
		d := t.datagrams.At(t.oldest)
		if now-d.last <= int64(t.cfg.Timeout) {
			return
		}
		t.Counters.TimedOut++
		t.drop(d)
	}
}

// find returns the datagram of a fragment, perhaps a new one, and makes it the
// newest.
func (t *Table) find(f *Fragment) *datagram {
	k := key{f.Key, f.ID}
	h, ok := t.index[k]
	var d *datagram
	if ok {
		d = t.datagrams.Get(h)
		t.unlink(d)
	} else {
		if t.datagrams.Len() >= t.cfg.Datagrams {
			t.evict(nil)
		}
		h, d = t.datagrams.New()
		d.key, d.handle = k, h
		d.policy = t.cfg.HostPolicies.Of(f.Dst)
		t.index[k] = h
	}
	d.last = f.Time
	d.older = t.newest
	if t.newest != 0 {
		t.datagrams.At(t.newest).newer = h.Index()
	} else {
		t.oldest = h.Index()
	}
	t.newest = h.Index()
	return d
}

func (t *Table) unlink(d *datagram) {
	if d.older != 0 {
		t.datagrams.At(d.older).newer = d.newer
	} else {
		t.oldest = d.newer
	}
	if d.newer != 0 {
		t.datagrams.At(d.newer).older = d.older
	} else {
		t.newest = d.older
	}
	d.older, d.newer = 0, 0
}

// evict gives up the oldest datagram unless it is the one to spare; it says
// whether there was another.
func (t *Table) evict(spare *datagram) bool {
	if t.oldest == 0 || t.datagrams.At(t.oldest) == spare {
		return false
	}
	t.Counters.Evicted++
	t.drop(t.datagrams.At(t.oldest))
	return true
}

// drop forgets a datagram and its pieces.
func (t *Table) drop(d *datagram) {
	for i := d.first; i != 0; {
		next := t.pieces.At(i).next
		t.release(i)
		i = next
	}
	t.unlink(d)
	delete(t.index, d.key)
	t.datagrams.Release(d.handle)
}

func (t *Table) release(i uint32) {
	p := t.pieces.At(i)
	t.arena.Free(p.data)
	t.arena.Free(p.head)
	t.pieces.Release(t.pieces.Handle(i))
}

// insert keeps the bytes [from, end) of a datagram that a fragment has.
func (t *Table) insert(d *datagram, f *Fragment, from, end int32) bool {
	for t.pieces.Len() >= t.cfg.Fragments {
		if !t.evict(d) {
			return false
		}
	}
	if d.pieces >= maxPieces {
		return false
	}
	at := from - int32(f.Offset)
	data := f.Data[at : at+end-from]
	p := piece{offset: from, size: end - from, more: f.More || int(at)+len(data) < len(f.Data)}
	if p.data = t.store(d, data); p.data == 0 {
		return false
	}
	if p.offset == 0 {
		head, link := f.Head, f.Link
		nextAt := f.NextAt
		if link > maxLink {
			head, nextAt, link = head[link:], nextAt-link, 0
		}
		if p.head = t.store(d, head); p.head == 0 {
			t.arena.Free(p.data)
			return false
		}
		p.headLen, p.link, p.nextAt, p.nextIs = uint16(len(head)), uint16(link), uint16(nextAt), f.Next
	}
	h, kept := t.pieces.New()
	*kept = p
	d.pieces++
	d.covered += p.size
	d.end = max(d.end, p.offset+p.size)
	d.seenLast = d.seenLast || !f.More
	link := &d.first // After all that begin at the same offset or before.
	for *link != 0 && t.pieces.At(*link).offset <= p.offset {
		link = &t.pieces.At(*link).next
	}
	kept.next, *link = *link, h.Index()
	return true
}

// store copies bytes into the arena, giving up older datagrams for them.
func (t *Table) store(d *datagram, b []byte) slab.Block {
	for {
		if block := t.arena.Alloc(len(b)); block != 0 {
			copy(t.arena.Bytes(block), b)
			return block
		}
		if !t.evict(d) {
			return 0
		}
	}
}

// complete says whether the pieces leave no hole.
func (t *Table) complete(d *datagram) bool {
	if d.covered < d.end {
		return false
	}
	end := int32(0)
	for i := d.first; i != 0; {
		p := t.pieces.At(i)
		if p.offset > end {
			return false
		}
		end = max(end, p.offset+p.size)
		i = p.next
	}
	return end > 0
}

// rebuild writes the packet. Later pieces are written over earlier ones, as far
// as the policy left them; what comes after the piece that said it was the last
// is left out.
func (t *Table) rebuild(d *datagram, out []byte) (size, link int) {
	head, end := 0, 0
	nextAt, nextIs := 0, uint8(0)
	more, previous := true, int32(0)
	for i := d.first; i != 0; {
		p := t.pieces.At(i)
		i = p.next
		if !more && p.offset > previous {
			break
		}
		if p.skip || p.trim >= p.size {
			continue
		}
		data := t.arena.Bytes(p.data)[:p.size]
		if p.offset == 0 {
			head = copy(out, t.arena.Bytes(p.head)[:p.headLen])
			link, nextAt, nextIs = int(p.link), int(p.nextAt), p.nextIs
			end = head + copy(out[head:], data)
		} else {
			at := head + int(p.offset+p.trim)
			copy(out[at:], data[p.trim:])
			end = max(end, head+int(p.offset+p.size))
		}
		more, previous = p.more, p.offset
	}
	if head == 0 || end-link > packet.IPv6Len+maxIP {
		return 0, 0
	}
	if !patch(out[link:end], head-link, nextAt-link, nextIs) {
		return 0, 0
	}
	return end, link
}
