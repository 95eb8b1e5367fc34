package plane

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
)

// runner runs the shipped object on single frames, as if they came in on an
// interface of the lab's edge.
type runner struct {
	l       *lab
	p       *Plane
	ifindex map[string]int
	macs    map[string]net.HardwareAddr
}

// xdpMD is struct xdp_md of include/uapi/linux/bpf.h.
type xdpMD struct{ Data, DataEnd, DataMeta, Ingress, Queue, Egress uint32 }

const (
	xdpDrop     = 1
	xdpPass     = 2
	xdpTX       = 3
	xdpRedirect = 4
)

// newRunner opens a plane whose neighbours are all known to the kernel.
func newRunner(t testing.TB, s *State) *runner { return newSizedRunner(t, s, smallOptions()) }

func newSizedRunner(t testing.TB, s *State, o Options) *runner {
	l := newLab(t)
	r := &runner{l: l, p: l.open(o), ifindex: map[string]int{}, macs: map[string]net.HardwareAddr{}}
	for addr, dev := range map[string]string{
		"10.0.1.2": "toc", "10.0.2.2": "tos", "10.0.2.3": "tos",
		"fd00:1::2": "toc", "fd00:2::2": "tos", "fd00:2::3": "tos",
	} {
		l.in(l.edge, "ip", "neigh", "replace", addr, "lladdr", "02:00:00:00:00:01", "dev", dev, "nud", "permanent")
	}
	l.in(l.edge, "ip", "route", "add", "default", "via", "10.0.1.2")
	l.in(l.edge, "ip", "-6", "route", "add", "default", "via", "fd00:1::2")
	l.inside(l.edge, func() error {
		for _, name := range []string{"toc", "tos"} {
			device, err := net.InterfaceByName(name)
			if err != nil {
				return err
			}
			r.ifindex[name], r.macs[name] = device.Index, device.HardwareAddr
		}
		return nil
	})
	if err := r.p.Apply(s); err != nil {
		t.Fatal(err)
	}
	return r
}

// run gives one frame to the programs; call it inside the edge's namespace.
func (r *runner) run(from string, frame []byte) (uint32, []byte, error) {
	out := make([]byte, len(frame)+256)
	o := ebpf.RunOptions{Data: frame, DataOut: out, Context: xdpMD{DataEnd: uint32(len(frame)), Ingress: uint32(r.ifindex[from])}, Repeat: 1}
	// As the interface calls it: the slots in their order.
	ret, err := r.p.objects.Programs["root"].Run(&o)
	return ret, o.DataOut, err
}

// traffic makes random packets of a few flows, as their real ends would and
// as nobody would.
type traffic struct {
	rng *rand.Rand
	s   *State
	m   *model
}

func (g *traffic) frame() (string, []byte) {
	from, frame := "toc", g.fromClient()
	if g.rng.IntN(2) == 0 {
		if reply := g.fromBackend(); reply != nil {
			from, frame = "tos", reply
		}
	}
	if g.rng.IntN(4) == 0 {
		for range 1 + g.rng.IntN(3) {
			frame[12+g.rng.IntN(min(len(frame)-12, 64))] ^= 1 << g.rng.IntN(8)
		}
	}
	if g.rng.IntN(16) == 0 {
		frame = frame[:14+g.rng.IntN(len(frame)-13)]
	}
	return from, frame
}

func (g *traffic) fromClient() []byte {
	v := &g.s.VIPs[g.rng.IntN(len(g.s.VIPs))]
	client := netip.MustParseAddr("10.7.0.1")
	if v.Addr.Is6() {
		client = netip.MustParseAddr("fd07::1")
	}
	port := v.FirstPort + uint16(g.rng.IntN(int(v.LastPort-v.FirstPort)+1))
	return g.build(netip.AddrPortFrom(client, uint16(1000+g.rng.IntN(40))), netip.AddrPortFrom(v.Addr, port), v.Proto)
}

func (g *traffic) fromBackend() []byte {
	if len(g.m.begun) == 0 {
		return nil
	}
	f := g.m.begun[g.rng.IntN(len(g.m.begun))]
	return g.build(netip.AddrPortFrom(f.backend.Addr, f.backend.Port), f.local, f.key.proto)
}

var flagSets = []uint8{2, 2, 2, 2, 0x12, 0x12, 0x10, 0x10, 0x10, 0x18, 0x11, 0x11, 4, 0x14, 0, 0xff}

func (g *traffic) build(src, dst netip.AddrPort, proto uint8) []byte {
	payload := make([]byte, g.rng.IntN(40))
	for i := range payload {
		payload[i] = byte(g.rng.Uint32())
	}
	if g.rng.IntN(20) == 0 {
		payload = bytes.Repeat([]byte{0xa5, 1}, 600)
	}
	if proto == protoUDP {
		return buildFrame(src, dst, proto, payload, 0, nil)
	}
	options := [][]byte{nil, {2, 4, 0x23, 0}, {1, 2, 4, 0x23, 1, 0, 0, 0}, {2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7}, {1, 1, 8, 10, 9, 9, 9, 9, 1, 1, 1, 1}, {5, 0, 1, 1}}
	return buildFrame(src, dst, proto, payload, flagSets[g.rng.IntN(len(flagSets))], options[g.rng.IntN(len(options))])
}

// buildFrame makes an Ethernet frame with right checksums.
func buildFrame(src, dst netip.AddrPort, proto uint8, payload []byte, flags uint8, options []byte) []byte {
	head := make([]byte, 8)
	if proto == protoTCP {
		head = append(make([]byte, 20), options...)
		binary.BigEndian.PutUint32(head[4:], 0x11223344)
		head[12], head[13] = byte(len(head)/4)<<4, flags
	} else {
		binary.BigEndian.PutUint16(head[4:], uint16(8+len(payload)))
	}
	binary.BigEndian.PutUint16(head, src.Port())
	binary.BigEndian.PutUint16(head[2:], dst.Port())
	transport := append(head, payload...)
	frame := make([]byte, 14)
	p := parsed{src: src, dst: dst, proto: proto}
	if src.Addr().Is4() {
		p.l4 = 34
		binary.BigEndian.PutUint16(frame[12:], 0x0800)
		ip := make([]byte, 20)
		ip[0], ip[8], ip[9] = 0x45, 64, proto
		binary.BigEndian.PutUint16(ip[2:], uint16(20+len(transport)))
		copy(ip[12:], src.Addr().AsSlice())
		copy(ip[16:], dst.Addr().AsSlice())
		setSum(ip, 10, 0xffff, 0)
		frame = append(frame, ip...)
	} else {
		p.l4 = 54
		binary.BigEndian.PutUint16(frame[12:], 0x86dd)
		ip := make([]byte, 40)
		ip[0], ip[6], ip[7] = 0x60, proto, 64
		binary.BigEndian.PutUint16(ip[4:], uint16(len(transport)))
		copy(ip[8:], src.Addr().AsSlice())
		copy(ip[24:], dst.Addr().AsSlice())
		frame = append(frame, ip...)
	}
	p.frame = append(frame, transport...)
	at := map[uint8]int{protoTCP: 16, protoUDP: 6}[proto]
	setSum(p.transport(), at, 0xffff, p.pseudo())
	return p.frame
}

// TestFullNATAgainstModel gives random and broken packets to the shipped
// object and to the model, and compares verdicts, bytes and sessions.
func TestFullNATAgainstModel(t *testing.T) {
	s := labState(FullNAT)
	s.VIPs[0].LastPort = 83
	r := newRunner(t, s)
	m := &model{state: s, flows: map[flowKey]*modelFlow{}, slots: map[slotKey]*modelFlow{}}
	g := &traffic{rand.New(rand.NewPCG(1, 2)), s, m}
	counts := map[verdict]int{}
	r.l.inside(r.l.edge, func() error {
		for i := range 4000 {
			from, frame := g.frame()
			ret, out, err := r.run(from, bytes.Clone(frame))
			if len(frame) < 14 {
				continue // the kernel refuses to run on it
			}
			if err != nil {
				t.Errorf("packet %d: %v", i, err)
				return nil
			}
			if !m.check(t, i, frame, ret, out, r, counts) {
				return nil
			}
		}
		return nil
	})
	if counts[forwarded] < 1000 || counts[dropped] < 200 || counts[passed] < 200 {
		t.Errorf("the traffic was one-sided: %v", counts)
	}
	left := len(m.flows)
	r.p.Sessions(func(got Session) bool {
		f := m.flows[flowKey{got.Client, got.Service, got.Proto}]
		if f == nil || f.phase != got.Phase || f.local != got.Local || f.backend.ID != got.Backend {
			t.Errorf("session %+v, the model has %+v", got, f)
		}
		left--
		return true
	})
	if left != 0 {
		t.Errorf("%d sessions of the model are not in the table", left)
	}
}

// check compares one packet's fate and moves the model on.
func (m *model) check(t *testing.T, i int, frame []byte, ret uint32, out []byte, r *runner, counts map[verdict]int) bool {
	t.Helper()
	want, p, f, toBackend, begins := m.expect(frame)
	got := map[uint32]verdict{xdpDrop: dropped, xdpPass: passed, xdpTX: forwarded, xdpRedirect: forwarded}[ret]
	counts[got]++
	if got != want {
		totals, _ := r.p.Totals()
		t.Errorf("packet %d: XDP verdict %d, want %d, flow %+v, totals %v\n%x", i, ret, want, f, totals, frame)
		return false
	}
	if want != forwarded {
		return true
	}
	q, ok := parse(out)
	if !ok {
		t.Errorf("packet %d: what came out cannot be parsed\n%x\n%x", i, frame, out)
		return false
	}
	if begins && !m.begin(f, p, q) {
		t.Errorf("packet %d: began as %s -> %s", i, q.src, q.dst)
		return false
	}
	expected := f.readdressed(p, toBackend)
	device := map[bool]string{true: "tos", false: "toc"}[toBackend]
	copy(expected, []byte{2, 0, 0, 0, 0, 1})
	copy(expected[6:], r.macs[device])
	if !bytes.Equal(out, expected) {
		t.Errorf("packet %d to backend %v:\nin   %x\nout  %x\nwant %x", i, toBackend, frame, out, expected)
		return false
	}
	if !begins {
		f.advance(p.flags, toBackend)
	}
	return true
}

// begin notes the slot and the backend the plane chose for a flow.
func (m *model) begin(f *modelFlow, in, out parsed) bool {
	f.slot = &modelSlot{}
	if old := m.flows[f.key]; old != nil {
		f.slot = old.slot
		delete(m.slots, slotKey{old.local, f.key.proto})
		if old.local != out.src {
			return false // a flow that begins again keeps its slot
		}
	}
	slot := slotKey{out.src, f.key.proto}
	if m.slots[slot] != nil || out.src.Port() < PortBase ||
		!m.state.Local.V4.Contains(out.src.Addr()) && !m.state.Local.V6.Contains(out.src.Addr()) {
		return false
	}
	for _, id := range f.vip.Table {
		if b := &m.state.Backends[id-1]; netip.AddrPortFrom(b.Addr, b.Port) == out.dst {
			f.backend = b
		}
	}
	f.local, f.phase = out.src, SynSent
	if f.key.proto == protoUDP {
		f.phase = UDPNew
	} else {
		f.raise(in.frame[in.l4:])
	}
	m.flows[f.key], m.slots[slot] = f, f
	m.begun = append(m.begun, f)
	return f.backend != nil
}
