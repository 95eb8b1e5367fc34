package sensor

import "github.com/hauberk/hauberk/sensor/internal/flow/slab"

// window is the end of a direction's stream, for rules on it. Its bytes lie in
// an arena, out of the collector's sight.
type window struct {
	block slab.Block
	size  uint32
	at    uint64 // Offset of the first byte.
	fresh uint64 // What follows was not inspected.
}

// rawOverlap is how much of what was inspected is kept, so that a text that
// lies across two deliveries is found.
const rawOverlap = 2560

func (w *window) end() uint64 { return w.at + uint64(w.size) }

// data is valid until the window grows or was inspected.
func (w *window) data(a *slab.Arena) []byte {
	if w.size == 0 {
		return nil
	}
	return a.Bytes(w.block)[:w.size]
}

// add appends data. It says false if there is no room: then the window begins
// anew behind it.
func (w *window) add(a *slab.Arena, data []byte) bool {
	need := int(w.size) + len(data)
	if w.block == 0 || need > len(a.Bytes(w.block)) {
		block := a.Alloc(need)
		if block == 0 {
			w.forget(a, w.end()+uint64(len(data)))
			return false
		}
		copy(a.Bytes(block), w.data(a))
		a.Free(w.block)
		w.block = block
	}
	w.size += uint32(copy(a.Bytes(w.block)[w.size:], data))
	return true
}

// forget gives the memory back; the window begins anew at an offset. No text
// lies across a gap.
func (w *window) forget(a *slab.Arena, to uint64) {
	a.Free(w.block)
	*w = window{at: to, fresh: to}
}

// inspected keeps the end for next time, in no more memory than it needs.
func (w *window) inspected(a *slab.Arena) {
	w.fresh = w.end()
	drop := max(int(w.size)-rawOverlap, 0)
	if drop == 0 {
		return
	}
	data := w.data(a)
	rest := data[drop:]
	w.at += uint64(drop)
	w.size = uint32(len(rest))
	if len(a.Bytes(w.block)) > 2*rawOverlap {
		if block := a.Alloc(len(rest)); block != 0 {
			copy(a.Bytes(block), rest)
			a.Free(w.block)
			w.block = block
			return
		}
	}
	copy(data, rest)
}
