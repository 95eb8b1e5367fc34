package cli

import (
	"testing"

	"github.com/hauberk/hauberk/packet"
)

func tcpFrame(cut int) []byte {
	src, dst := []byte{192, 0, 2, 1}, []byte{203, 0, 113, 10}
	seg := &packet.Segment{SrcPort: 4000, DstPort: 80, Seq: 7, Flags: packet.SYN | packet.ACK, Payload: make([]byte, 400)}
	f := packet.AppendEthernet(nil, packet.MAC{2}, packet.MAC{4}, packet.EtherIPv4)
	f = packet.AppendIP(f, src, dst, packet.ProtoTCP, 64, 1, seg.Len())
	return packet.AppendTCP(f, src, dst, seg)[:cut]
}

func TestSummary(t *testing.T) {
	for want, frame := range map[string][]byte{
		"192.0.2.1:4000 > 203.0.113.10:80 tcp SYN+ACK seq 7 ack 0": tcpFrame(192),
		"192.0.2.1 > 203.0.113.10 protocol 6":                      tcpFrame(40),
		"0102":                                                     {1, 2},
		"ethertype 0x0806":                                         {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 6},
	} {
		if got := summary(frame); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func FuzzSummary(f *testing.F) {
	f.Add(tcpFrame(192))
	f.Add(tcpFrame(30))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x86, 0xdd, 0x60})
	f.Fuzz(func(t *testing.T, frame []byte) {
		if s := summary(frame); len(frame) > 0 && s == "" {
			t.Error("something is nothing")
		}
	})
}
