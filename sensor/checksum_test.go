package sensor

import (
	"testing"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/decode"
)

// TestChecksums lets a sample of segments decide, and then all of one kind.
func TestChecksums(t *testing.T) {
	segment := func(right bool) *decode.Packet {
		src, dst := []byte{192, 0, 2, 1}, []byte{192, 0, 2, 2}
		tcp := packet.AppendTCP(nil, src, dst, &packet.Segment{SrcPort: 1, DstPort: 2, Flags: packet.ACK})
		if !right {
			tcp[16] ^= 0xff // The checksum.
		}
		var batch decode.Batch
		decode.New(decode.DefaultConfig()).Decode(&batch, packet.LinkRaw, 1, 1, 0, append(packet.AppendIP(nil, src, dst, packet.ProtoTCP, 64, 1, len(tcp)), tcp...))
		return batch.Packets[0]
	}
	right, wrong := segment(true), segment(false)
	for _, test := range []struct {
		mode    string
		bad     int // Of the sample.
		counted bool
	}{
		{"yes", checksumSample, true},
		{"no", 0, false},
		{"auto", checksumSample / 10, true},
		{"auto", checksumSample/10 + 1, false},
	} {
		c := checksums{mode: test.mode}
		for i := range checksumSample {
			p := right
			if i < test.bad {
				p = wrong
			}
			if got := c.count(p); got != (p == wrong && test.mode != "no") {
				t.Fatalf("%s: segment %d of the sample: %v", test.mode, i, got)
			}
		}
		if got := c.count(wrong); got != test.counted {
			t.Errorf("%s, %d bad: wrong ones count: %v", test.mode, test.bad, got)
		}
		if c.count(right) {
			t.Errorf("%s, %d bad: a right one counts", test.mode, test.bad)
		}
	}
}
