package main

import (
	"bufio"
	"container/heap"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/packet/pcap"
)

const (
	// span is how much time the mix covers; a capture that lasts longer than
	// longest is told faster.
	span    = int64(300e9)
	longest = int64(240e9)
	// begin is the time of the mix: 2026-01-01.
	begin = int64(1767225600e9)
	// maxFrame leaves out what neither sensor would take from a card.
	maxFrame = 65535
)

// frame is one packet of a capture.
type frame struct {
	after int64 // Nanoseconds since the capture's first.
	data  []byte
	size  int // On the wire.
}

// capture is the packets of one file, ordered by time.
type capture struct {
	frames []frame
	bytes  int64
}

// mix is the captures in their order.
type mix struct{ captures []capture }

// bytes is how many the captures have.
func (m *mix) bytes() (n int64) {
	for _, c := range m.captures {
		n += c.bytes
	}
	return n
}

// load reads all Ethernet captures below the folders, ordered by path. Files
// that end in the middle of a packet count up to there.
func load(folders ...string) (*mix, error) {
	m := &mix{}
	for _, folder := range folders {
		var files []string
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if ext := filepath.Ext(path); err == nil && d.Type().IsRegular() && slices.Contains([]string{".pcap", ".pcapng", ".trace", ".cap"}, ext) {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("find captures: %w", err)
		}
		slices.SortFunc(files, strings.Compare)
		for _, path := range files {
			c, err := readCapture(path)
			if err != nil {
				return nil, err
			}
			if len(c.frames) > 0 {
				m.captures = append(m.captures, c)
			}
		}
	}
	if len(m.captures) == 0 {
		return nil, errors.New("find captures: there are none")
	}
	return m, nil
}

func readCapture(path string) (c capture, err error) {
	f, err := os.Open(path)
	if err != nil {
		return c, fmt.Errorf("read capture: %w", err)
	}
	defer f.Close()
	r, err := pcap.NewReader(f)
	if err != nil {
		return capture{}, nil // No capture, in spite of its name.
	}
	defer r.Close()
	for {
		p, err := r.Next()
		if err != nil {
			break
		}
		if p.Link != packet.LinkEthernet || len(p.Data) > maxFrame || len(p.Data) < 14 {
			continue
		}
		c.frames = append(c.frames, frame{after: p.Time, data: slices.Clone(p.Data), size: int(p.Length)})
		c.bytes += int64(len(p.Data))
	}
	c.settle()
	return c, nil
}

// settle orders the frames by time and counts it from the first, told so fast
// that the capture fits.
func (c *capture) settle() {
	if len(c.frames) == 0 {
		return
	}
	slices.SortStableFunc(c.frames, func(a, b frame) int { return int(min(max(a.after-b.after, -1), 1)) })
	first := c.frames[0].after
	lasts := c.frames[len(c.frames)-1].after - first
	for i := range c.frames {
		f := &c.frames[i]
		if f.after -= first; lasts > longest {
			f.after = int64(float64(f.after) / float64(lasts) * float64(longest))
		}
	}
}

func (c *capture) lasts() int64 { return c.frames[len(c.frames)-1].after }

// replay is one capture under one set of addresses.
type replay struct {
	frames []frame
	start  int64
	number uint64 // Of the replay, and of its addresses.
}

func (r *replay) due() int64 { return r.start + r.frames[0].after }

// replays is a heap of those that have packets left, by time.
type replays []*replay

func (h replays) Len() int { return len(h) }
func (h replays) Less(i, j int) bool {
	if a, b := h[i].due(), h[j].due(); a != b {
		return a < b
	}
	return h[i].number < h[j].number
}
func (h replays) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *replays) Push(x any)   { *h = append(*h, x.(*replay)) }
func (h *replays) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

// plan replays the captures in turn until size is reached.
func (m *mix) plan(size int64) (list replays) {
	for n := uint64(0); size > 0; n++ {
		c := &m.captures[n%uint64(len(m.captures))]
		start := int64(scatter(n) % uint64(span-c.lasts()))
		list = append(list, &replay{frames: c.frames, start: begin + start, number: n})
		size -= c.bytes
	}
	return list
}

// scatter spreads numbers evenly (splitmix64).
func scatter(n uint64) uint64 {
	n = (n + 1) * 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// summary is what was written.
type summary struct {
	replays, packets int
	bytes            int64
	sha256           []byte
}

func (m *mix) write(path string, size int64) (sum summary, err error) {
	f, err := os.Create(path)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	hash := sha256.New()
	buffered := bufio.NewWriterSize(io.MultiWriter(f, hash), 1<<20)
	w, err := pcap.NewWriter(buffered, packet.LinkEthernet, maxFrame, pcap.Format{})
	if err != nil {
		return sum, err
	}
	list := m.plan(size)
	sum.replays = len(list)
	heap.Init(&list)
	var data []byte
	for len(list) > 0 {
		r := list[0]
		data = append(data[:0], r.frames[0].data...)
		remap(data, r.number)
		if err := w.Write(&pcap.Packet{Time: r.due(), Data: data, Length: r.frames[0].size, Link: packet.LinkEthernet}); err != nil {
			return sum, err
		}
		sum.packets++
		sum.bytes += int64(len(data))
		if r.frames = r.frames[1:]; len(r.frames) > 0 {
			heap.Fix(&list, 0)
		} else {
			heap.Pop(&list)
		}
	}
	if err := buffered.Flush(); err != nil {
		return sum, err
	}
	sum.sha256 = hash.Sum(nil)
	return sum, nil
}
