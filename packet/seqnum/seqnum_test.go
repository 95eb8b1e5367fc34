package seqnum

import (
	"testing"
	"testing/quick"
)

func TestOrder(t *testing.T) {
	for _, c := range []struct {
		v, w         Value
		less, lessEq bool
	}{
		{0, 0, false, true},
		{0, 1, true, true},
		{1, 0, false, false},
		{0xffffffff, 0, true, true}, // The wrap.
		{0, 0xffffffff, false, false},
		{0xfffffff0, 0x10, true, true},
		{0, 1<<31 - 1, true, true},
		{0, 1<<31 + 1, false, false},
		{0, 1 << 31, true, true}, // No order: both ways.
		{1 << 31, 0, true, true},
	} {
		if c.v.Less(c.w) != c.less || c.v.LessEq(c.w) != c.lessEq {
			t.Errorf("%#x, %#x: less %v, less or equal %v", c.v, c.w, c.v.Less(c.w), c.v.LessEq(c.w))
		}
	}
}

func TestArithmetic(t *testing.T) {
	if err := quick.Check(func(v Value, n Size) bool {
		w := v.Add(n)
		ok := w.Sub(v) == n
		if n != 1<<31 {
			ok = ok && Max(v, w).Sub(Min(v, w)) == min(n, -n)
		}
		return ok && v.In(v, n) == (n > 0) && !w.In(v, n)
	}, nil); err != nil {
		t.Error(err)
	}
}
