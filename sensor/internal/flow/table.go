package flow

import (
	"math/rand/v2"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/sensor/internal/flow/slab"
)

// Timeouts of one kind of flow by state, in seconds.
type Timeouts [states]int64

// Config bounds a table.
type Config struct {
	// MaxFlows is how many flows are kept. Above it one that is new makes room
	// for another; established flows stay.
	MaxFlows int
	// Timeouts when there is room, and when more than nine tenths are taken.
	Default, TCP, UDP, ICMP                                     Timeouts
	EmergencyDefault, EmergencyTCP, EmergencyUDP, EmergencyICMP Timeouts
}

// DefaultConfig has the timeouts of Suricata's flow-timeouts.
func DefaultConfig() Config {
	return Config{
		MaxFlows: 1 << 20,
		Default:  Timeouts{30, 300, 0, 100}, EmergencyDefault: Timeouts{10, 100, 0, 50},
		TCP: Timeouts{60, 600, 60, 100}, EmergencyTCP: Timeouts{5, 100, 10, 50},
		UDP: Timeouts{30, 300, 0, 100}, EmergencyUDP: Timeouts{10, 100, 0, 50},
		ICMP: Timeouts{30, 300, 0, 100}, EmergencyICMP: Timeouts{10, 100, 0, 50},
	}
}

// Counters of a table; Suricata's names are in String's place in output.
type Counters struct {
	Total, Active, TCP, UDP, ICMPv4, ICMPv6, Other uint64
	TCPReuse, Forced, Emergency, MaxActive         uint64
	EndNew, EndEstablished, EndClosed, EndBypassed uint64
	NoRoom                                         uint64 // Packets without a flow because all are established.
}

const (
	// wheelSlots of a second each; what lies further ahead comes round again.
	wheelSlots = 1 << 12
	minBuckets = 1 << 10
	noSlot     = wheelSlots
)

// Table finds flows. It is not safe for concurrent use.
type Table struct {
	Counters Counters

	timeouts [2][classes]Timeouts // By emergency.
	max      int
	flows    slab.Slab[Flow]
	buckets  []uint32
	seed     packet.Seed
	wheel    [wheelSlots]list
	second   int64 // Up to which the wheel has turned.
	onEnd    func(*Flow, Reason)
}

// list is the ends of a doubly linked list of flows.
type list struct{ first, last uint32 }

// NewTable returns an empty table; end is called with each flow that ends, before
// its record is used again.
func NewTable(c Config, end func(*Flow, Reason)) *Table {
	return &Table{
		timeouts: [2][classes]Timeouts{
			{c.Default, c.TCP, c.UDP, c.ICMP},
			{c.EmergencyDefault, c.EmergencyTCP, c.EmergencyUDP, c.EmergencyICMP},
		},
		max: max(c.MaxFlows, 1), buckets: make([]uint32, minBuckets), seed: packet.NewSeed(rand.Uint64()), onEnd: end,
	}
}

// idSeed is fixed, so that ids of flows follow from their packets. That of the
// buckets is random: nobody can choose flows that share one.
var idSeed = packet.NewSeed(0x6861756265726b)

// Len is how many flows there are.
func (t *Table) Len() int { return t.flows.Len() }

// Get returns the flow of a handle, nil if it ended.
func (t *Table) Get(h slab.Handle) *Flow { return t.flows.Get(h) }

// Find returns the flow of a key, nil if there is none.
func (t *Table) Find(k packet.Key) *Flow {
	for i := t.buckets[t.bucket(&k)]; i != 0; {
		f := t.flows.At(i)
		if f.Key == k {
			return f
		}
		i = f.next
	}
	return nil
}

// Take returns the flow of a packet and the packet's direction, made if there
// was none, and counts the packet to it. It returns nil if there is no room.
func (t *Table) Take(p *decode.Packet) (f *Flow, dir Dir) {
	t.Advance(p.Time)
	if f = t.Find(p.Key); f == nil {
		if f = t.add(p); f == nil {
			return nil, 0
		}
	}
	dir = f.Dir(p)
	f.Last = max(f.Last, p.Time)
	f.Packets[dir]++
	f.Bytes[dir] += uint64(len(p.Data))
	ttl := p.TTL()
	if f.Packets[dir] == 1 {
		f.MinTTL[dir], f.MaxTTL[dir] = ttl, ttl
	} else {
		f.MinTTL[dir], f.MaxTTL[dir] = min(f.MinTTL[dir], ttl), max(f.MaxTTL[dir], ttl)
	}
	if dir == ToClient {
		if p.Layer4 == decode.ICMPv4 || p.Layer4 == decode.ICMPv6 {
			f.AnswerType, f.AnswerCode = p.ICMP().Type(), p.ICMP().Code()
		}
		if f.State == New && f.class != classTCP {
			t.Move(f, Established)
		}
	}
	return f, dir
}

// Move changes the state of a flow, and with it when it ends.
func (t *Table) Move(f *Flow, s State) {
	if f.State == s {
		return
	}
	f.State = s
	t.unlink(f)
	t.link(f)
}

// End ends a flow before its time.
func (t *Table) End(f *Flow, r Reason) {
	if r == Reused {
		t.Counters.TCPReuse++
	}
	t.end(f, r)
}

// Advance ends the flows whose time is over at now, nanoseconds since 1970.
// Time never goes back; what is before 1970 counts as that.
func (t *Table) Advance(now int64) {
	second := max(now, 0) / 1e9
	if t.second == 0 {
		t.second = second
	}
	if second-t.second > wheelSlots {
		t.second = second - wheelSlots // Every slot once.
	}
	for ; t.second < second; t.second++ {
		t.turn(t.second)
	}
}

// turn looks at the flows that may end in a second: those that were active
// since, or lie more than a turn of the wheel ahead, get their new place.
func (t *Table) turn(second int64) {
	l := &t.wheel[second%wheelSlots]
	i := l.first
	*l = list{}
	for i != 0 {
		f := t.flows.At(i)
		i = f.later
		f.slot = noSlot
		if t.due(f) > second {
			t.link(f)
		} else {
			t.end(f, Timeout)
		}
	}
}

// Drain ends all flows, in the order in which they began.
func (t *Table) Drain() {
	for i := uint32(1); i < t.flows.End(); i++ {
		if t.flows.Handle(i) != 0 {
			t.end(t.flows.At(i), Shutdown)
		}
	}
}

// due is the last second in which a flow lives.
func (t *Table) due(f *Flow) int64 {
	pressed := 0
	if t.flows.Len() > t.max/10*9 {
		pressed = 1
	}
	return max(f.Last, 0)/1e9 + t.timeouts[pressed][f.class][f.State]
}

func (t *Table) bucket(k *packet.Key) uint64 { return k.Hash(&t.seed) & uint64(len(t.buckets)-1) }

func (t *Table) add(p *decode.Packet) *Flow {
	if t.flows.Len() >= t.max && !t.makeRoom() {
		t.Counters.NoRoom++
		return nil
	}
	if t.flows.Len() >= len(t.buckets) {
		t.grow()
	}
	h, f := t.flows.New()
	f.Handle, f.Key, f.class = h, p.Key, classOf(p.Key.Proto())
	f.clientLow = p.Flags&decode.Swapped == 0
	f.Start, f.Last, f.FirstPacket = p.Time, p.Time, p.Number
	f.ID = (p.Key.Hash(&idSeed) ^ p.Number*0x9e3779b97f4a7c15) & (1<<53 - 1) // As exact as JSON's readers are.
	if p.Layer4 == decode.ICMPv4 || p.Layer4 == decode.ICMPv6 {
		f.ICMPType, f.ICMPCode = p.ICMP().Type(), p.ICMP().Code()
	}
	b := &t.buckets[t.bucket(&f.Key)]
	f.next, *b = *b, h.Index()
	t.link(f)
	t.count(f)
	return f
}

func (t *Table) count(f *Flow) {
	c := &t.Counters
	c.Total++
	c.Active++
	c.MaxActive = max(c.MaxActive, c.Active)
	switch f.Key.Proto() {
	case packet.ProtoTCP:
		c.TCP++
	case packet.ProtoUDP:
		c.UDP++
	case packet.ProtoICMPv4:
		c.ICMPv4++
	case packet.ProtoICMPv6:
		c.ICMPv6++
	default:
		c.Other++
	}
}

// makeRoom ends a flow of which only one end has spoken, one that would end
// soon; it looks at no more than a few.
func (t *Table) makeRoom() bool {
	if t.Counters.Emergency == 0 || t.Counters.Forced%1024 == 0 {
		t.Counters.Emergency++
	}
	looked := 0
	for s := t.second; s < t.second+wheelSlots && looked < 64; s++ {
		for i := t.wheel[s%wheelSlots].first; i != 0 && looked < 64; looked++ {
			f := t.flows.At(i)
			if f.State != Established {
				t.Counters.Forced++
				t.end(f, Forced)
				return true
			}
			i = f.later
		}
	}
	return false
}

func (t *Table) end(f *Flow, r Reason) {
	c := &t.Counters
	c.Active--
	switch f.State {
	case New:
		c.EndNew++
	case Established:
		c.EndEstablished++
	case Closed:
		c.EndClosed++
	case Bypassed:
		c.EndBypassed++
	}
	if t.onEnd != nil {
		t.onEnd(f, r)
	}
	t.unlink(f)
	at := &t.buckets[t.bucket(&f.Key)]
	for *at != f.Handle.Index() {
		at = &t.flows.At(*at).next
	}
	*at = f.next
	t.flows.Release(f.Handle)
}

func (t *Table) grow() {
	old := t.buckets
	t.buckets = make([]uint32, 2*len(old))
	for _, i := range old {
		for i != 0 {
			f := t.flows.At(i)
			i = f.next
			b := &t.buckets[t.bucket(&f.Key)]
			f.next, *b = *b, f.Handle.Index()
		}
	}
}

// link puts a flow last into the slot in which it is due.
func (t *Table) link(f *Flow) {
	due := max(t.due(f), t.second)
	f.slot = uint32(due % wheelSlots)
	l := &t.wheel[f.slot]
	f.later, f.earlier = 0, l.last
	if l.last != 0 {
		t.flows.At(l.last).later = f.Handle.Index()
	} else {
		l.first = f.Handle.Index()
	}
	l.last = f.Handle.Index()
}

func (t *Table) unlink(f *Flow) {
	if f.slot == noSlot {
		return
	}
	l := &t.wheel[f.slot]
	if f.earlier != 0 {
		t.flows.At(f.earlier).later = f.later
	} else {
		l.first = f.later
	}
	if f.later != 0 {
		t.flows.At(f.later).earlier = f.earlier
	} else {
		l.last = f.earlier
	}
}
