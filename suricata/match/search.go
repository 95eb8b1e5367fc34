package match

import "bytes"

// indexFold finds pattern, which is in lower case, whatever the case in data.
// It searches for one byte of the pattern and compares around it.
func indexFold(data, pattern []byte) int {
	anchor := 0
	for i, c := range pattern {
		if c < 'a' || c > 'z' { // found without trying two cases
			anchor = i
			break
		}
	}
	c := pattern[anchor]
	last := len(data) - len(pattern)
	for i := 0; i <= last; {
		n := nextFold(data[i+anchor:last+anchor+1], c)
		if n < 0 {
			return -1
		}
		i += n
		if equalFold(data[i:i+len(pattern)], pattern) {
			return i
		}
		i++
	}
	return -1
}

// nextFold finds a byte in either case.
func nextFold(data []byte, c byte) int {
	n := bytes.IndexByte(data, c)
	if c < 'a' || c > 'z' {
		return n
	}
	if n >= 0 {
		data = data[:n]
	}
	if u := bytes.IndexByte(data, c-'a'+'A'); u >= 0 {
		return u
	}
	return n
}

func equalFold(s, folded []byte) bool {
	for i, c := range s {
		if lower(c) != folded[i] {
			return false
		}
	}
	return true
}

// appendBase64 decodes up to the first byte that is not of the alphabet of
// RFC 4648 section 4.
func appendBase64(out, s []byte) []byte {
	acc, bits := uint32(0), 0
	for _, c := range s {
		v := base64Value(c)
		if v < 0 {
			break
		}
		acc, bits = acc<<6|uint32(v), bits+6
		if bits >= 8 {
			bits -= 8
			out = append(out, byte(acc>>bits))
		}
	}
	return out
}

func base64Value(c byte) int {
	switch {
	case 'A' <= c && c <= 'Z':
		return int(c - 'A')
	case 'a' <= c && c <= 'z':
		return int(c-'a') + 26
	case '0' <= c && c <= '9':
		return int(c-'0') + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	}
	return -1
}
