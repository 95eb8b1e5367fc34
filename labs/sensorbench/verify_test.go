package main

import (
	"maps"
	"slices"
	"testing"
)

func TestCompareFindsEachKindOfDifference(t *testing.T) {
	dns := func(m map[string]any) []map[string]any { return []map[string]any{m} }
	ours := records{
		{"dns", "a"}: dns(map[string]any{"id": 1.0, "list": []any{"x", "y"}, "more": true}),
		{"tls", "a"}: {nil, nil},
	}
	theirs := records{
		{"dns", "a"}:     dns(map[string]any{"id": 2.0, "list": []any{"x", "y"}, "less": true}),
		{"alert 7", "a"}: {nil},
		{"tls", "a"}:     {nil},
	}
	got := slices.Sorted(maps.Keys(compare(ours, theirs)))
	want := []string{"missing alert 7", "missing field dns.less", "other field dns.id", "surplus field dns.more", "surplus tls"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if len(compare(theirs, theirs)) != 0 {
		t.Error("a set differs from itself")
	}
}

func TestAcceptedDifferencesNeedACause(t *testing.T) {
	if _, err := parseAccepted(acceptedText); err != nil {
		t.Error(err)
	}
	if got, err := parseAccepted("# why\n3 other field dns.id: they count from one (dns.c)\n"); err != nil || got["other field dns.id"] != 3 {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"3 other field dns.id", "x other: y", "3 missing alert 7: we are late"} {
		if _, err := parseAccepted(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
