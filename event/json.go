package event

import (
	"encoding/base64"
	"net/netip"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// The mapping to JSON, specified in docs/formats/event.md: one flat object,
// ECS names as keys in the order of the field table, only fields that have a
// value. Bytes that are not UTF-8 cannot be JSON: each is shown as U+FFFD, and
// the field's exact bytes are repeated in base64 as "hauberk.raw.<name>".

// rawPrefix names the exact bytes of a field that is not UTF-8.
const rawPrefix = "hauberk.raw."

// AppendJSON appends the record as one JSON object, without a line end.
func AppendJSON(dst []byte, r *Record) []byte {
	dst = append(dst, '{')
	dst = appendMembers(dst, r)
	return append(dst, '}')
}

// appendMembers appends the members of the record's object.
func appendMembers(dst []byte, r *Record) []byte {
	open := len(dst)
	for _, f := range r.Event.BodyKind().Fields() {
		v, ok := r.Value(f)
		if !ok {
			continue
		}
		name := f.Info().ECS
		if v.Kind == KindMap {
			dst = appendMap(dst, open, name, v.Map)
			continue
		}
		dst = appendKey(dst, open, "", name)
		var exact bool
		dst, exact = appendValue(dst, v)
		if !exact {
			dst = appendRaw(appendKey(dst, open, rawPrefix, name), v)
		}
	}
	return dst
}

// appendKey appends a comma, unless the object that opened at open is empty,
// and a key.
func appendKey(dst []byte, open int, prefix, name string) []byte {
	if len(dst) > open {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, prefix...)
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

// appendMap appends one member for each label, in order of the names.
func appendMap(dst []byte, open int, name string, m map[string]string) []byte {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if len(dst) > open {
			dst = append(dst, ',')
		}
		dst, _ = appendString(dst, view(name+"."+k))
		dst = append(dst, ':')
		dst, _ = appendString(dst, view(m[k]))
	}
	return dst
}

// AppendText appends the value as text: what JSON shows, without quotes. A
// list is joined by spaces.
func (v Value) AppendText(dst []byte) []byte {
	switch v.Kind {
	case KindText, KindEnum:
		return append(dst, v.Bytes...)
	case KindIP:
		return appendIP(dst, v.Bytes)
	case KindInt:
		return strconv.AppendInt(dst, v.Int, 10)
	case KindUint:
		return strconv.AppendUint(dst, uint64(v.Int), 10)
	case KindBool:
		return append(dst, "true"...)
	case KindTime:
		return appendTime(dst, v.Int)
	case KindList:
		for i, item := range v.List {
			if i > 0 {
				dst = append(dst, ' ')
			}
			dst = append(dst, item...)
		}
	}
	return dst
}

// appendValue reports in exact whether the JSON holds every byte.
func appendValue(dst []byte, v Value) (_ []byte, exact bool) {
	switch v.Kind {
	case KindText, KindEnum:
		return appendString(dst, v.Bytes)
	case KindIP, KindTime:
		dst = append(dst, '"')
		dst = v.AppendText(dst)
		return append(dst, '"'), true
	case KindList:
		exact = true
		dst = append(dst, '[')
		for i, item := range v.List {
			if i > 0 {
				dst = append(dst, ',')
			}
			var ok bool
			dst, ok = appendString(dst, item)
			exact = exact && ok
		}
		return append(dst, ']'), exact
	}
	return v.AppendText(dst), true
}

// appendRaw appends the bytes of a text in base64, of a list those of each
// item.
func appendRaw(dst []byte, v Value) []byte {
	if v.Kind != KindList {
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, v.Bytes)
		return append(dst, '"')
	}
	dst = append(dst, '[')
	for i, item := range v.List {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, item)
		dst = append(dst, '"')
	}
	return append(dst, ']')
}

// appendIP writes an IPv4-mapped IPv6 address as IPv4: a dual-stack socket
// makes the same peer look like either.
func appendIP(dst, ip []byte) []byte {
	addr, ok := netip.AddrFromSlice(ip)
	if !ok {
		return dst
	}
	return addr.Unmap().AppendTo(dst)
}

// appendTime writes RFC 3339 in UTC with nanoseconds of fixed width, so that
// the order of texts is the order of times.
func appendTime(dst []byte, ns int64) []byte {
	return time.Unix(0, ns).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000000Z")
}

// appendString appends s as a JSON string; exact is false if a byte of it is
// not UTF-8.
func appendString(dst, s []byte) (_ []byte, exact bool) {
	const hexDigits = "0123456789abcdef"
	exact = true
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			_, size := utf8.DecodeRune(s[i:])
			if size > 1 {
				i += size
				continue
			}
		}
		dst = append(dst, s[start:i]...)
		switch {
		case c >= utf8.RuneSelf:
			exact = false
			dst = append(dst, "\ufffd"...)
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"'), exact
}
