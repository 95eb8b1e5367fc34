package wire

import "testing"

func TestReader(t *testing.T) {
	r := Reader{B: []byte("\x01\x02\x03\x04\x05\x06\x07abc\x00de")}
	if n := r.U8(); n != 1 {
		t.Errorf("byte %d", n)
	}
	if n := r.BE16(); n != 0x0203 {
		t.Errorf("big %x", n)
	}
	if n := r.U32(true); n != 0x07060504 {
		t.Errorf("little %x", n)
	}
	if s := r.Until(0); string(s) != "abc" {
		t.Errorf("until %q", s)
	}
	if n := r.BE64(); n != 0 || !r.Bad || r.U8() != 0 || r.Take(0) != nil {
		t.Errorf("past the end: %d, %v", n, r.Bad)
	}
	r = Reader{B: []byte("\x00\x00\x02ab\x05x")}
	if p := r.Piece(3); string(p.B) != "ab" || p.Bad {
		t.Errorf("piece %q", p.B)
	}
	if p := r.Piece(1); !p.Bad || !r.Bad {
		t.Error("a piece that is not whole was found")
	}
	r = Reader{B: []byte("x")}
	if r.Until(0) != nil || !r.Bad {
		t.Error("no end was found")
	}
}
