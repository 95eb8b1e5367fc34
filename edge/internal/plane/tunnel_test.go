package plane

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// TestTunnelsAgainstModel sends random packets through each way of wrapping
// and takes them out again: what is inside must be the packet, one hop older,
// and a flow must stay on its backend.
func TestTunnelsAgainstModel(t *testing.T) {
	s := labState(IPIP)
	for i, mode := range []Mode{IPIP, GUE, DR, GUE} {
		s.VIPs[i].Mode = mode
	}
	s.VIPs[0].Table = []uint32{1, 2, 3, 4}
	s.VIPs[3].Table = []uint32{1, 2, 3, 4}
	r := newRunner(t, s)
	g := &traffic{rand.New(rand.NewPCG(3, 4)), s, &model{state: s}}
	chosen := map[flowKey]netip.Addr{}
	r.l.inside(r.l.edge, func() error {
		for i := range 2000 {
			frame := g.fromClient()
			p, _ := parse(frame)
			v := g.m.vip(p.dst, p.proto)
			ret, out, err := r.run("toc", bytes.Clone(frame))
			if err != nil || ret != xdpRedirect {
				t.Errorf("packet %d: verdict %d, %v", i, ret, err)
				return nil
			}
			inner, to := unwrap(t, s, v, out)
			want := bytes.Clone(frame)
			age(&p, want)
			if !bytes.Equal(inner[14:], want[14:]) {
				t.Errorf("packet %d through %s:\nin   %x\nout  %x\nwant %x", i, v.Mode, frame, inner, want)
				return nil
			}
			key := flowKey{p.src, p.dst, p.proto}
			if was, ok := chosen[key]; ok && was != to && v.Mode != DR {
				t.Errorf("packet %d: its flow moved from %s to %s", i, was, to)
			}
			chosen[key] = to
		}
		return nil
	})
	if refs := r.p.References(); refs[1] == 0 || refs[2] == 0 || refs[3] == 0 || refs[4] == 0 {
		t.Errorf("backends are referred to so often: %v", refs)
	}
	used := map[netip.Addr]bool{}
	for _, to := range chosen {
		used[to] = true
	}
	if len(used) < 4 {
		t.Errorf("only %v were chosen", used)
	}
}

// age makes the frame one hop older.
func age(p *parsed, frame []byte) {
	if p.l4 == 54 {
		frame[21]--
		return
	}
	frame[22]--
	setSum(frame[14:34], 10, 0xffff, 0)
}

// unwrap checks the outer headers and returns the packet inside (with a
// frame's room before it), and where it went to.
func unwrap(t *testing.T, s *State, v *VIP, out []byte) ([]byte, netip.Addr) {
	t.Helper()
	if v.Mode == DR {
		return out, netip.Addr{}
	}
	ip := out[14:]
	next, head := ip[9], 20
	from, to := netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20]))
	length := int(binary.BigEndian.Uint16(ip[2:]))
	if ip[0]>>4 == 6 {
		next, head = ip[6], 40
		from, to = netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40]))
		length = 40 + int(binary.BigEndian.Uint16(ip[4:]))
	} else if sum(ip[:20], 0) != 0xffff {
		t.Errorf("the outer header's checksum is wrong: %x", ip[:20])
	}
	if length != len(ip) || from != s.source(to) {
		t.Errorf("outer header of %d bytes from %s around %d: %x", length, from, len(ip), ip[:head])
	}
	wantNext := map[bool]uint8{true: 4, false: 41}[v.Addr.Is4()]
	if v.Mode == GUE {
		udp := ip[head:]
		if binary.BigEndian.Uint16(udp[2:]) != DefaultGUEPort || int(binary.BigEndian.Uint16(udp[4:])) != len(udp) || udp[0] < 0xc0 {
			t.Errorf("outer UDP header %x", udp[:8])
		}
		head, wantNext = head+8, 17
	}
	if next != wantNext {
		t.Errorf("outer protocol %d, want %d", next, wantNext)
	}
	return append(make([]byte, 14), ip[head:]...), to
}

func TestPingOfVIPIsAnswered(t *testing.T) {
	r := newRunner(t, labState(FullNAT))
	for _, pair := range [][2]string{{"10.7.0.1", "10.0.8.1"}, {"fd07::1", "fd00:8::1"}} {
		src, dst := netip.MustParseAddr(pair[0]), netip.MustParseAddr(pair[1])
		proto, kind, answer := uint8(1), byte(8), byte(0)
		if src.Is6() {
			proto, kind, answer = 58, 128, 129
		}
		frame := buildFrame(netip.AddrPortFrom(src, uint16(kind)<<8), netip.AddrPortFrom(dst, 0), protoUDP, []byte("ping"), 0, nil)
		l4 := map[bool]int{true: 34, false: 54}[src.Is4()]
		frame[map[bool]int{true: 23, false: 20}[src.Is4()]] = proto
		if src.Is4() {
			setSum(frame[14:34], 10, 0xffff, 0)
		}
		p := parsed{frame: frame, l4: l4, proto: proto, src: netip.AddrPortFrom(src, 0), dst: netip.AddrPortFrom(dst, 0)}
		pseudo := uint32(0)
		if src.Is6() {
			pseudo = p.pseudo()
		}
		setSum(frame[l4:], 2, 0xffff, pseudo)
		r.l.inside(r.l.edge, func() error {
			ret, out, err := r.run("toc", bytes.Clone(frame))
			if err != nil || ret != xdpTX {
				t.Errorf("%s: verdict %d, %v", dst, ret, err)
				return nil
			}
			from, to := out[26:30], out[30:34]
			if src.Is6() {
				from, to = out[22:38], out[38:54]
			}
			if !bytes.Equal(from, dst.AsSlice()) || !bytes.Equal(to, src.AsSlice()) || out[l4] != answer || sum(out[l4:], pseudo) != 0xffff {
				t.Errorf("%s answered %x", dst, out)
			}
			return nil
		})
	}
	if totals, err := r.p.Totals(); err != nil || totals[Answered] != 2 {
		t.Errorf("%d answers, %v", totals[Answered], err)
	}
}

func TestDropsAreSampledWithTheirReason(t *testing.T) {
	r := newRunner(t, labState(FullNAT))
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan Sample, 64)
	done := make(chan error)
	go func() {
		done <- r.p.Packets(ctx, Filter{}, func(s Sample) {
			s.Data = bytes.Clone(s.Data)
			got <- s
		})
	}()
	frame := buildFrame(netip.MustParseAddrPort("10.7.0.1:999"), netip.MustParseAddrPort("10.0.8.1:80"), protoTCP, nil, 0x10, nil)
	r.l.inside(r.l.edge, func() error {
		for {
			if _, _, err := r.run("toc", bytes.Clone(frame)); err != nil {
				return err
			}
			select {
			case s := <-got:
				if s.Reason != Unknown || s.VIP != 1 || s.Interface != r.ifindex["toc"] || !bytes.Equal(s.Data, frame) {
					t.Errorf("sample %+v", s)
				}
				return nil
			case err := <-done:
				return err
			default:
			}
		}
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
