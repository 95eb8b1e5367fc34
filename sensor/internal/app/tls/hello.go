package tls

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// hello is what a client or a server says first.
type hello struct {
	known      bool
	version    uint16
	chosen     uint16 // By supported_versions: the server's, or the client's highest.
	random     []byte
	ciphers    []uint16
	extensions []uint16
	groups     []uint16
	formats    []uint16
	signatures []uint16
	sni        []byte
	alpn       [][]byte
	ja3, ja4   string
}

// modern says whether the rest of the handshake is encrypted.
func (h *hello) modern() bool { return h.chosen == 0x0304 || h.chosen>>8 == 0x7f }

// cursor reads numbers and pieces; after an error everything is empty.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if c.bad || n > len(c.b) {
		c.bad = true
		return nil
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) number(size int) (n int) {
	for _, x := range c.take(size) {
		n = n<<8 | int(x)
	}
	return n
}

// piece reads bytes behind their length of size bytes.
func (c *cursor) piece(size int) *cursor {
	b := c.take(c.number(size))
	return &cursor{b: b, bad: c.bad}
}

func (c *cursor) words() (list []uint16) {
	for len(c.b) >= 2 && !c.bad {
		list = append(list, uint16(c.number(2)))
	}
	return list
}

// The extensions that are read (IANA, "TLS ExtensionType Values").
const (
	extServerName        = 0
	extGroups            = 10
	extFormats           = 11
	extSignatures        = 13
	extALPN              = 16
	extSupportedVersions = 43
)

// read reads a hello (RFC 8446 sections 4.1.2 and 4.1.3).
func (h *hello) read(body []byte, client bool) bool {
	c := &cursor{b: body}
	h.version = uint16(c.number(2))
	h.random = append([]byte(nil), c.take(32)...)
	c.piece(1) // The session's id.
	if client {
		h.ciphers = c.piece(2).words()
		c.piece(1) // Compression.
	} else {
		h.ciphers = []uint16{uint16(c.number(2))}
		c.number(1)
	}
	if c.bad {
		return false
	}
	h.known = true
	if len(c.b) >= 2 {
		list := c.piece(2)
		for len(list.b) >= 4 && !list.bad {
			kind := uint16(list.number(2))
			body := list.piece(2)
			if list.bad {
				break
			}
			h.extensions = append(h.extensions, kind)
			h.extension(kind, body, client)
		}
	}
	if client {
		h.fingerprints()
	} else {
		h.ja3 = fmt.Sprintf("%d,%d,%s", h.version, h.ciphers[0], dashed(h.extensions))
	}
	return true
}

func (h *hello) extension(kind uint16, c *cursor, client bool) {
	switch kind {
	case extServerName:
		if list := c.piece(2); client && list.number(1) == 0 {
			if name := list.piece(2); !list.bad {
				h.sni = append([]byte{}, name.b...)
			}
		}
	case extGroups:
		h.groups = c.piece(2).words()
	case extFormats:
		for _, x := range c.piece(1).b {
			h.formats = append(h.formats, uint16(x))
		}
	case extSignatures:
		h.signatures = c.piece(2).words()
	case extALPN:
		for list := c.piece(2); len(list.b) > 0 && !list.bad; {
			if name := list.piece(1); !list.bad {
				h.alpn = append(h.alpn, append([]byte(nil), name.b...))
			}
		}
	case extSupportedVersions:
		if !client {
			h.chosen = uint16(c.number(2))
			return
		}
		for _, v := range c.piece(1).words() {
			if !grease(v) {
				h.chosen = max(h.chosen, v)
			}
		}
	}
}

// grease says whether a number is one that clients send to keep servers
// tolerant (RFC 8701).
func grease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

func without(list []uint16) []uint16 {
	return slices.DeleteFunc(slices.Clone(list), grease)
}

// dashed writes numbers with dashes between them, without GREASE.
func dashed(list []uint16) string {
	var parts []string
	for _, v := range without(list) {
		parts = append(parts, strconv.Itoa(int(v)))
	}
	return strings.Join(parts, "-")
}

// fingerprints makes JA3 (github.com/salesforce/ja3) and JA4
// (github.com/FoxIO-LLC/ja4, the client's part under BSD).
func (h *hello) fingerprints() {
	h.ja3 = fmt.Sprintf("%d,%s,%s,%s,%s", h.version, dashed(h.ciphers), dashed(h.extensions), dashed(h.groups), dashed(h.formats))
	version := h.version
	if h.chosen != 0 {
		version = h.chosen
	}
	name := map[uint16]string{0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2"}[version]
	if name == "" {
		name = "00"
	}
	sni := "i"
	if slices.Contains(h.extensions, extServerName) {
		sni = "d"
	}
	alpn := "00"
	if len(h.alpn) > 0 && len(h.alpn[0]) > 0 {
		a := h.alpn[0]
		first, last := a[0], a[len(a)-1]
		if alnum(first) && alnum(last) {
			alpn = string([]byte{first, last})
		} else {
			alpn = string([]byte{hex.EncodeToString([]byte{first})[0], hex.EncodeToString([]byte{last})[1]})
		}
	}
	ciphers, extensions := without(h.ciphers), without(h.extensions)
	count := func(n int) string { return fmt.Sprintf("%02d", min(n, 99)) }
	sorted := slices.Sorted(slices.Values(ciphers))
	kept := slices.DeleteFunc(slices.Clone(extensions), func(v uint16) bool { return v == extServerName || v == extALPN })
	slices.Sort(kept)
	behind := hexes(kept)
	if len(h.signatures) > 0 {
		behind += "_" + hexes(without(h.signatures))
	}
	h.ja4 = "t" + name + sni + count(len(ciphers)) + count(len(extensions)) + alpn + "_" + short(hexes(sorted)) + "_" + short(behind)
}

func alnum(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' }

func hexes(list []uint16) string {
	var parts []string
	for _, v := range list {
		parts = append(parts, fmt.Sprintf("%04x", v))
	}
	return strings.Join(parts, ",")
}

// short is the first 12 digits of a SHA-256, zeros of nothing.
func short(s string) string {
	if s == "" {
		return "000000000000"
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:6])
}

func (h *hello) ja3Hash() string {
	sum := md5.Sum([]byte(h.ja3))
	return hex.EncodeToString(sum[:])
}
