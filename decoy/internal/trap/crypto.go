package trap

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	xssh "golang.org/x/crypto/ssh"
)

// secrets are the keys of the services, made at each start.
type secrets struct {
	host xssh.Signer
	tls  tls.Certificate
}

func newSecrets() (*secrets, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make host key: %w", err)
	}
	host, err := xssh.NewSignerFromKey(key)
	if err != nil {
		return nil, fmt.Errorf("make host key: %w", err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: now.AddDate(0, -3, 0), NotAfter: now.AddDate(2, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, ec.Public(), ec)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	return &secrets{host: host, tls: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: ec}}, nil
}

// salt is 20 printable bytes.
func (s *secrets) salt() []byte { return []byte(rand.Text()[:20]) }

// errSecret refuses every secret.
var errSecret = errors.New("permission denied")

// ssh exchanges keys and refuses all who log in.
func ssh(t *Trap, w *watched, s *Session) error {
	c := &xssh.ServerConfig{
		ServerVersion: "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3", MaxAuthTries: 6,
		PasswordCallback: func(m xssh.ConnMetadata, secret []byte) (*xssh.Permissions, error) {
			s.try(m.User(), string(secret), "password")
			return nil, errSecret
		},
		PublicKeyCallback: func(m xssh.ConnMetadata, key xssh.PublicKey) (*xssh.Permissions, error) {
			s.try(m.User(), xssh.FingerprintSHA256(key), "publickey")
			return nil, errSecret
		},
	}
	c.AddHostKey(t.secrets.host)
	_, _, _, err := xssh.NewServerConn(w, c)
	s.Client, s.HASSH = hassh(w.seen())
	if errors.As(err, new(*xssh.ServerAuthError)) {
		err = nil // As it should be.
	}
	return err
}

// hassh finds what an SSH client calls itself, and the MD5 of the algorithms it offers, in the bytes it sent: the line of
// its version and the KEXINIT after it (RFC 4253 section 7.1; HASSH by Salesforce, 2018).
func hassh(b []byte) (client, hash string) {
	text, rest, ok := strings.Cut(string(b), "\n")
	client = clip(strings.TrimRight(text, "\r"))
	if !ok || len(rest) < 6+16 || rest[5] != 20 {
		return client, ""
	}
	rest = rest[6+16:]
	var lists [8]string
	for i := range lists {
		if len(rest) < 4 {
			return client, ""
		}
		n := binary.BigEndian.Uint32([]byte(rest))
		if uint64(n) > uint64(len(rest)-4) {
			return client, ""
		}
		lists[i], rest = rest[4:4+n], rest[4+n:]
	}
	sum := md5.Sum([]byte(strings.Join([]string{lists[0], lists[2], lists[4], lists[6]}, ";")))
	return client, hex.EncodeToString(sum[:])
}

// secure makes a TLS handshake and serves within as if there were none.
func secure(t *Trap, w *watched, s *Session) error {
	inner, err := t.handshake(w, s)
	if err != nil {
		return err
	}
	first := inner.peek(wait, s.Time.Add(t.limits.Time))
	defer func() { w.show(inner.seen(), inner.in) }() // The words, not the cipher.
	if isHTTP(first) {
		s.Service = "https"
		return web(t, inner, s)
	}
	return generic(t, inner, s)
}

// handshake makes a TLS handshake, and a connection of it that is bounded as the outer is.
func (t *Trap) handshake(w *watched, s *Session) (*watched, error) {
	c := tls.Server(w, &tls.Config{
		MinVersion: tls.VersionTLS10, SessionTicketsDisabled: true,
		GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			s.ServerName = clip(h.ServerName)
			return &t.secrets.tls, nil
		},
	})
	err := c.Handshake()
	hello := w.seen()
	if s.Service == "rdp" && len(hello) >= 4 { // The connection request came before.
		hello = hello[min(int(binary.BigEndian.Uint16(hello[2:])), len(hello)):]
	}
	s.JA3 = ja3(hello)
	return &watched{Conn: c, left: t.limits.Bytes, keep: w.keep, sum: sha256.New()}, err
}

// ja3 is the MD5 of what a client's hello offers: version, ciphers, extensions, groups, point formats, without the values
// that RFC 8701 reserves to keep servers tolerant (JA3 by Salesforce, 2017). Empty when the hello is not whole.
func ja3(b []byte) string {
	r := reader{b: b}
	if r.u8() != 22 {
		return ""
	}
	r.take(2)
	r = reader{b: r.vector(2)}
	if r.u8() != 1 {
		return ""
	}
	r = reader{b: r.vector(3)}
	version := r.u16()
	r.take(32)
	r.vector(1)
	ciphers := reader{b: r.vector(2)}
	r.vector(1)
	extensions := reader{b: r.vector(2)}
	if r.short {
		return ""
	}
	var kinds, groups, points []string
	for len(extensions.b) > 0 {
		kind, body := extensions.u16(), reader{b: extensions.vector(2)}
		if extensions.short {
			return ""
		}
		kinds = add(kinds, kind)
		switch kind {
		case 10:
			groups = body.list(2)
		case 11:
			points = body.list(1)
		}
	}
	var suites []string
	for len(ciphers.b) >= 2 {
		suites = add(suites, ciphers.u16())
	}
	text := strconv.Itoa(int(version))
	for _, l := range [][]string{suites, kinds, groups, points} {
		text += "," + strings.Join(l, "-")
	}
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// add appends a number to a list, unless it is reserved.
func add(list []string, v uint16) []string {
	if v&0x0f0f == 0x0a0a && v>>8 == v&0xff {
		return list
	}
	return append(list, strconv.Itoa(int(v)))
}

// reader takes numbers and vectors of TLS from bytes; short says that there were not enough.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.short, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) number(size int) (n int) {
	for _, c := range r.take(size) {
		n = n<<8 | int(c)
	}
	return n
}

func (r *reader) u8() uint8              { return uint8(r.number(1)) }
func (r *reader) u16() uint16            { return uint16(r.number(2)) }
func (r *reader) vector(size int) []byte { return r.take(r.number(size)) }

// list reads the numbers of a vector: groups of two bytes after a length of two, point formats of one after one.
func (r *reader) list(size int) (out []string) {
	v := reader{b: r.vector(size)}
	for len(v.b) >= size {
		n := v.number(size)
		if size == 2 {
			out = add(out, uint16(n))
		} else {
			out = append(out, strconv.Itoa(n))
		}
	}
	return out
}
