package linktest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/link"
)

// Domain is the trust domain of an Authority's certificates.
const Domain = "test.hauberk"

// Authority issues certificates for tests.
type Authority struct {
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority returns a fresh authority.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a, err := MakeAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// MakeAuthority is NewAuthority for programs that are no tests.
func MakeAuthority() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-365 * 24 * time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Authority{certificate, key}, nil
}

// NewKey returns a fresh ECDSA P-256 key.
func NewKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Pool returns the authority as roots.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate)
	return pool
}

// Issue returns the DER chain, leaf and authority, of a certificate for the
// public key, valid from before to after.
func (a *Authority) Issue(id link.Identity, key crypto.PublicKey, before, after time.Time) ([][]byte, error) {
	usage := x509.ExtKeyUsageClientAuth
	if id.Gateway != "" {
		usage = x509.ExtKeyUsageServerAuth
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, URIs: []*url.URL{id.URI()}, NotBefore: before, NotAfter: after,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}, a.Certificate, key, a.key)
	if err != nil {
		return nil, err
	}
	return [][]byte{der, a.Certificate.Raw}, nil
}

// Server returns the certificate of a gateway.
func (a *Authority) Server(t testing.TB) *tls.Certificate {
	t.Helper()
	key := NewKey(t)
	chain, err := a.Issue(link.Identity{Domain: Domain, Gateway: "gw-test"}, key.Public(), time.Now().Add(-30*24*time.Hour), time.Now().Add(30*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: chain, PrivateKey: key}
}

// Node returns the credentials of a new node, valid around now.
func (a *Authority) Node(t testing.TB, tenant string) *link.Credentials {
	t.Helper()
	return a.NodeAt(t, tenant, time.Now().Add(-time.Hour), time.Now().Add(23*time.Hour))
}

// NodeAt returns the credentials of a new node, valid between the times.
func (a *Authority) NodeAt(t testing.TB, tenant string, before, after time.Time) *link.Credentials {
	t.Helper()
	key := NewKey(t)
	chain, err := a.Issue(link.Identity{Domain: Domain, Tenant: tenant, Node: event.NewNodeID()}, key.Public(), before, after)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := link.NewCredentials(chain, key, [][]byte{a.Certificate.Raw})
	if err != nil {
		t.Fatal(err)
	}
	return creds
}
