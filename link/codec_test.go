package link

import (
	"testing"

	"github.com/hauberk/hauberk/link/linktest"
)

func TestDictionaryPays(t *testing.T) {
	h := linktest.NewHost(999)
	for _, n := range []int{1, 10, 50, 200, 500} {
		b := h.Batch(n)
		raw, _ := b.MarshalVT()
		for _, id := range []uint32{0, Dictionary} {
			c, err := NewCompressor(id)
			if err != nil {
				t.Fatal(err)
			}
			out, _ := c.Compress(raw)
			t.Logf("%d events: dictionary %#x: raw %d, wire %.1f B/event", len(b.Events), id, len(raw)/len(b.Events), float64(len(out))/float64(len(b.Events)))
		}
	}
}
