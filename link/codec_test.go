package link_test

import (
	"bytes"
	"testing"

	"github.com/hauberk/hauberk/link"
	"github.com/hauberk/hauberk/link/linktest"
)

func TestCodecRoundTrip(t *testing.T) {
	d, err := link.NewDecompressor()
	if err != nil {
		t.Fatal(err)
	}
	h := linktest.NewHost(999) // not a host the dictionary was trained on
	var batches [][]byte
	for _, n := range []int{1, 10, 200} {
		raw, err := h.Batch(n).MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		batches = append(batches, raw)
	}
	size := map[uint32]int{}
	for _, id := range []uint32{0, link.Dictionary} {
		c, err := link.NewCompressor(id)
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range batches {
			payload, encoding := c.Compress(raw)
			size[id] += len(payload)
			got, err := d.Decompress(&link.Batch{Encoding: encoding, Size: uint32(len(raw)), Payload: payload})
			if err != nil || !bytes.Equal(got, raw) {
				t.Fatalf("%d bytes with dictionary %#x: %v", len(raw), id, err)
			}
		}
	}
	if size[link.Dictionary] >= size[0] {
		t.Errorf("the dictionary does not pay: %d bytes with it, %d without", size[link.Dictionary], size[0])
	}
}
