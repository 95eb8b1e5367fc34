package neigh

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/internal/need"
)

func TestGateways(t *testing.T) {
	const four = "Iface\tDestination\tGateway \tFlags\nveth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\nveth0\t0000000A\t00000000\t0001\nlo\t00000000\t0200000A\t0003\n"
	got, err := gateways4(strings.NewReader(four), "veth0")
	if err != nil || len(got) != 1 || got[0] != netip.MustParseAddr("10.0.0.1") {
		t.Errorf("IPv4: %v, %v", got, err)
	}
	const six = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000001 00000000 00000003    veth0\n" +
		"fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001    veth0\n"
	got, err = gateways6(strings.NewReader(six), "veth0")
	if err != nil || len(got) != 1 || got[0] != netip.MustParseAddr("fd00::1") {
		t.Errorf("IPv6: %v, %v", got, err)
	}
	if _, err := gateways4(strings.NewReader("veth0 0 xyz 3\n"), "veth0"); err == nil {
		t.Error("a gateway that is no number")
	}
}

// TestRefresh makes a namespace with a pair of interfaces and lets the kernel
// resolve the other end.
func TestRefresh(t *testing.T) {
	need.Root(t)
	if isolated(t) {
		return
	}
	for _, args := range []string{
		"link add name va type veth peer name vb", "addr add 10.77.0.1/24 dev va", "addr add fd77::1/64 dev va nodad", "link set va up", "link set vb up",
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v %s", args, err, out)
		}
	}
	hops, err := Hops([]string{"va"}, []netip.Addr{netip.MustParseAddr("10.77.0.2"), netip.MustParseAddr("fd77::2"), netip.MustParseAddr("10.78.0.1")})
	if err != nil || len(hops) != 2 {
		t.Fatalf("hops on link: %v, %v", hops, err)
	}
	if err := Refresh(hops); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ip", "neigh", "show", "dev", "va").CombinedOutput()
	for _, want := range []string{"10.77.0.2 ", "fd77::2 "} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("the kernel has no entry of %s: %s %v", want, out, err)
		}
	}
	if err := Refresh([]Hop{{netip.MustParseAddr("10.77.0.2"), 9999}}); err == nil {
		t.Error("an interface that is not there")
	}
}

func FuzzAnswered(f *testing.F) {
	f.Add(make([]byte, 20))
	f.Add(message(1, Hop{netip.MustParseAddr("10.0.0.1"), 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if answered(b) == nil && len(b) < unix.SizeofNlMsghdr+4 {
			t.Error("too short an answer is taken")
		}
	})
}
