package flow

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/decode"
)

// BenchmarkDecodeAndFlow decodes packets of 200,000 flows in random order, half
// of them IPv6, and finds their flows. The clock goes on, so that flows end.
func BenchmarkDecodeAndFlow(b *testing.B) {
	const flows = 200_000
	packets := make([][]byte, flows)
	var heap []byte
	for i := range packets {
		src, dst := make([]byte, 4), []byte{192, 0, 2, 1}
		if i%2 == 1 {
			src, dst = make([]byte, 16), append([]byte{0x20, 1, 0xd, 0xb8}, make([]byte, 12)...)
			copy(src, dst)
		} else {
			src[0] = 10
		}
		binary.BigEndian.PutUint16(src[len(src)-2:], uint16(i))
		data := packet.AppendUDP(nil, src, dst, uint16(1024+i>>16), 4433, make([]byte, 64))
		at := len(heap)
		heap = append(heap, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0)
		if i%2 == 1 {
			heap[len(heap)-2], heap[len(heap)-1] = 0x86, 0xdd
		}
		heap = append(append(heap, packet.AppendIP(nil, src, dst, packet.ProtoUDP, 64, 0, len(data))...), data...)
		packets[i] = heap[at:len(heap):len(heap)]
	}
	order := rand.New(rand.NewPCG(1, 2)).Perm(flows)
	t := NewTable(DefaultConfig(), nil)
	d := decode.New(decode.DefaultConfig())
	var batch decode.Batch
	now := int64(1e18)
	take := func(i int) {
		now += 1000 // A microsecond: a million packets a second.
		batch.Reset()
		d.Decode(&batch, packet.LinkEthernet, uint64(i), now, 0, packets[order[i%flows]])
		t.Take(batch.Packets[0])
	}
	for i := range flows {
		take(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		take(i)
	}
}
