package eve

import (
	"testing"
	"time"
)

func TestStamp(t *testing.T) {
	e := New(Options{})
	for _, ns := range []int64{0, 1, 999_999, 1e9 - 1, 1e9, 1767225600123456789, 1767225600999999999, 1767225601000001000, -1, -1e9, -1500000000} {
		e.w.Reset(nil)
		e.stamp("", ns)
		if got, want := string(e.w.Bytes()), `"`+time.Unix(0, ns).UTC().Format(stampFormat)+`"`; got != want {
			t.Errorf("%d: %s, want %s", ns, got, want)
		}
	}
}
