package ber

import (
	"strings"
	"testing"
)

func TestValues(t *testing.T) {
	v, rest, ok := Next([]byte("\x30\x0b\x02\x02\xff\x7f\x06\x05\x2b\x06\x01\x82\x37tail"))
	if !ok || v.Tag != Sequence || string(rest) != "tail" {
		t.Fatalf("%v %q %v", v, rest, ok)
	}
	if n, ok := v.Inner(Integer); !ok || n.Int() != -129 {
		t.Errorf("integer %d, %v", n.Int(), ok)
	}
	if id, ok := v.Inner(OID); !ok || id.OID() != "1.3.6.1.311" {
		t.Errorf("identifier %s, %v", id.OID(), ok)
	}
	if _, ok := v.Inner(Set); ok {
		t.Error("found a set")
	}
	long := "\x04\x82\x01\x00" + strings.Repeat("x", 256)
	if v, rest, ok := Next([]byte(long)); !ok || len(v.Data) != 256 || len(rest) != 0 {
		t.Errorf("long form: %d %d %v", len(v.Data), len(rest), ok)
	}
	for _, bad := range []string{"", "\x04", "\x04\x02x", "\x04\x80x", "\x1f\x01x", "\x04\x85\x00\x00\x00\x00\x01x", "\x04\x84\xff\xff\xff\xff"} {
		if _, _, ok := Next([]byte(bad)); ok {
			t.Errorf("%q is a value", bad)
		}
	}
}

func FuzzNext(f *testing.F) {
	f.Add([]byte("\x30\x0b\x02\x02\xff\x7f\x06\x05\x2b\x06\x01\x82\x37"))
	f.Add([]byte("\x04\x82\x01\x00"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		Each(b, func(v Value) bool {
			_, _ = v.Int(), v.OID()
			v.Inner(OctetString)
			return true
		})
	})
}
