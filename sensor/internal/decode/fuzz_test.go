package decode

import (
	"testing"

	"github.com/hauberk/hauberk/packet"
)

// FuzzDecode decodes arbitrary frames, several times so that fragments meet,
// and holds that whatever a packet says of itself lies within its bytes.
func FuzzDecode(f *testing.F) {
	for _, c := range eventCases {
		f.Add(uint16(c.link), c.data)
	}
	f.Fuzz(func(t *testing.T, link uint16, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		d := New(DefaultConfig())
		var b Batch
		for n := range uint64(2) {
			b.Reset()
			d.Decode(&b, packet.LinkType(link), n+1, int64(n), 0, data)
			for _, p := range b.Packets {
				touch(p)
			}
		}
	})
}

// touch reads all parts of a packet.
func touch(p *Packet) {
	_, _, _, _ = p.Src(), p.Dst(), p.TTL(), p.Payload()
	_, _, _ = p.Transport(), p.Embedded(), p.Ethernet()
	switch p.Layer4 {
	case TCP:
		_ = p.TCP().Options()
	case UDP:
		_ = p.UDP().Len()
	}
}
