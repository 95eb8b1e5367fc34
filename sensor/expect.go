package sensor

import (
	"net/netip"
	"slices"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/flow"
)

// flowHost is what the application layer of a flow may do to it.
type flowHost struct {
	pl *pipeline
	f  *flow.Flow
	b  *beside
}

// Reverse implements app.Host. A connection is turned when its segment is
// done: the stream holds on to its directions until then.
func (h flowHost) Reverse() bool {
	if h.f.Proto() != packet.ProtoTCP {
		h.f.Swap()
		return true
	}
	h.b.turn = h.pl.tracker.Midstream(h.f)
	return h.b.turn
}

// turned turns a connection around whose protocol asked for it.
func (pl *pipeline) turned(f *flow.Flow, b *beside) {
	if !b.turn {
		return
	}
	b.turn = false
	f.Swap()
	pl.tracker.Swap(f)
	b.raw[0], b.raw[1] = b.raw[1], b.raw[0]
	b.app.Turned()
}

// Bypass implements app.Host: without stream.bypass, packets are still
// followed, and only not inspected.
func (h flowHost) Bypass() {
	h.f.NoInspection = true
	if h.pl.settings.bypass {
		h.f.Bypass = true
	}
}

// expected are the flows that were announced, by the hosts they are between.
type expected map[[2]netip.Addr][]expectation

// expectation is one of them.
type expectation struct {
	app.Expectation
	parent uint64 // The flow that announced it.
	until  int64  // Nanoseconds since 1970.
}

// How many flows may be awaited between two hosts and how long, as Suricata's
// app-layer-expectation.c has it.
const (
	maxExpected  = 10
	expectedLife = 30e9
	maxPairs     = 1 << 16 // Of hosts.
)

// Expect implements app.Host.
func (h flowHost) Expect(e app.Expectation) {
	pair := [2]netip.Addr{h.f.Client().Addr(), h.f.Server().Addr()}
	if e.Reversed {
		pair[0], pair[1] = pair[1], pair[0]
	}
	x := h.pl.expected
	if len(x) >= maxPairs {
		clear(x) // A flood of announcements.
	}
	list := slices.DeleteFunc(x[pair], func(have expectation) bool { return have.until < h.pl.now })
	if len(list) >= maxExpected {
		list = slices.Delete(list, 0, 1)
	}
	x[pair] = append(list, expectation{Expectation: e, parent: h.f.ID, until: h.pl.now + expectedLife})
}

// announced looks whether a new flow was.
func (pl *pipeline) announced(f *flow.Flow, s *app.Session) {
	if len(pl.expected) == 0 {
		return
	}
	pair := [2]netip.Addr{f.Client().Addr(), f.Server().Addr()}
	list := pl.expected[pair]
	i := slices.IndexFunc(list, func(x expectation) bool {
		return x.until >= pl.now && (x.ClientPort == 0 || x.ClientPort == f.Client().Port()) && (x.ServerPort == 0 || x.ServerPort == f.Server().Port())
	})
	if i < 0 {
		return
	}
	f.Parent = list[i].parent
	s.Expected(list[i].Expectation)
	if list = slices.Delete(list, i, i+1); len(list) == 0 {
		delete(pl.expected, pair)
	} else {
		pl.expected[pair] = list
	}
}
