package filter

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
)

// TestDecision runs each program on frames, and looks at the verdicts. Without a socket on the queue XDP passes our frames
// on and counts them apart.
func TestDecision(t *testing.T) {
	need.BPF(t)
	const ether = "020000000001020000000002"
	v4 := func(to, proto, rest string) string {
		return ether + "0800" + "4500002800000000" + "40" + proto + "0000" + "0a000009" + to + rest
	}
	v6 := func(to, next, rest string) string {
		return ether + "86dd" + "60000000" + "0020" + next + "ff" + strings.Repeat("0", 30) + "09" + to + rest
	}
	const fd1 = "fd000000000000000000000000000001"
	tcp := func(port string) string { return "1234" + port + strings.Repeat("0", 32) }
	for _, c := range []struct {
		name  string
		ports []Service
		frame string
		ours  bool
	}{
		{name: "address taken", frame: v4("0a010005", "06", tcp("0050")), ours: true},
		{name: "address left within a prefix taken", frame: v4("0a010003", "06", tcp("0050"))},
		{name: "another address", frame: v4("0a020005", "06", tcp("0050"))},
		{name: "ICMP", frame: v4("0a010005", "01", tcp("0050")), ours: true},
		{name: "port of ours", ports: []Service{{6, 22}}, frame: v4("0a010005", "06", tcp("0050")), ours: true},
		{name: "port of the kernel", ports: []Service{{6, 22}}, frame: v4("0a010005", "06", tcp("0016"))},
		{name: "the same port of UDP", ports: []Service{{6, 22}}, frame: v4("0a010005", "11", tcp("0016")), ours: true},
		{name: "ARP for ours", frame: ether + "0806" + "0001080006040001" + "0200000000020a000009" + "0000000000000a010005", ours: true},
		{name: "ARP for the kernel's", frame: ether + "0806" + "0001080006040001" + "0200000000020a000009" + "0000000000000a010003"},
		{name: "IPv6", frame: v6(fd1, "06", tcp("0050")), ours: true},
		{name: "IPv6 port of the kernel", ports: []Service{{6, 22}}, frame: v6(fd1, "06", tcp("0016"))},
		{name: "solicitation for ours", frame: v6("ff0200000000000000000001ff000001", "3a", "8700000000000000"+fd1), ours: true},
		{name: "solicitation for another", frame: v6("ff0200000000000000000001ff000001", "3a", "8700000000000000"+"fe"+fd1[2:])},
		{name: "router advertisement", frame: v6("ff020000000000000000000000000001", "3a", "8600000000000000"+fd1)},
		{name: "VLAN", frame: ether + "81000001" + v4("0a010005", "06", tcp("0050"))[24:]},
		{name: "cut short", frame: ether + "0806" + "0001080006040001" + "02000000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := Load(Rules{
				Take:        []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/64")},
				Leave:       []netip.Prefix{netip.MustParsePrefix("10.1.0.3/32")},
				KernelPorts: c.ports,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			frame, err := hex.DecodeString(c.frame)
			if err != nil {
				t.Fatal(err)
			}
			if v, _, err := f.programs.Take.Test(frame); err != nil || v != 2 {
				t.Errorf("xdp: verdict %d, %v; want XDP_PASS", v, err)
			}
			if n, err := f.Counts(); err != nil || n.NoSocket == 1 != c.ours || n.NoSocket+n.Kernel != 1 {
				t.Errorf("xdp: counted %+v, %v", n, err)
			}
			v, _, err := f.programs.Withhold.Test(frame)
			if got := v == 2; err != nil || got != c.ours {
				t.Errorf("tcx: verdict %d, %v", int32(v), err)
			}
			v, _, err = f.programs.See.Test(append(make([]byte, 14), frame...)) // The kernel's test takes a link header off.
			if got := v > 0; err != nil || got != c.ours {
				t.Errorf("socket: verdict %d, %v", v, err)
			}
		})
	}
}
