package hello

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
)

// JA3 is the string that JA3 hashes of a client's hello, JA3S of a server's
// (github.com/salesforce/ja3).
func (h *Hello) JA3() []byte {
	if h.ja3 != nil {
		return h.ja3
	}
	out := strconv.AppendUint(nil, uint64(h.Version), 10)
	lists := [][]uint16{h.Ciphers, h.Extensions}
	if h.Client {
		lists = append(lists, h.Groups, h.Formats)
	}
	for _, list := range lists {
		out = append(out, ',')
		for i, v := range Plain(list) {
			if i > 0 {
				out = append(out, '-')
			}
			out = strconv.AppendUint(out, uint64(v), 10)
		}
	}
	h.ja3 = out
	return out
}

// JA3Hash is the fingerprint: the MD5 of JA3 in hexadecimal.
func (h *Hello) JA3Hash() []byte {
	if h.ja3Hash == nil {
		sum := md5.Sum(h.JA3())
		h.ja3Hash = hex.AppendEncode(nil, sum[:])
	}
	return h.ja3Hash
}

// JA4 is the fingerprint of a client's hello (github.com/FoxIO-LLC/ja4; this
// part of it is under BSD). transport is 't' for TCP, 'q' for QUIC.
func (h *Hello) JA4(transport byte) []byte {
	if h.ja4 != nil {
		return h.ja4
	}
	ciphers, extensions := Plain(h.Ciphers), Plain(h.Extensions)
	out := append([]byte{transport}, ja4Version(h.Agreed())...)
	if slices.Contains(h.Extensions, ServerName) {
		out = append(out, 'd')
	} else {
		out = append(out, 'i')
	}
	out = appendCount(out, len(ciphers))
	out = appendCount(out, len(extensions))
	out = append(out, h.ja4ALPN()...)

	slices.Sort(ciphers)
	kept := slices.DeleteFunc(extensions, func(v uint16) bool { return v == ServerName || v == ALPN })
	slices.Sort(kept)
	behind := appendHexes(nil, kept)
	if len(h.Signatures) > 0 {
		behind = appendHexes(append(behind, '_'), Plain(h.Signatures))
	}
	out = appendShort(append(out, '_'), appendHexes(nil, ciphers))
	h.ja4 = appendShort(append(out, '_'), behind)
	return h.ja4
}

func ja4Version(v uint16) string {
	switch v {
	case TLS13:
		return "13"
	case TLS12:
		return "12"
	case TLS11:
		return "11"
	case TLS10:
		return "10"
	case SSL3:
		return "s3"
	case SSL2:
		return "s2"
	}
	return "00"
}

// ja4ALPN is the first and last character of the first protocol, of its
// hexadecimal form if one of them is neither letter nor digit.
func (h *Hello) ja4ALPN() string {
	if len(h.ALPN) == 0 || len(h.ALPN[0]) == 0 {
		return "00"
	}
	a := h.ALPN[0]
	first, last := a[0], a[len(a)-1]
	if alnum(first) && alnum(last) {
		return string([]byte{first, last})
	}
	const digits = "0123456789abcdef"
	return string([]byte{digits[first>>4], digits[last&15]})
}

func alnum(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// Plain is a copy of a list without GREASE.
func Plain(list []uint16) []uint16 { return slices.DeleteFunc(slices.Clone(list), grease) }

// appendCount appends a number of at most 99 in two digits.
func appendCount(out []byte, n int) []byte {
	n = min(n, 99)
	return append(out, '0'+byte(n/10), '0'+byte(n%10))
}

func appendHexes(out []byte, list []uint16) []byte {
	for i, v := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = hex.AppendEncode(out, []byte{byte(v >> 8), byte(v)})
	}
	return out
}

// appendShort appends the first 12 digits of the SHA-256 of a text, zeros if it
// is empty.
func appendShort(out, text []byte) []byte {
	if len(text) == 0 {
		return append(out, "000000000000"...)
	}
	sum := sha256.Sum256(text)
	return hex.AppendEncode(out, sum[:6])
}
