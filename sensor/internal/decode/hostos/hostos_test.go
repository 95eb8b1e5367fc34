package hostos

import (
	"net/netip"
	"testing"
)

func TestNames(t *testing.T) {
	if len(All()) != 15 {
		t.Errorf("%d policies", len(All()))
	}
	for _, p := range All() {
		if got, err := Parse(p.String()); got != p || err != nil {
			t.Errorf("%v: %v, %v", p, got, err)
		}
	}
	for _, name := range []string{"", "plan9"} {
		if _, err := Parse(name); err == nil {
			t.Errorf("%q is a policy", name)
		}
	}
}

func TestLongestPrefixWins(t *testing.T) {
	table := NewTable(map[netip.Prefix]Policy{
		netip.MustParsePrefix("0.0.0.0/0"):       Windows,
		netip.MustParsePrefix("10.0.0.0/8"):      Linux,
		netip.MustParsePrefix("10.1.2.3/24"):     Solaris, // Masked.
		netip.MustParsePrefix("2001:db8::/32"):   MacOS,
		netip.MustParsePrefix("2001:db8::7/128"): Last,
	})
	for addr, want := range map[string]Policy{
		"9.9.9.9": Windows, "10.9.9.9": Linux, "10.1.2.99": Solaris, "2001:db8::1": MacOS, "2001:db8::7": Last, "2001:db9::": BSD,
	} {
		if got := table.Of(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v, want %v", addr, got, want)
		}
	}
	var empty *Table
	if empty.Of(netip.MustParseAddr("1.1.1.1")) != BSD {
		t.Error("a nil table knows something")
	}
}
