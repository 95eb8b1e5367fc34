package etcd_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/hauberk/hauberk/control/internal/etcd"
	"github.com/hauberk/hauberk/control/internal/etcd/etcdtest"
)

// pair writes a self-made certificate for 127.0.0.1 and its key.
func pair(t *testing.T, dir, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// TestExternalClusterOverTLS dials an etcd on TCP that wants certificates, as
// an external one does.
func TestExternalClusterOverTLS(t *testing.T) {
	dir := t.TempDir()
	serverCert, serverKey := pair(t, dir, "server")
	clientCert, clientKey := pair(t, dir, "client")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close() // etcd takes no listener, only an address
	c := embed.NewConfig()
	c.Dir = filepath.Join(dir, "etcd")
	c.ListenPeerUrls = nil
	c.ListenClientUrls = []url.URL{{Scheme: "https", Host: address}}
	c.AdvertiseClientUrls = c.ListenClientUrls
	c.ClientTLSInfo = transport.TLSInfo{CertFile: serverCert, KeyFile: serverKey, TrustedCAFile: clientCert, ClientCertAuth: true}
	c.UnsafeNoFsync = true
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	e, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	<-e.Server.ReadyNotify()

	good := etcd.DefaultClientConfig()
	good.Endpoints, good.CAFile, good.CertFile, good.KeyFile = []string{"https://" + address}, serverCert, clientCert, clientKey
	client := etcdtest.Dial(t, good)
	if _, err := client.Put(t.Context(), "a", "1"); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*etcd.ClientConfig){
		"another CA":   func(c *etcd.ClientConfig) { c.CAFile = clientCert },
		"missing file": func(c *etcd.ClientConfig) { c.CAFile = filepath.Join(dir, "absent") },
		"no PEM":       func(c *etcd.ClientConfig) { c.CAFile = clientKey },
		"wrong pair":   func(c *etcd.ClientConfig) { c.KeyFile = serverKey },
	} {
		bad := good
		change(&bad)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if other, err := etcd.Dial(ctx, bad, discard); err == nil {
			other.Close()
			t.Errorf("%s: connected", name)
		}
		cancel()
	}
}
