package bus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hauberk/hauberk/internal/conf"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Config says which brokers to use and how. It is restart-only.
type Config struct {
	// Brokers are the addresses to begin with: "unix:/path" (alone) for the
	// embedded broker, else host:port.
	Brokers []string `yaml:"brokers"`
	// ClientID names this client in the broker's logs.
	ClientID string `yaml:"client_id"`
	TLS      TLS    `yaml:"tls"`
	SASL     SASL   `yaml:"sasl"`
	// Linger is how long a message waits for others to share its batch, 0 to
	// 5 ms: an alert crosses the bus twice within 200 ms.
	Linger time.Duration `yaml:"linger"`
	// PublishTimeout bounds how long a message may wait for its
	// acknowledgement, 1 s to 5 min; then it fails with ErrUnavailable.
	PublishTimeout time.Duration `yaml:"publish_timeout"`
	// BufferBytes bounds what waits to be acknowledged, 1 MiB to 1 GiB;
	// publishing blocks when it is full.
	BufferBytes int64 `yaml:"buffer_bytes"`
	// SessionTimeout is how long a silent group member keeps its partitions,
	// 6 s (the embedded broker's minimum) to 5 min.
	SessionTimeout time.Duration `yaml:"session_timeout"`
	// AtMostOnce publishes without idempotence and without retry: a message
	// may be lost, never doubled.
	AtMostOnce bool `yaml:"at_most_once"`
}

// TLS of connections to external brokers.
type TLS struct {
	Enabled    bool   `yaml:"enabled"`
	CAFile     string `yaml:"ca_file"`   // PEM; empty: the system's roots
	CertFile   string `yaml:"cert_file"` // PEM; empty: no client certificate
	KeyFile    string `yaml:"key_file"`
	ServerName string `yaml:"server_name"` // empty: the host dialled
}

// SASL of connections to external brokers.
type SASL struct {
	Mechanism string      `yaml:"mechanism"` // "", plain, scram-sha-256, scram-sha-512
	User      string      `yaml:"user"`
	Password  conf.Secret `yaml:"password"`
}

// DefaultConfig has no brokers: cmd fills in the socket of the data folder.
func DefaultConfig() Config {
	return Config{
		ClientID:       "hauberk",
		Linger:         2 * time.Millisecond,
		PublishTimeout: 30 * time.Second,
		BufferBytes:    32 << 20,
		SessionTimeout: 10 * time.Second,
	}
}

// Validate reports all problems.
func (c *Config) Validate() error {
	var p conf.Problems
	if len(c.Brokers) == 0 {
		p.Addf("brokers: must not be empty")
	}
	for _, address := range c.Brokers {
		if path, ok := strings.CutPrefix(address, unixPrefix); ok {
			if len(c.Brokers) > 1 {
				p.Addf("brokers: %s must stand alone", address)
			}
			if !filepath.IsAbs(path) {
				p.Addf("brokers: %s is not an absolute path", address)
			}
			if c.TLS.Enabled || c.SASL.Mechanism != "" {
				p.Addf("brokers: %s needs neither tls nor sasl", address)
			}
			continue
		}
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
			p.Addf("brokers: %q is neither unix:/path nor host:port", address)
		}
	}
	p.NotEmpty("client_id", c.ClientID)
	p.DurationBetween("linger", c.Linger, 0, 5*time.Millisecond)
	p.DurationBetween("publish_timeout", c.PublishTimeout, time.Second, 5*time.Minute)
	p.Between("buffer_bytes", c.BufferBytes, 1<<20, 1<<30)
	p.DurationBetween("session_timeout", c.SessionTimeout, 6*time.Second, 5*time.Minute)
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		p.Addf("tls: cert_file and key_file go together")
	}
	switch c.SASL.Mechanism {
	case "":
	case "plain", "scram-sha-256", "scram-sha-512":
		p.NotEmpty("sasl.user", c.SASL.User)
		p.NotEmpty("sasl.password", string(c.SASL.Password))
		if c.SASL.Mechanism == "plain" && !c.TLS.Enabled {
			p.Addf("sasl.mechanism: plain sends the password in clear, enable tls")
		}
	default:
		p.Addf("sasl.mechanism: %q is none of plain, scram-sha-256, scram-sha-512", c.SASL.Mechanism)
	}
	return p.Err()
}

const unixPrefix = "unix:"

// socket returns the path of the Unix socket, empty for external brokers.
func (c *Config) socket() string {
	if len(c.Brokers) == 1 {
		if path, ok := strings.CutPrefix(c.Brokers[0], unixPrefix); ok {
			return path
		}
	}
	return ""
}

func (t *TLS) config() (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		data, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read bus CA: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(data) {
			return nil, errors.New("read bus CA " + t.CAFile + ": no certificate in it")
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read bus certificate: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

func (s *SASL) mechanism() sasl.Mechanism {
	switch s.Mechanism {
	case "plain":
		return plain.Auth{User: s.User, Pass: string(s.Password)}.AsMechanism()
	case "scram-sha-256":
		return scram.Auth{User: s.User, Pass: string(s.Password)}.AsSha256Mechanism()
	case "scram-sha-512":
		return scram.Auth{User: s.User, Pass: string(s.Password)}.AsSha512Mechanism()
	}
	return nil
}
