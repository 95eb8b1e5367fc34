package bus

import (
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	valid := func(change func(*Config)) Config {
		c := DefaultConfig()
		c.Brokers = []string{"unix:/run/bus.sock"}
		change(&c)
		return c
	}
	external := func(c *Config) { c.Brokers = []string{"kafka-1:9092", "[::1]:9093"} }
	for name, test := range map[string]struct {
		change func(*Config)
		want   []string // parts of the error; none: valid
	}{
		"default":        {func(*Config) {}, nil},
		"external":       {external, nil},
		"scram":          {func(c *Config) { external(c); c.SASL = SASL{"scram-sha-512", "u", "p"} }, nil},
		"none":           {func(c *Config) { c.Brokers = nil }, []string{"brokers: must not be empty"}},
		"two sockets":    {func(c *Config) { c.Brokers = append(c.Brokers, "unix:/b") }, []string{"must stand alone"}},
		"relative":       {func(c *Config) { c.Brokers = []string{"unix:b"} }, []string{"not an absolute path"}},
		"no port":        {func(c *Config) { c.Brokers = []string{"kafka"} }, []string{"neither unix:/path nor host:port"}},
		"tls on socket":  {func(c *Config) { c.TLS.Enabled = true }, []string{"needs neither tls nor sasl"}},
		"plain in clear": {func(c *Config) { external(c); c.SASL = SASL{"plain", "u", "p"} }, []string{"enable tls"}},
		"no password":    {func(c *Config) { external(c); c.SASL = SASL{Mechanism: "scram-sha-256"} }, []string{"sasl.user", "sasl.password"}},
		"mechanism":      {func(c *Config) { external(c); c.SASL.Mechanism = "gssapi" }, []string{`"gssapi" is none of`}},
		"half a pair":    {func(c *Config) { external(c); c.TLS = TLS{Enabled: true, CertFile: "c"} }, []string{"go together"}},
		"all at once": {func(c *Config) {
			c.Linger, c.PublishTimeout, c.BufferBytes, c.SessionTimeout, c.ClientID = time.Second, 0, 1, time.Second, ""
		}, []string{"linger", "publish_timeout", "buffer_bytes", "session_timeout", "client_id"}},
	} {
		c := valid(test.change)
		err := c.Validate()
		if (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, part := range test.want {
			if err != nil && !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q lacks %q", name, err, part)
			}
		}
	}
}

func TestSharesAreAWhole(t *testing.T) {
	sum := int64(0)
	for _, topic := range Topics() {
		sum += topic.Share
	}
	if sum != 100 {
		t.Errorf("topic shares sum to %d percent", sum)
	}
}
