package http1

import (
	"bytes"
	"compress/flate"
	"io"
	"strings"
)

// codings are the content codings of a message from the outermost in, at most
// limit of them. What is unknown ends the list: nobody can undo it.
func codings(value []byte, limit int) (list []string) {
	tokens := strings.FieldsFunc(strings.ToLower(string(value)), func(c rune) bool { return c == ',' || c == ' ' || c == '\t' })
	for i := len(tokens) - 1; i >= 0; i-- {
		kind := ""
		switch t := tokens[i]; {
		case strings.Contains(t, "gzip"):
			kind = "gzip"
		case strings.Contains(t, "deflate"):
			kind = "deflate"
		case strings.Contains(t, "lzma"):
			kind = "lzma"
		}
		if kind == "" {
			continue
		}
		if len(list) == limit {
			break
		}
		list = append(list, kind)
	}
	return list
}

// maxInflated bounds what compressed bytes become: a bomb ends there.
const maxInflated = 1 << 20

// decode undoes the codings of what has come of a body. Bytes that are not
// what their coding says come through as they are, as browsers have it.
func decode(data []byte, list []string) []byte {
	for _, kind := range list {
		plain, ok := inflate(data, kind)
		if !ok {
			return data
		}
		data = plain
	}
	return data
}

// inflate undoes one coding: first as it is named, then as what it may be
// instead.
func inflate(data []byte, kind string) ([]byte, bool) {
	tries := []func([]byte) ([]byte, bool){gunzip, unzlib, rawInflate}
	switch kind {
	case "deflate":
		tries = []func([]byte) ([]byte, bool){unzlib, rawInflate, gunzip}
	case "lzma":
		return nil, false
	}
	for _, try := range tries {
		if out, ok := try(data); ok {
			return out, true
		}
	}
	return nil, false
}

// gunzip skips a header of gzip (RFC 1952), whatever its flags and checksum.
func gunzip(data []byte) ([]byte, bool) {
	if len(data) < 10 || data[0] != 0x1f || data[1] != 0x8b {
		return nil, false
	}
	flags, rest := data[3], data[10:]
	const hcrc, extra, name, comment = 2, 4, 8, 16
	if flags&extra != 0 {
		if len(rest) < 2 {
			return nil, false
		}
		n := int(rest[0]) | int(rest[1])<<8
		if len(rest) < 2+n {
			return nil, false
		}
		rest = rest[2+n:]
	}
	for _, flag := range []byte{name, comment} {
		if flags&flag != 0 {
			i := bytes.IndexByte(rest, 0)
			if i < 0 {
				return nil, false
			}
			rest = rest[i+1:]
		}
	}
	if flags&hcrc != 0 {
		if len(rest) < 2 {
			return nil, false
		}
		rest = rest[2:]
	}
	return rawInflate(rest)
}

// unzlib skips a header of zlib (RFC 1950).
func unzlib(data []byte) ([]byte, bool) {
	if len(data) < 2 || data[0]&0x0f != 8 || (int(data[0])<<8|int(data[1]))%31 != 0 {
		return nil, false
	}
	return rawInflate(data[2:])
}

// rawInflate undoes deflate (RFC 1951) as far as it goes. It says whether
// anything came of it.
func rawInflate(data []byte) ([]byte, bool) {
	r := flate.NewReader(bytes.NewReader(data))
	out, err := io.ReadAll(io.LimitReader(r, maxInflated))
	if err != nil && len(out) == 0 {
		return nil, false
	}
	return out, true
}
