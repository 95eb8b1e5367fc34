package bus_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/twmb/franz-go/pkg/kfake"
)

// certificate makes a self-signed certificate for 127.0.0.1 and its PEM file.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}

// TestExternalBrokers speaks TLS and SASL to three brokers on TCP.
func TestExternalBrokers(t *testing.T) {
	pair, ca := certificate(t)
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(3), kfake.EnableSASL(), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}}),
		kfake.Superuser("SCRAM-SHA-512", "hauberk", "secret"), kfake.Superuser("PLAIN", "hauberk", "secret"),
	)
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	config := bus.DefaultConfig()
	config.Brokers = cluster.ListenAddrs()
	config.TLS = bus.TLS{Enabled: true, CAFile: ca}
	for _, mechanism := range []string{"scram-sha-512", "plain"} {
		config.SASL = bus.SASL{Mechanism: mechanism, User: "hauberk", Password: "wrong"}
		refused(t, config)
		config.SASL.Password = "secret"
		loop(t, ctx, config)
	}
	config.TLS.CAFile = ""
	refused(t, config) // its certificate is nobody's
}

// refused opens in vain: these brokers hang up without a reason.
func refused(t *testing.T, config bus.Config) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := bus.Open(ctx, config, nil, nil); !errors.Is(err, bus.ErrUnavailable) {
		t.Fatalf("error %v, want ErrUnavailable", err)
	}
}

// loop creates the topics, publishes to every partition and consumes.
func loop(t *testing.T, ctx context.Context, config bus.Config) {
	t.Helper()
	client, err := bus.Open(ctx, config, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for range 2 { // the second time they exist
		if err := client.CreateTopics(ctx); err != nil {
			t.Fatal(err)
		}
	}
	const n = 100
	for i := range n {
		if err := client.Publish(ctx, bus.Message{Topic: bus.Alerts, Key: []byte{byte(i)}, Value: []byte("v")}); err != nil {
			t.Fatal(err)
		}
	}
	consumeCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	got := 0
	err = client.Consume(consumeCtx, bus.Group{Name: config.SASL.Mechanism, Topics: []string{bus.Alerts}, Mode: bus.AtLeastOnce}, func(_ context.Context, batch []bus.Message) error {
		if got += len(batch); got >= n {
			cancel()
		}
		return nil
	})
	if err != nil || got < n {
		t.Fatalf("consumed %d of %d: %v", got, n, err)
	}
	if fill, err := client.Fill(ctx); err != nil || fill != 0 {
		t.Fatalf("fill %v, %v: unlimited retention never fills", fill, err)
	}
	if err := client.Forget(ctx, config.SASL.Mechanism); err != nil {
		t.Fatal(err)
	}
	if err := client.Forget(ctx, config.SASL.Mechanism); err != nil {
		t.Fatalf("forget twice: %v", err)
	}
}

func TestAtMostOncePublishing(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	config := bus.DefaultConfig()
	config.Brokers = cluster.ListenAddrs()
	config.AtMostOnce = true
	config.PublishTimeout = time.Second
	client, err := bus.Open(t.Context(), config, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.CreateTopics(t.Context()); err != nil {
		t.Fatal(err)
	}
	message := bus.Message{Topic: bus.Alerts, Key: []byte("k"), Value: []byte("v")}
	if err := client.Publish(t.Context(), message); err != nil {
		t.Fatal(err)
	}
	if err := client.Transform(t.Context(), bus.Group{Name: "g", Topics: []string{bus.Alerts}, Instance: "i"}, nil); err == nil {
		t.Fatal("a transaction without idempotence")
	}
	cluster.Close()
	if err := client.Publish(t.Context(), message); !errors.Is(err, bus.ErrUnavailable) {
		t.Fatalf("error %v", err)
	}
}
