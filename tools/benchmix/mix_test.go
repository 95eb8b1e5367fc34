package main

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
	"github.com/hauberk/hauberk/packet"
)

func ethernet(ip []byte) []byte {
	return append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}, ip...)
}

func segment(src, dst [4]byte) []byte {
	tcp := packet.AppendTCP(nil, src[:], dst[:], &packet.Segment{SrcPort: 1000, DstPort: 80, Seq: 1, Flags: packet.SYN, Payload: []byte("hello")})
	return ethernet(append(packet.AppendIP(nil, src[:], dst[:], packet.ProtoTCP, 64, 7, len(tcp)), tcp...))
}

// A remapped packet is what would have been built with the new addresses:
// checksums fit, and the sides of HOME_NET stay.
func TestRemapMendsChecksums(t *testing.T) {
	for n := range uint64(200) {
		for _, src := range [][4]byte{{10, 1, 2, 3}, {192, 168, 255, 255}, {172, 31, 0, 1}, {8, 8, 8, 8}, {172, 32, 0, 1}} {
			data := segment(src, [4]byte{203, 0, 113, 9})
			remap(data, n)
			now := [4]byte(data[26:30])
			if !bytes.Equal(data, segment(now, [4]byte(data[30:34]))) {
				t.Fatalf("replay %d of %v: not the packet with %v", n, src, now)
			}
			if private(src) != private(now) {
				t.Fatalf("replay %d: %v became %v", n, src, now)
			}
			if (now == src) != (n == 0) {
				t.Fatalf("replay %d: %v stayed", n, src)
			}
		}
	}
}

func private(a [4]byte) bool {
	return a[0] == 10 || a[0] == 172 && a[1]>>4 == 1 || a[0] == 192 && a[1] == 168
}

func TestMixIsTheSameEachTime(t *testing.T) {
	m, err := load(filepath.Join(need.Data(t, "pcaps"), "zeek"))
	if err != nil {
		t.Fatal(err)
	}
	var sums [2]summary
	for i := range sums {
		if sums[i], err = m.write(filepath.Join(t.TempDir(), "mix.pcap"), 30e6); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(sums[0].sha256, sums[1].sha256) || sums[0].bytes < 30e6 {
		t.Errorf("%+v, then %+v", sums[0], sums[1])
	}
}
