// Package ca is the built-in certificate authority: one ECDSA P-256 key,
// sealed in etcd, that names nodes, gateways and the console's server by
// short-lived certificates. Identities are SPIFFE ids (package link).
package ca

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/hauberk/hauberk/control/internal/keyspace"
	"github.com/hauberk/hauberk/control/internal/vault"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/link"
)

const (
	// NodeLife is how long a node's certificate is good for. A node renews
	// between a half and three quarters of it.
	NodeLife = 24 * time.Hour
	// backdate lets a peer's clock be behind by that much.
	backdate = time.Hour
	// authorityLife is how long the authority is good for.
	authorityLife = 10 * 365 * 24 * time.Hour
	// DefaultDomain is the trust domain of a new authority, below the
	// top-level name reserved for private use.
	DefaultDomain = "hauberk.internal"
)

// Authority issues certificates. Safe for concurrent use.
type Authority struct {
	Certificate *x509.Certificate
	Domain      string // trust domain
	key         crypto.Signer
	now         func() time.Time
	pool        *x509.CertPool
}

// Open returns the authority in etcd, making it at the first start. domain
// must be the one it was made with, or empty.
func Open(ctx context.Context, v *vault.Vault, domain string, now func() time.Time) (*Authority, error) {
	der, secret, err := v.Get(ctx, keyspace.Authority, func() ([]byte, []byte, error) {
		if domain == "" {
			return create(DefaultDomain, now())
		}
		return create(domain, now())
	})
	if err != nil {
		return nil, err
	}
	a := &Authority{now: now, pool: x509.NewCertPool()}
	if a.Certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("read authority: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(secret)
	if err != nil {
		return nil, fmt.Errorf("read key of authority: %w", err)
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok || !signer.PublicKey.Equal(a.Certificate.PublicKey) {
		return nil, errors.New("read authority: its key does not fit its certificate")
	}
	a.key = signer
	if len(a.Certificate.URIs) != 1 {
		return nil, errors.New("read authority: it names no trust domain")
	}
	a.Domain = a.Certificate.URIs[0].Host
	if domain != "" && domain != a.Domain {
		return nil, fmt.Errorf("domain is %q in the config, but the authority was made for %q", domain, a.Domain)
	}
	a.pool.AddCert(a.Certificate)
	return a, nil
}

func create(domain string, now time.Time) (der, secret []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if secret, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Hauberk authority of " + domain},
		URIs:      []*url.URL{{Scheme: "spiffe", Host: domain}},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return der, secret, err
}

// serial returns 127 random bits (CA/Browser Forum 7.1 asks for 64).
func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:])
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b[:])
}

// Pool returns the authority as roots.
func (a *Authority) Pool() *x509.CertPool { return a.pool }

// Roots returns the authority as nodes get it, DER.
func (a *Authority) Roots() [][]byte { return [][]byte{a.Certificate.Raw} }

// Node issues a node's certificate: the DER chain, the authority last.
func (a *Authority) Node(id link.Identity, key crypto.PublicKey) ([][]byte, error) {
	id.Domain = a.Domain
	return a.issue(&x509.Certificate{
		URIs: []*url.URL{id.URI()}, NotAfter: a.now().Add(NodeLife),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, key)
}

func (a *Authority) issue(template *x509.Certificate, key crypto.PublicKey) ([][]byte, error) {
	template.SerialNumber = serial()
	template.NotBefore = a.now().Add(-backdate)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, a.Certificate, key, a.key)
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	return [][]byte{der, a.Certificate.Raw}, nil
}

// CheckRequest verifies a PKCS #10 request and returns its public key and
// the key's SubjectPublicKeyInfo. Names in it are ignored.
func CheckRequest(der []byte) (crypto.PublicKey, []byte, error) {
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate signing request: %w", err)
	}
	if err := r.CheckSignature(); err != nil {
		return nil, nil, fmt.Errorf("certificate signing request: %w", err)
	}
	switch k := r.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return k, r.RawSubjectPublicKeyInfo, nil
		}
	case ed25519.PublicKey:
		return k, r.RawSubjectPublicKeyInfo, nil
	}
	return nil, nil, errors.New("certificate signing request: its key is neither ECDSA P-256 nor Ed25519")
}

// Held is a certificate with a key of its own that is issued anew, with a
// new key, after half its life. Safe for concurrent use.
type Held struct {
	a        *Authority
	template x509.Certificate
	life     time.Duration

	mu   sync.Mutex
	held *tls.Certificate
	from time.Time // issued at
}

const (
	gatewayLife = 24 * time.Hour
	// serverLife is longer, because people and scripts pin it.
	serverLife = 90 * 24 * time.Hour
)

// Gateway holds the certificate of a gateway.
func (a *Authority) Gateway(id string) *Held {
	name := link.Identity{Domain: a.Domain, Gateway: id}
	return &Held{a: a, life: gatewayLife, template: x509.Certificate{
		URIs: []*url.URL{name.URI()}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}}
}

// Server holds the certificate of an HTTPS server for those host names and
// addresses.
func (a *Authority) Server(names []string) *Held {
	h := &Held{a: a, life: serverLife, template: x509.Certificate{
		Subject: pkix.Name{CommonName: "Hauberk"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			h.template.IPAddresses = append(h.template.IPAddresses, ip)
		} else {
			h.template.DNSNames = append(h.template.DNSNames, name)
		}
	}
	return h
}

// Certificate returns the certificate to show now. It has the form of a
// tls.Config's callback without its argument. A clock that went back beyond
// the certificate's start makes a new one too.
func (h *Held) Certificate() (*tls.Certificate, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.a.now()
	if h.held != nil && now.Before(h.from.Add(h.life/2)) && now.After(h.from.Add(-backdate)) {
		return h.held, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make server key: %w", err)
	}
	template := h.template
	template.NotAfter = now.Add(h.life)
	chain, err := h.a.issue(&template, key.Public())
	if err != nil {
		return nil, err
	}
	h.held, h.from = &tls.Certificate{Certificate: chain, PrivateKey: key}, now
	return h.held, nil
}

// CommandKey returns the key that signs commands and modes, made at the first
// start.
func CommandKey(ctx context.Context, v *vault.Vault) (ed25519.PrivateKey, error) {
	public, seed, err := v.Get(ctx, keyspace.CommandKey, func() ([]byte, []byte, error) {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			return nil, nil, err
		}
		return public, private.Seed(), nil
	})
	if err != nil {
		return nil, err
	}
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("command key has %d bytes, want %d", len(seed), ed25519.SeedSize)
	}
	key := ed25519.NewKeyFromSeed(seed)
	if _, err := fleet.ParseKeys([][]byte{public}); err != nil || !key.Public().(ed25519.PublicKey).Equal(ed25519.PublicKey(public)) {
		return nil, errors.New("command key does not fit its public half")
	}
	return key, nil
}

// Public returns the public half of a command key, as nodes pin it.
func Public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }
