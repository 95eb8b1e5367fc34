package plane

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
)

// TestDeadBackendsConnectionsAreReset: the next packet of a client whose
// backend has died comes back as a reset it believes, over both families.
func TestDeadBackendsConnectionsAreReset(t *testing.T) {
	s := labState(FullNAT)
	r := newRunner(t, s)
	pairs := [][2]netip.AddrPort{
		{netip.MustParseAddrPort("10.7.0.1:999"), netip.MustParseAddrPort("10.0.8.1:80")},
		{netip.MustParseAddrPort("[fd07::1]:999"), netip.MustParseAddrPort("[fd00:8::1]:80")},
	}
	send := func(frame []byte) (ret uint32, out []byte) {
		r.l.inside(r.l.edge, func() (err error) {
			ret, out, err = r.run("toc", bytes.Clone(frame))
			return err
		})
		return ret, out
	}
	for _, pair := range pairs {
		if ret, _ := send(buildFrame(pair[0], pair[1], protoTCP, nil, 2, nil)); ret != xdpRedirect {
			t.Fatalf("the SYN of %s got verdict %d", pair[0], ret)
		}
	}
	for i := range s.Backends {
		s.Backends[i].State = Down
	}
	if err := r.p.Apply(s); err != nil {
		t.Fatal(err)
	}
	for _, pair := range pairs {
		frame := buildFrame(pair[0], pair[1], protoTCP, []byte("some data"), 0x18, nil)
		in, _ := parse(frame)
		binary.BigEndian.PutUint32(frame[in.l4+8:], 0x55667788)
		ret, out := send(frame)
		p, ok := parse(out)
		if ret != xdpTX || !ok || !p.sound || p.src != pair[1] || p.dst != pair[0] || p.flags != 4 {
			t.Errorf("verdict %d, %x", ret, out)
			continue
		}
		tcp := p.transport()
		if len(tcp) != 20 || len(out) != p.l4+20 || binary.BigEndian.Uint32(tcp[4:]) != 0x55667788 || checksumError(p) != 0xffff {
			t.Errorf("reset of %s: %x", pair[0], out)
		}
		if p.l4 == 34 && sum(out[14:34], 0) != 0xffff {
			t.Errorf("reset of %s: IP checksum: %x", pair[0], out)
		}
		if ret, _ := send(buildFrame(pair[0], pair[1], protoTCP, nil, 4, nil)); ret != xdpDrop {
			t.Errorf("a reset of %s was answered: verdict %d", pair[0], ret)
		}
	}
}
