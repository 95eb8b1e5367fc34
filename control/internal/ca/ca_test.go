package ca_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/control/internal/ca"
	"github.com/hauberk/hauberk/control/internal/etcd/etcdtest"
	"github.com/hauberk/hauberk/control/internal/vault"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/link"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

func open(t *testing.T, v *vault.Vault, domain string, now func() time.Time) *ca.Authority {
	t.Helper()
	a, err := ca.Open(t.Context(), v, domain, now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newVault(t *testing.T) *vault.Vault {
	t.Helper()
	v, err := vault.Open(t.Context(), etcdtest.Client(t), filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAuthorityIsMadeOnce(t *testing.T) {
	v := newVault(t)
	a := open(t, v, "example.net", time.Now)
	if a.Domain != "example.net" || !a.Certificate.IsCA || a.Certificate.URIs[0].String() != "spiffe://example.net" {
		t.Errorf("authority %v of %q", a.Certificate.URIs, a.Domain)
	}
	again := open(t, v, "", time.Now)
	if !bytes.Equal(again.Certificate.Raw, a.Certificate.Raw) {
		t.Error("a second start made another authority")
	}
	if _, err := ca.Open(t.Context(), v, "other.net", time.Now); err == nil || !strings.Contains(err.Error(), "was made for") {
		t.Errorf("another domain: %v", err)
	}
	if a := open(t, newVault(t), "", time.Now); a.Domain != ca.DefaultDomain {
		t.Errorf("domain by default: %q", a.Domain)
	}
	one, err := ca.CommandKey(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	if two, err := ca.CommandKey(t.Context(), v); err != nil || !two.Equal(one) || !ca.Public(two).Equal(ca.Public(one)) {
		t.Errorf("command key changed: %v", err)
	}
}

func TestNodeCertificate(t *testing.T) {
	now := time.Now()
	a := open(t, newVault(t), "", func() time.Time { return now })
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := link.Identity{Tenant: "acme", Node: event.NewNodeID()}
	chain, err := a.Node(id, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	creds, err := link.NewCredentials(chain, key, a.Roots())
	if err != nil {
		t.Fatal(err)
	}
	id.Domain = a.Domain
	if creds.Identity != id {
		t.Errorf("issued to %s, want %s", creds.Identity, id)
	}
	if life := creds.Leaf.NotAfter.Sub(now).Round(time.Minute); life != ca.NodeLife {
		t.Errorf("good for %s", life)
	}
	verify := func(usage x509.ExtKeyUsage, at time.Time) error {
		_, err := creds.Leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage}})
		return err
	}
	if err := verify(x509.ExtKeyUsageClientAuth, now); err != nil {
		t.Error(err)
	}
	if verify(x509.ExtKeyUsageServerAuth, now) == nil {
		t.Error("a node's certificate serves")
	}
	if verify(x509.ExtKeyUsageClientAuth, now.Add(ca.NodeLife+time.Minute)) == nil {
		t.Error("a certificate outlives its life")
	}
}

func TestHeldCertificatesAreRenewed(t *testing.T) {
	now := time.Now()
	a := open(t, newVault(t), "", func() time.Time { return now })
	held := a.Server([]string{"localhost", "127.0.0.1", "::1"})
	get := func() *tls.Certificate {
		t.Helper()
		c, err := held.Certificate()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := get()
	leaf, err := x509.ParseCertificate(first.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if get() != first {
		t.Error("issued anew at once")
	}
	now = now.Add(46 * 24 * time.Hour) // past half its life
	second := get()
	if second == first {
		t.Error("not renewed")
	}
	now = now.Add(-100 * 24 * time.Hour) // a clock that went back
	if get() == second {
		t.Error("a certificate from the future is shown")
	}
}

func TestCheckRequest(t *testing.T) {
	good, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := link.NewCSR(good)
	if err != nil {
		t.Fatal(err)
	}
	if key, spki, err := ca.CheckRequest(csr); err != nil || !good.PublicKey.Equal(key) || len(spki) == 0 {
		t.Errorf("good request: %v", err)
	}
	_, modern, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if csr, err = link.NewCSR(modern); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ca.CheckRequest(csr); err != nil {
		t.Errorf("Ed25519: %v", err)
	}
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	wide, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	altered := bytes.Clone(csr)
	altered[len(altered)-1] ^= 1
	bad := map[string][]byte{"nothing": nil, "noise": []byte("noise"), "altered": altered}
	if bad["RSA"], err = link.NewCSR(old); err != nil {
		t.Fatal(err)
	}
	if bad["P-384"], err = link.NewCSR(wide); err != nil {
		t.Fatal(err)
	}
	for name, csr := range bad {
		if _, _, err := ca.CheckRequest(csr); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzCheckRequest(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	csr, err := link.NewCSR(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(csr)
	f.Add([]byte{0x30, 0x03, 0x02, 0x01, 0x00})
	f.Fuzz(func(t *testing.T, der []byte) {
		if key, spki, err := ca.CheckRequest(der); err == nil && (key == nil || len(spki) == 0) {
			t.Error("taken without a key")
		}
	})
}
