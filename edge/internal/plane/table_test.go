package plane

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

func syn(client netip.AddrPort) []byte {
	return buildFrame(client, netip.MustParseAddrPort("10.0.8.1:80"), protoTCP, nil, 2, nil)
}

// TestFloodEvictsNoEstablishedSession fills a table of 64 slots with all the
// established connections it takes, floods it with SYNs, and finds them all.
func TestFloodEvictsNoEstablishedSession(t *testing.T) {
	o := smallOptions()
	o.Slots = 64
	s := labState(FullNAT)
	r := newSizedRunner(t, s, o)
	vip := netip.MustParseAddrPort("10.0.8.1:80")
	want := map[netip.AddrPort]netip.AddrPort{}
	r.l.inside(r.l.edge, func() error {
		for i := range 48 {
			client := netip.AddrPortFrom(netip.MustParseAddr("10.7.0.1"), uint16(2000+i))
			ret, out, err := r.run("toc", syn(client))
			if err != nil || ret == xdpDrop {
				return err // a full pair of sets refuses
			}
			p, _ := parse(out)
			if _, _, err := r.run("tos", buildFrame(p.dst, p.src, protoTCP, nil, 0x12, nil)); err != nil {
				return err
			}
			if _, _, err := r.run("toc", buildFrame(client, vip, protoTCP, nil, 0x10, nil)); err != nil {
				return err
			}
			want[client] = p.src
		}
		for i := range 3000 {
			if _, _, err := r.run("toc", syn(netip.AddrPortFrom(netip.MustParseAddr("10.7.3.3"), uint16(1+i)))); err != nil {
				return err
			}
		}
		return nil
	})
	if len(want) < 40 {
		t.Errorf("only %d connections were established before the flood", len(want))
	}
	r.p.Sessions(func(s Session) bool {
		if local, ok := want[s.Client]; ok {
			if s.Phase != Established || s.Local != local {
				t.Errorf("session %+v after the flood", s)
			}
			delete(want, s.Client)
		}
		return true
	})
	for client := range want {
		t.Errorf("the flood evicted %s", client)
	}
	totals, err := r.p.Totals()
	if err != nil || totals[TableFull] > 3000 {
		t.Errorf("totals %v, %v", totals, err)
	}
}

// TestFlowIsOpenedOnceOnWhateverCPU gives the same new flows to several
// threads at once: each flow must have one slot.
func TestFlowIsOpenedOnceOnWhateverCPU(t *testing.T) {
	r := newRunner(t, labState(FullNAT))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			r.l.inside(r.l.edge, func() error {
				for i := range 500 {
					if _, _, err := r.run("toc", syn(netip.AddrPortFrom(netip.MustParseAddr("10.7.0.9"), uint16(5000+i)))); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	all.Wait()
	slots := map[netip.AddrPort]int{}
	r.p.Sessions(func(s Session) bool { slots[s.Client]++; return true })
	if len(slots) != 500 {
		t.Errorf("%d flows, want 500", len(slots))
	}
	for client, n := range slots {
		if n != 1 {
			t.Errorf("%s has %d slots", client, n)
		}
	}
	if c, err := r.p.VIP(1); err != nil || c.Flows != 500 {
		t.Errorf("%d flows counted, %v", c.Flows, err)
	}
}

// TestApplyKeepsSessionsWhereTheyAre changes the whole table of a VIP: a
// known flow stays, a new one goes where the new table says.
func TestApplyKeepsSessionsWhereTheyAre(t *testing.T) {
	s := labState(FullNAT)
	s.VIPs[0].Table = []uint32{1}
	r := newRunner(t, s)
	to := func(port uint16) (server netip.Addr) {
		r.l.inside(r.l.edge, func() error {
			_, out, err := r.run("toc", syn(netip.AddrPortFrom(netip.MustParseAddr("10.7.0.1"), port)))
			p, _ := parse(out)
			server = p.dst.Addr()
			return err
		})
		return server
	}
	if got := to(1); got != s.Backends[0].Addr {
		t.Fatalf("the first flow went to %s", got)
	}
	s.VIPs[0].Table, s.Backends[0].State = []uint32{2}, Drain
	if err := r.p.Apply(s); err != nil {
		t.Fatal(err)
	}
	if a, b := to(1), to(2); a != s.Backends[0].Addr || b != s.Backends[1].Addr {
		t.Errorf("after the change the known flow went to %s, a new one to %s", a, b)
	}
	if refs := r.p.References(); refs[1] != 1 || refs[2] != 1 {
		t.Errorf("references %v", refs)
	}
}

func TestValidateReportsEveryProblem(t *testing.T) {
	s := labState(FullNAT)
	s.VIPs[1].Table = []uint32{1, 99} // the other family, and nobody
	s.VIPs[2].Addr = s.VIPs[0].Addr   // not yet an overlap: UDP
	s.VIPs[2].Proto = s.VIPs[0].Proto // now it is one
	s.VIPs[3].Mode, s.VIPs[3].Client = DR, ProxyV2
	s.Backends[3].ID = 1
	s.Local.V4 = netip.MustParsePrefix("10.0.9.1/28")
	err := s.Validate(smallOptions())
	for _, want := range []string{"other family", "names backend 99", "overlaps", "fullnat only", "over TCP only", "id 1 is also", "host bits set"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if fmt.Sprint(labState(GUE).Validate(smallOptions())) != "<nil>" {
		t.Error("a good state is refused")
	}
}
