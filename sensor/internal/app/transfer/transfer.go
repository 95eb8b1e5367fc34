// Package transfer puts files together that come in chunks with offsets, as
// SMB and NFS send them: not always in order, not always complete.
package transfer

import "github.com/hauberk/hauberk/sensor/internal/app/file"

// Limits of a transfer.
const (
	// maxKept is how much of a file's beginning rules may look into.
	maxKept = 1 << 20
	// MaxHeld and MaxChunks bound what came too early and waits.
	MaxHeld   = 8 << 20
	MaxChunks = 64
)

// Transfer is a file in transfer.
type Transfer struct {
	File *file.File
	Data []byte // Its beginning, as far as it came in order.
	// Next is the offset that continues it.
	Next uint64

	left   uint32 // Of the chunk under way,
	at     uint64 // where that began,
	early  bool   // and whether it waits.
	chunks map[uint64]*chunk
	held   int
}

// chunk is one that came too early.
type chunk struct {
	data []byte
	gap  bool
}

// Full says whether a chunk of size more bytes is more than may wait; chunks
// tells that it is their number.
func (t *Transfer) Full(size uint32) (full, chunks bool) {
	return t.held+int(size) > MaxHeld, len(t.chunks) >= MaxChunks
}

// Begin starts a chunk of size bytes at an offset, the first of which are data.
func (t *Transfer) Begin(offset uint64, size uint32, data []byte) {
	if t.left > 0 {
		t.File.Close(file.Truncated) // The chunk before was not finished.
	}
	t.left, t.at, t.early = size, offset, offset != t.Next
	t.Add(data)
}

// Add continues the chunk under way and returns how many bytes belong to it.
func (t *Transfer) Add(data []byte) int { return t.add(data, len(data), false) }

// Gap says that bytes are lost, and returns how many of them belong to the
// chunk under way.
func (t *Transfer) Gap(size uint64) int { return t.add(nil, int(min(size, 1<<31)), true) }

func (t *Transfer) add(data []byte, size int, gap bool) int {
	n := min(size, int(t.left))
	if n == 0 || t.File.State != file.Open {
		t.left -= uint32(n)
		return n
	}
	t.left -= uint32(n)
	if !gap {
		data = data[:n]
	}
	if t.early {
		t.hold(data, n, gap)
	} else {
		t.append(data, n, gap)
	}
	if t.left == 0 && !t.early {
		for c := t.chunks[t.Next]; c != nil; c = t.chunks[t.Next] {
			delete(t.chunks, t.Next)
			t.held -= len(c.data)
			t.append(c.data, len(c.data), c.gap)
			if len(c.data) == 0 {
				break
			}
		}
	}
	return n
}

// hold keeps bytes that came too early. What is lost of them is zeros.
func (t *Transfer) hold(data []byte, n int, gap bool) {
	if t.held+n > MaxHeld {
		t.File.Close(file.Truncated)
		return
	}
	if t.chunks == nil {
		t.chunks = map[uint64]*chunk{}
	}
	c := t.chunks[t.at]
	if c == nil {
		c = &chunk{}
		t.chunks[t.at] = c
	}
	c.gap = c.gap || gap
	if gap {
		data = make([]byte, n)
	}
	c.data = append(c.data, data...)
	t.held += n
}

func (t *Transfer) append(data []byte, n int, gap bool) {
	t.Next += uint64(n)
	if gap {
		t.File.Gap(uint64(n))
		return
	}
	t.File.Add(data)
	if room := maxKept - len(t.Data); room > 0 {
		t.Data = append(t.Data, data[:min(room, len(data))]...)
	}
}

// Close ends the file. The transfer begins anew if more of it comes.
func (t *Transfer) Close(s file.State) {
	t.File.Close(s)
	t.chunks, t.held, t.Next = nil, 0, 0
}

// Done says whether no chunk is under way.
func (t *Transfer) Done() bool { return t.left == 0 }
