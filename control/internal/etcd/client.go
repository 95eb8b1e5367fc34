package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/namespace"

	"github.com/hauberk/hauberk/internal/conf"
)

// ClientConfig says which etcd to use and how. It is restart-only.
type ClientConfig struct {
	// Endpoints are "unix:/path" of the embedded etcd, or the https:// URLs
	// of an external cluster (http:// is taken too, for a test).
	Endpoints []string `yaml:"endpoints"`
	// Prefix is put before every key, so that a cluster can be shared.
	Prefix   string      `yaml:"prefix"`
	User     string      `yaml:"user"`
	Password conf.Secret `yaml:"password"`
	CAFile   string      `yaml:"ca_file"`   // PEM; empty: the system's roots
	CertFile string      `yaml:"cert_file"` // PEM; empty: no client certificate
	KeyFile  string      `yaml:"key_file"`
}

// DefaultClientConfig has no endpoints: cmd fills in the socket of the data
// folder.
func DefaultClientConfig() ClientConfig { return ClientConfig{Prefix: "/hauberk/v1/"} }

const unixPrefix = "unix:"

// Check notes all problems under the key "etcd".
func (c *ClientConfig) Check(p *conf.Problems) {
	if len(c.Endpoints) == 0 {
		p.Addf("etcd.endpoints: must not be empty")
	}
	for _, e := range c.Endpoints {
		path, isUnix := strings.CutPrefix(e, unixPrefix)
		switch {
		case isUnix && !strings.HasPrefix(path, "/"):
			p.Addf("etcd.endpoints: %q: want unix: and an absolute path", e)
		case isUnix && len(c.Endpoints) > 1:
			p.Addf("etcd.endpoints: %q: a socket stands alone", e)
		case !isUnix && !strings.HasPrefix(e, "https://") && !strings.HasPrefix(e, "http://"):
			p.Addf("etcd.endpoints: %q: want unix:/path or https://host:port", e)
		}
	}
	if !strings.HasPrefix(c.Prefix, "/") || !strings.HasSuffix(c.Prefix, "/") {
		p.Addf("etcd.prefix: %q: must begin and end with a slash", c.Prefix)
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		p.Addf("etcd.cert_file and etcd.key_file: one needs the other")
	}
	if (c.User == "") != (c.Password == "") {
		p.Addf("etcd.user and etcd.password: one needs the other")
	}
}

func (c *ClientConfig) tls() (*tls.Config, error) {
	if !strings.HasPrefix(c.Endpoints[0], "https://") {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read etcd.ca_file: %w", err)
		}
		if t.RootCAs = x509.NewCertPool(); !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("etcd.ca_file %s holds no certificate", c.CAFile)
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read etcd.cert_file: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

const (
	dialTimeout      = 5 * time.Second
	keepaliveTime    = 10 * time.Second
	keepaliveTimeout = 10 * time.Second
	pollPause        = 50 * time.Millisecond
)

// Dial connects and waits until etcd answers or the context ends. Keys of
// the client are below the configured prefix. The caller closes it.
func Dial(ctx context.Context, c ClientConfig, log *slog.Logger) (*clientv3.Client, error) {
	var p conf.Problems
	if c.Check(&p); p.Err() != nil {
		return nil, p.Err()
	}
	tlsConfig, err := c.tls()
	if err != nil {
		return nil, err
	}
	endpoints := make([]string, len(c.Endpoints))
	for i, e := range c.Endpoints {
		if endpoints[i] = e; strings.HasPrefix(e, unixPrefix) {
			endpoints[i] = "unix://" + strings.TrimPrefix(e, unixPrefix)
		}
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: endpoints, TLS: tlsConfig, Username: c.User, Password: string(c.Password),
		DialTimeout: dialTimeout, DialKeepAliveTime: keepaliveTime, DialKeepAliveTimeout: keepaliveTimeout,
		Context: context.WithoutCancel(ctx), Logger: zapTo(log),
	})
	if err != nil {
		return nil, fmt.Errorf("connect to etcd %v: %w", c.Endpoints, err)
	}
	client.KV = namespace.NewKV(client.KV, c.Prefix)
	client.Watcher = namespace.NewWatcher(client.Watcher, c.Prefix)
	client.Lease = namespace.NewLease(client.Lease, c.Prefix)
	for {
		attempt, cancel := context.WithTimeout(ctx, dialTimeout)
		_, err := client.Get(attempt, "up")
		cancel()
		if err == nil {
			return client, nil
		}
		select {
		case <-ctx.Done():
			client.Close()
			return nil, fmt.Errorf("connect to etcd %v: %w", c.Endpoints, errors.Join(ctx.Err(), err))
		case <-time.After(pollPause):
		}
	}
}
