package ebpf

import (
	"time"

	"github.com/hauberk/hauberk/agent/internal/collect/hash"
	"github.com/hauberk/hauberk/agent/internal/collect/proctable"
	"github.com/hauberk/hauberk/agent/internal/collect/source"
	"github.com/hauberk/hauberk/event"
)

// held is the first exec of an executable, waiting for its hash: the one
// event in which the hash matters most.
type held struct {
	event    *event.Event
	key      hash.Key
	observed int64 // Unix ns
	until    int64 // ns since boot
}

const (
	// maxHeld bounds the execs waiting; those over it go without a hash.
	maxHeld = 32
	// holdFor is how long an exec waits: a program of 64 MiB is hashed in
	// about 50 ms where the processor knows SHA.
	holdFor = 150 * time.Millisecond
)

// hold keeps the message until its hash is known; false when there is no
// room.
func (s *Source) hold(key hash.Key) bool {
	if len(s.held) >= maxHeld {
		return false
	}
	data, err := s.message.Event.MarshalVT() // a copy that borrows nothing
	if err != nil {
		return false
	}
	e := &event.Event{}
	if err := e.UnmarshalVT(data); err != nil {
		return false
	}
	s.held = append(s.held, held{e, key, s.now, s.boot + int64(holdFor)})
	return true
}

// releaseHeld emits the execs whose hash is known by now or whose time is
// over, or all. It reports whether there were any.
func (s *Source) releaseHeld(sink source.Sink, all bool) bool {
	kept := s.held[:0]
	for _, h := range s.held {
		sum, _ := s.config.Hashes.Lookup(h.key, h.event.Process.Pid, h.event.Process.Executable)
		if sum == "" && !all && s.boot < h.until {
			kept = append(kept, h)
			continue
		}
		h.event.Process.Sha256 = sum
		if p := s.host.Table.Get(proctable.Key{PID: h.event.Process.Pid, Start: h.event.Process.Start}); p != nil && string(p.Image().Executable) == string(h.event.Process.Executable) {
			p.Image().SHA256 = sum
		}
		sink.Emit(event.Class_CLASS_BULK, h.observed, h.event)
	}
	released := len(kept) < len(s.held)
	clear(s.held[len(kept):])
	s.held = kept
	return released
}
