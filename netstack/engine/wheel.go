package engine

import (
	"math"
	"math/bits"
)

// tickShift makes a tick of the wheel 2^20 ns, 1.05 ms.
const tickShift = 20

// wheel holds a connection by its earliest deadline, in four levels of 256 slots: 0.27 s, 69 s, 4.9 h, 52 days. A deadline
// that moves later leaves its connection where it is: when the slot comes the connection is put where it belongs by
// then, so that the timer an acknowledgement restarts costs one store.
type wheel struct {
	slots [4][256]uint32
	set   [4][4]uint64 // Which slots are not empty, or were lately.
	tick  uint64
	base  int64
	count int
}

func (w *wheel) init(now int64) { w.base = now }

// tickOf is the tick at or after t; one beyond the horizon is looked at on the way there.
func (w *wheel) tickOf(t int64) uint64 {
	return min(uint64(max(0, t-w.base)+1<<tickShift-1)>>tickShift, w.tick+1<<30)
}

// place links a connection into the slot of its tick, which is not before the wheel's.
func (w *wheel) place(s *Stack, ci uint32, c *conn) {
	delta := c.wheelTick - uint32(w.tick)
	level := 0
	for level < 3 && delta >= 1<<(8*(level+1)) {
		level++
	}
	slot := c.wheelTick >> (8 * level) & 255
	head := &w.slots[level][slot]
	c.wheelNext, c.wheelPrev = *head, 0
	if *head != 0 {
		s.conns.at(*head).wheelPrev = ci
	}
	*head = ci
	w.set[level][slot>>6] |= 1 << (slot & 63)
	c.wheelSlot = uint16(level)<<8 | uint16(slot) | onWheel
	w.count++
}

// onWheel marks a slot number as one.
const onWheel = 1 << 15

func (w *wheel) remove(s *Stack, c *conn) {
	if c.wheelSlot == 0 {
		return
	}
	if c.wheelPrev != 0 {
		s.conns.at(c.wheelPrev).wheelNext = c.wheelNext
	} else {
		w.slots[c.wheelSlot>>8&3][c.wheelSlot&255] = c.wheelNext
	}
	if c.wheelNext != 0 {
		s.conns.at(c.wheelNext).wheelPrev = c.wheelPrev
	}
	c.wheelSlot = 0
	w.count--
}

// arm makes sure the connection is looked at by the time t.
func (w *wheel) arm(s *Stack, ci uint32, c *conn, t int64) {
	tick := w.tickOf(t)
	tick = max(tick, w.tick+1)
	if c.wheelSlot != 0 {
		if int32(uint32(tick)-c.wheelTick) >= 0 {
			return
		}
		w.remove(s, c)
	}
	c.wheelTick = uint32(tick)
	w.place(s, ci, c)
}

// pop removes and returns a connection whose tick has come, or 0.
func (w *wheel) pop(s *Stack) uint32 {
	target := uint64(s.now-w.base) >> tickShift
	for {
		if w.count == 0 {
			w.tick = target
			return 0
		}
		if ci := w.slots[0][w.tick&255]; ci != 0 {
			w.remove(s, s.conns.at(ci))
			return ci
		}
		w.set[0][w.tick&255>>6] &^= 1 << (w.tick & 63)
		if target <= w.tick {
			return 0
		}
		w.tick++
		for level := 1; level < 4 && w.tick&(1<<(8*level)-1) == 0; level++ {
			w.cascade(s, level)
		}
	}
}

// cascade spreads the slot of a level whose time has come over the levels below.
func (w *wheel) cascade(s *Stack, level int) {
	slot := w.tick >> (8 * level) & 255
	ci := w.slots[level][slot]
	w.slots[level][slot] = 0
	w.set[level][slot>>6] &^= 1 << (slot & 63)
	for ci != 0 {
		c := s.conns.at(ci)
		next := c.wheelNext
		c.wheelSlot = 0
		w.count--
		w.place(s, ci, c)
		ci = next
	}
}

// next is the time of the first slot that may have something to do.
func (w *wheel) next() int64 {
	if w.count == 0 {
		return math.MaxInt64
	}
	end := w.tick | 255
	for t := w.tick + 1; t <= end; t = (t | 63) + 1 {
		if word := w.set[0][t&255>>6] >> (t & 63); word != 0 {
			t += uint64(bits.TrailingZeros64(word))
			return w.base + int64(t)<<tickShift
		}
	}
	return w.base + (int64(end)+1)<<tickShift
}
