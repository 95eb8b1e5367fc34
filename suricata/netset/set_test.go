package netset_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/suricata/netset"
)

var vars = netset.Vars{
	AddressGroups: map[string]string{"HOME_NET": "[10.0.0.0/8,fd00::/8]", "EXTERNAL_NET": "!$HOME_NET", "LOOP": "$LOOP"},
	PortGroups:    map[string]string{"HTTP_PORTS": "[80,8000:8080]"},
}

func TestAddrs(t *testing.T) {
	for _, c := range []struct{ expr, in, out string }{
		{"any", "1.2.3.4 ::1", ""},
		{"$HOME_NET", "10.0.0.0 10.255.255.255 fd00::1", "9.255.255.255 11.0.0.0 fe80::1"},
		{"$EXTERNAL_NET", "9.255.255.255 11.0.0.0 fe80::1", "10.0.0.0 fd12::"},
		{"!$EXTERNAL_NET", "10.1.2.3", "11.0.0.0"},
		{"[192.168.0.0/16,!192.168.1.0/24]", "192.168.0.255 192.168.2.0", "192.168.1.0 192.168.1.255"},
		{"[192.168.0.0/16,[!192.168.1.0/24]]", "192.168.2.0", "192.168.1.9"},
		{"![1.2.3.4,1.2.3.6]", "1.2.3.5 ::", "1.2.3.4 1.2.3.6"},
		{"1.2.3.4-1.2.3.9", "1.2.3.4 1.2.3.9", "1.2.3.3 1.2.3.10"},
		{"1.2.0.0/255.255.0.0", "1.2.255.255", "1.3.0.0"},
		{"0.0.0.0/0", "255.255.255.255 0.0.0.0", "::1"},
		{"::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "1.1.1.1"},
	} {
		e, err := netset.Parse(c.expr)
		if err != nil {
			t.Fatal(c.expr, err)
		}
		set, err := vars.Addrs(e)
		if err != nil {
			t.Fatal(c.expr, err)
		}
		for want, list := range map[bool]string{true: c.in, false: c.out} {
			for _, ip := range strings.Fields(list) {
				if set.Contains(netip.MustParseAddr(ip)) != want {
					t.Errorf("%s contains %s: not %v", c.expr, ip, want)
				}
			}
		}
	}
}

func TestErrors(t *testing.T) {
	for _, expr := range []string{"!any", "[1.2.3.4,!1.2.3.4]", "$NONE", "$LOOP", "1.2.3.4/33", "1.2.3", "[1.2.3.4", "!!1.2.3.4", "1.2.3.9-1.2.3.4", "1.2.3.4/255.0.255.0", "[]", "", strings.Repeat("[", 100) + "1.2.3.4" + strings.Repeat("]", 100)} {
		e, err := netset.Parse(expr)
		if err == nil {
			_, err = vars.Addrs(e)
		}
		if err == nil {
			t.Errorf("addresses %q: no error", expr)
		}
	}
	for _, expr := range []string{"65536", "90:80", ":", "[80,!80]", "!0:65535", "http", "-1"} {
		e, err := netset.Parse(expr)
		if err == nil {
			_, err = vars.Ports(e)
		}
		if err == nil {
			t.Errorf("ports %q: no error", expr)
		}
	}
}

// TestPortsAgainstBitmap compares random expressions with a set of 65,536 booleans.
func TestPortsAgainstBitmap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var plus, minus [1 << 16]bool
		positive := false
		expr := genPorts(rng, 3, false, &plus, &minus, &positive)
		e, err := netset.Parse(expr)
		if err != nil {
			t.Fatal(expr, err)
		}
		if e.String() != expr {
			t.Errorf("%s prints as %s", expr, e.String())
		}
		set, err := vars.Ports(e)
		empty := true
		for p := range plus {
			want := (plus[p] || !positive) && !minus[p]
			empty = empty && !want
			if err == nil && set.Contains(uint16(p)) != want {
				t.Fatalf("%s contains %d: not %v", expr, p, want)
			}
		}
		if (err != nil) != empty {
			t.Fatalf("%s: empty %v, error %v", expr, empty, err)
		}
	}
}

func genPorts(rng *rand.Rand, depth int, neg bool, plus, minus *[1 << 16]bool, positive *bool) string {
	not := ""
	if rng.IntN(3) == 0 {
		not, neg = "!", !neg
	}
	if depth == 0 || rng.IntN(2) == 0 {
		lo, hi := rng.IntN(1000), rng.IntN(1000)
		if hi < lo {
			lo, hi = hi, lo
		}
		for p := lo; p <= hi; p++ {
			if neg {
				minus[p] = true
			} else {
				plus[p] = true
			}
		}
		*positive = *positive || !neg
		return fmt.Sprintf("%s%d:%d", not, lo, hi)
	}
	members := make([]string, 1+rng.IntN(3))
	for i := range members {
		members[i] = genPorts(rng, depth-1, neg, plus, minus, positive)
	}
	return not + "[" + strings.Join(members, ",") + "]"
}

func FuzzParse(f *testing.F) {
	f.Add("[$A,!1.2.3.4,[::1/64]]")
	f.Fuzz(func(t *testing.T, s string) {
		e, err := netset.Parse(s)
		if err != nil {
			return
		}
		again, err := netset.Parse(e.String())
		if err != nil || again.String() != e.String() {
			t.Errorf("%q prints as %q: %v", s, e.String(), err)
		}
		_, _ = vars.Addrs(e)
		_, _ = vars.Ports(e)
	})
}
