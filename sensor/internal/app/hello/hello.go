// Package hello reads what the two sides of TLS say first, over TCP or in
// QUIC, and makes the fingerprints JA3, JA3S and JA4 of it.
package hello

import (
	"slices"

	"github.com/hauberk/hauberk/sensor/internal/app/wire"
)

// Hello is what a client or a server says first. The zero value is one that
// was not seen.
type Hello struct {
	Known      bool
	Client     bool // It is a client's.
	Version    uint16
	Chosen     uint16 // By supported_versions: the server's, or the client's highest.
	Random     []byte // 32 bytes.
	Ciphers    []uint16
	Extensions []uint16 // In the order they were sent.
	Groups     []uint16
	Formats    []uint16
	Signatures []uint16
	Versions   []uint16 // Those of supported_versions.
	SNI        []byte   // nil: none.
	ALPN       [][]byte

	ja3, ja3Hash, ja4 []byte // Made when they are asked for.
}

// The extensions that are read (IANA, "TLS ExtensionType Values").
const (
	ServerName        = 0
	Groups            = 10
	Formats           = 11
	Signatures        = 13
	ALPN              = 16
	SupportedVersions = 43
)

// The versions (RFC 8446 section 4.2.1).
const (
	SSL2  = 0x0200
	SSL3  = 0x0300
	TLS10 = 0x0301
	TLS11 = 0x0302
	TLS12 = 0x0303
	TLS13 = 0x0304
)

// Modern says whether the rest of the handshake is encrypted, as from TLS 1.3
// and its drafts on.
func (h *Hello) Modern() bool { return h.Chosen == TLS13 || h.Chosen>>8 == 0x7f }

// Agreed is the version that counts.
func (h *Hello) Agreed() uint16 {
	if h.Chosen != 0 {
		return h.Chosen
	}
	return h.Version
}

// Read reads a message ClientHello or ServerHello (RFC 8446 sections 4.1.2 and
// 4.1.3) behind its type and length. ok is false if it is not one; what comes
// after the ciphers may be broken.
func Read(body []byte, client bool) (h Hello, ok bool) {
	r := wire.Reader{B: body}
	h = Hello{Client: client, Version: r.BE16(), Random: slices.Clone(r.Take(32))}
	r.Piece(1) // The session's id.
	if client {
		list := r.Piece(2)
		h.Ciphers = words(&list)
		r.Piece(1) // Compression.
	} else {
		h.Ciphers = []uint16{r.BE16()}
		r.U8()
	}
	if r.Bad {
		return Hello{}, false
	}
	h.Known = true
	if len(r.B) == 0 {
		return h, true
	}
	list := r.Piece(2)
	for len(list.B) > 0 {
		kind, body := list.BE16(), list.Piece(2)
		if list.Bad {
			break
		}
		h.Extensions = append(h.Extensions, kind)
		h.extension(kind, &body)
	}
	return h, true
}

func (h *Hello) extension(kind uint16, r *wire.Reader) {
	piece := func(size int) *wire.Reader { p := r.Piece(size); return &p }
	switch kind {
	case ServerName:
		const hostName = 0
		if list := piece(2); h.Client && list.U8() == hostName {
			if name := list.Piece(2); !list.Bad {
				h.SNI = append([]byte{}, name.B...)
			}
		}
	case Groups:
		h.Groups = words(piece(2))
	case Formats:
		for _, x := range piece(1).B {
			h.Formats = append(h.Formats, uint16(x))
		}
	case Signatures:
		h.Signatures = words(piece(2))
	case ALPN:
		for list := piece(2); len(list.B) > 0; {
			if name := list.Piece(1); !list.Bad {
				h.ALPN = append(h.ALPN, slices.Clone(name.B))
			}
		}
	case SupportedVersions:
		if !h.Client {
			h.Chosen = r.BE16()
			h.Versions = []uint16{h.Chosen}
			return
		}
		h.Versions = words(piece(1))
		for _, v := range h.Versions {
			if !grease(v) {
				h.Chosen = max(h.Chosen, v)
			}
		}
	}
}

func words(r *wire.Reader) (list []uint16) {
	for len(r.B) >= 2 {
		list = append(list, r.BE16())
	}
	return list
}

// grease says whether a number is one that clients send to keep servers
// tolerant (RFC 8701).
func grease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }
