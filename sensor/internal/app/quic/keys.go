package quic

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"

	"github.com/hauberk/hauberk/sensor/internal/app"
)

// keys protect the first packets of each direction. They follow from the
// version and the destination's id that the client chose, so anyone on the way
// can open them (RFC 9001 section 5.2).
type keys struct {
	packet [2]cipher.AEAD
	header [2]cipher.Block
	iv     [2][]byte
}

// salt is the salt of a version's first secret, nil if the version is not known.
func salt(v version) []byte {
	switch {
	case v == 1 || v == 0xff000021 || v == 0xff000022: // RFC 9001
		return []byte("\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a")
	case v == v2: // RFC 9369
		return []byte("\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9")
	case v >= 0xff00001d && v <= 0xff000020: // draft-ietf-quic-tls-29 to 32
		return []byte("\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\x86\xf1\x9c\x61\x11\xe0\x43\x90\xa8\x99")
	case v >= 0xff000017 && v <= 0xff00001c || v == 0xfaceb002: // draft-ietf-quic-tls-23 to 28, and Facebook's
		return []byte("\xc3\xee\xf7\x12\xc7\x2e\xbb\x5a\x11\xa7\xd2\x43\x2b\xb4\x63\x65\xbe\xf9\xf5\x02")
	case v == 0x51303530: // Google's 50
		return []byte("\x50\x45\x74\xef\xd0\x66\xfe\x2f\x9d\x94\x5c\xfc\xdb\xd3\xa7\xf0\xd3\xb5\x6b\x45")
	}
	return nil
}

// newKeys makes the keys for packets to a destination; nil if the version is
// not known.
func newKeys(v version, dcid []byte) *keys {
	s := salt(v)
	if s == nil {
		return nil
	}
	first, err := hkdf.Extract(sha256.New, dcid, s)
	if err != nil {
		return nil
	}
	prefix := "quic"
	if v == v2 {
		prefix = "quicv2"
	}
	k := &keys{}
	for dir, label := range []string{app.ToServer: "client in", app.ToClient: "server in"} {
		secret, err0 := expand(first, label, sha256.Size)
		key, err1 := expand(secret, prefix+" key", 16)
		iv, err2 := expand(secret, prefix+" iv", 12)
		hp, err3 := expand(secret, prefix+" hp", 16)
		if errors.Join(err0, err1, err2, err3) != nil {
			return nil
		}
		block, err1 := aes.NewCipher(key)
		mask, err2 := aes.NewCipher(hp)
		if errors.Join(err1, err2) != nil {
			return nil
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil
		}
		k.packet[dir], k.header[dir], k.iv[dir] = aead, mask, iv
	}
	return k
}

// expand is HKDF-Expand-Label without a context (RFC 8446 section 7.1).
func expand(secret []byte, label string, size int) ([]byte, error) {
	label = "tls13 " + label
	info := string([]byte{byte(size >> 8), byte(size), byte(len(label))}) + label + "\x00"
	return hkdf.Expand(sha256.New, secret, info, size)
}

// open removes the protection of a packet whose header has head bytes (RFC 9001
// sections 5.3 and 5.4); ok is false if the keys are not its.
func (k *keys) open(dir app.Dir, packet []byte, head int) (plain []byte, ok bool) {
	const maxNumber = 4
	if len(packet) < head+maxNumber+aes.BlockSize {
		return nil, false
	}
	var mask [aes.BlockSize]byte
	k.header[dir].Encrypt(mask[:], packet[head+maxNumber:head+maxNumber+aes.BlockSize])
	first := packet[0] ^ mask[0]&0x0f
	size := int(first&3) + 1
	aad := append([]byte{first}, packet[1:head+size]...)
	nonce := append([]byte(nil), k.iv[dir]...)
	for i := range size {
		aad[head+i] ^= mask[1+i]
		nonce[len(nonce)-size+i] ^= aad[head+i]
	}
	plain, err := k.packet[dir].Open(nil, nonce, packet[head+size:], aad)
	return plain, err == nil
}
