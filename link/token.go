package link

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Token is what a machine enrols with: it names the tenant, proves the right
// to join it, and pins the authority of the centre, so that a machine knows
// its gateway before it has a certificate.
//
// As text it is hbk1.<tenant>.<id>.<secret>.<pin>: id 16 hexadecimal digits,
// secret and pin 43 characters of base64url each. The prefix lets scanners of
// leaked secrets find it.
type Token struct {
	Tenant string
	ID     string   // 16 hexadecimal digits, public
	Secret [32]byte // known to the holder; the centre keeps its SHA-256
	Pin    [32]byte // SHA-256 of the SubjectPublicKeyInfo of the authority
}

const tokenPrefix = "hbk1"

// NewToken draws id and secret at random.
func NewToken(tenant string, authority *x509.Certificate) Token {
	t := Token{Tenant: tenant, Pin: SPKIHash(authority)}
	var id [8]byte
	rand.Read(id[:]) // never fails (crypto/rand, Go 1.24)
	rand.Read(t.Secret[:])
	t.ID = hex.EncodeToString(id[:])
	return t
}

// String returns the token as text, secret included: never log it.
func (t Token) String() string {
	b64 := base64.RawURLEncoding
	return strings.Join([]string{tokenPrefix, t.Tenant, t.ID, b64.EncodeToString(t.Secret[:]), b64.EncodeToString(t.Pin[:])}, ".")
}

// SecretHash returns the SHA-256 of the secret, what the centre stores.
func (t Token) SecretHash() [32]byte { return sha256.Sum256(t.Secret[:]) }

// ParseToken reads what String writes. Its errors never quote the token.
func ParseToken(text string) (Token, error) {
	parts := strings.Split(strings.TrimSpace(text), ".")
	if parts[0] != tokenPrefix {
		return Token{}, errors.New("parse token: it does not begin with hbk1")
	}
	if len(parts) != 5 {
		return Token{}, fmt.Errorf("parse token: it has %d parts joined by dots, want 5 (was it cut?)", len(parts))
	}
	t := Token{Tenant: parts[1], ID: parts[2]}
	if err := CheckTenant(t.Tenant); err != nil {
		return Token{}, fmt.Errorf("parse token: %w", err)
	}
	if id, err := hex.DecodeString(t.ID); err != nil || len(id) != 8 || strings.ToLower(t.ID) != t.ID {
		return Token{}, errors.New("parse token: its id is not 16 lower-case hexadecimal digits")
	}
	b64 := base64.RawURLEncoding.Strict()
	for i, dst := range []*[32]byte{&t.Secret, &t.Pin} {
		raw, err := b64.DecodeString(parts[3+i])
		if err != nil || len(raw) != len(dst) {
			return Token{}, fmt.Errorf("parse token: part %d is not 43 characters of base64url (was it cut?)", 4+i)
		}
		copy(dst[:], raw)
	}
	return t, nil
}

// SPKIHash returns the SHA-256 of the certificate's SubjectPublicKeyInfo
// (RFC 7469, section 2.4): it survives a renewal with the same key.
func SPKIHash(c *x509.Certificate) [32]byte { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// maxTenant is the length of a DNS label, so that a tenant can be one.
const maxTenant = 63

// CheckTenant reports whether a tenant's name is 1 to 63 of a-z, 0-9 and '-',
// beginning with a letter or digit: it stands in tokens, URIs and topics.
func CheckTenant(name string) error {
	ok := len(name) >= 1 && len(name) <= maxTenant && name[0] != '-'
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-'
	}
	if !ok {
		return fmt.Errorf("tenant %.80q: want 1 to %d of a-z, 0-9 and '-', not beginning with '-'", name, maxTenant)
	}
	return nil
}
