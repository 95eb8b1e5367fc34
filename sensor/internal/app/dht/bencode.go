package dht

import (
	"bytes"
	"strconv"
)

// kind is what a value is.
type kind uint8

const (
	number kind = iota + 1
	text
	list
	dict
)

// value is one of bencode (BEP 3).
type value struct {
	kind   kind
	number int64
	text   []byte
	list   []value // Of a dict: its values,
	keys   [][]byte
}

// Limits of what is read: Suricata's of values in values, and of their number.
const (
	maxDepth  = 3
	maxValues = 4096
)

// reader takes values off b.
type reader struct {
	b    []byte
	left int // Values that may follow.
}

// decode reads the first value of b.
func decode(b []byte) (value, bool) {
	r := &reader{b: b, left: maxValues}
	return r.value(0)
}

func (r *reader) value(depth int) (v value, ok bool) {
	if r.left--; len(r.b) == 0 || r.left < 0 {
		return v, false
	}
	switch c := r.b[0]; {
	case c >= '0' && c <= '9':
		v.kind = text
		v.text, ok = r.text()
		return v, ok
	case c == 'i':
		digits, rest, found := bytes.Cut(r.b[1:], []byte{'e'})
		n, err := strconv.ParseInt(string(digits), 10, 64)
		r.b = rest
		return value{kind: number, number: n}, found && err == nil
	case (c == 'l' || c == 'd') && depth < maxDepth:
		r.b = r.b[1:]
		v.kind = list
		if c == 'd' {
			v.kind = dict
		}
		return v, r.members(&v, depth)
	}
	return v, false
}

// members reads those of a list or a dict, and its end.
func (r *reader) members(v *value, depth int) bool {
	for {
		if len(r.b) == 0 {
			return false
		}
		if r.b[0] == 'e' {
			r.b = r.b[1:]
			return true
		}
		if v.kind == dict {
			key, ok := r.text()
			if !ok {
				return false
			}
			v.keys = append(v.keys, key)
		}
		x, ok := r.value(depth + 1)
		if !ok {
			return false
		}
		v.list = append(v.list, x)
	}
}

// text reads bytes behind their number and a colon.
func (r *reader) text() ([]byte, bool) {
	digits, rest, ok := bytes.Cut(r.b, []byte{':'})
	n, err := strconv.ParseUint(string(digits), 10, 16)
	if !ok || err != nil || n > uint64(len(rest)) {
		return nil, false
	}
	r.b = rest[n:]
	return rest[:n:n], true
}

// get is the value of a key, of no kind if there is none.
func (v *value) get(key string) *value {
	for i, k := range v.keys {
		if string(k) == key {
			return &v.list[i]
		}
	}
	return &value{}
}
