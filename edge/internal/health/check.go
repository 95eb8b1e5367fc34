// Package health finds out which backends serve: it probes each at its
// interval, spread in time, and calls it up after so many good probes in a row and
// down after so many bad ones.
package health

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/hauberk/hauberk/internal/conf"
)

// Kind is how a backend is probed.
type Kind string

// Kinds of probes.
const (
	None   Kind = "none"   // always up
	TCP    Kind = "tcp"    // a connection is made
	TLS    Kind = "tls"    // and a handshake
	HTTP   Kind = "http"   // a request is answered as expected
	HTTPS  Kind = "https"  // the same over TLS
	UDP    Kind = "udp"    // a datagram is answered, or at least not refused
	DNS    Kind = "dns"    // a question is answered without an error
	GRPC   Kind = "grpc"   // grpc.health.v1 says SERVING
	Script Kind = "script" // a program exits with 0
)

// A Check is how the backends of a VIP are probed.
type Check struct {
	Type     Kind          `yaml:"type"`
	Interval time.Duration `yaml:"interval"`
	Timeout  time.Duration `yaml:"timeout"`
	Rise     int           `yaml:"rise"` // good probes in a row that bring a backend up
	Fall     int           `yaml:"fall"` // bad ones that bring it down
	Port     uint16        `yaml:"port"` // 0: the backend's

	// For http and https.
	Method string `yaml:"method"` // GET
	Path   string `yaml:"path"`   // /
	Host   string `yaml:"host"`   // of the request and of TLS; empty: the address
	Status string `yaml:"status"` // a code or a range: 200-399
	Body   string `yaml:"body"`   // a regular expression its first 64 KiB match
	// Verify checks certificates against Host and the machine's authorities,
	// for https, tls and grpc.
	Verify bool `yaml:"verify"`
	TLS    bool `yaml:"tls"` // for grpc

	// For udp, and for tcp and tls if given: what is sent, and a regular
	// expression the answer matches.
	Send   string `yaml:"send"`
	Expect string `yaml:"expect"`

	Name    string   `yaml:"name"`    // of the question, for dns
	Record  string   `yaml:"record"`  // its type: A, AAAA, NS, SOA, TXT, MX
	Service string   `yaml:"service"` // for grpc; empty: the whole server
	Command []string `yaml:"command"` // for script: program and arguments; %a is the address, %p the port
}

// Fill puts defaults where nothing is said; over UDP the default is udp.
func (c *Check) Fill(udp bool) {
	if c.Type == "" {
		c.Type = TCP
		if udp {
			c.Type = UDP
		}
	}
	or(&c.Interval, 5*time.Second)
	or(&c.Timeout, min(2*time.Second, c.Interval))
	or(&c.Rise, 2)
	or(&c.Fall, 3)
	or(&c.Method, "GET")
	or(&c.Path, "/")
	or(&c.Status, "200-399")
	or(&c.Name, ".")
	or(&c.Record, "NS")
}

func or[T comparable](at *T, value T) {
	var zero T
	if *at == zero {
		*at = value
	}
}

// Bounds of a check.
const (
	MinInterval = 20 * time.Millisecond
	MaxInterval = time.Hour
	maxInARow   = 100
	maxSend     = 1024
)

// Validate adds the problems of a filled check, each after a prefix.
func (c *Check) Validate(at string, p *conf.Problems) {
	switch c.Type {
	case None, TCP, TLS, HTTP, HTTPS, UDP, DNS, GRPC, Script:
	default:
		p.Addf("%s: type %q is none of none, tcp, tls, http, https, udp, dns, grpc, script", at, c.Type)
	}
	p.DurationBetween(at+": interval", c.Interval, MinInterval, MaxInterval)
	p.DurationBetween(at+": timeout", c.Timeout, time.Millisecond, c.Interval)
	p.Between(at+": rise", int64(c.Rise), 1, maxInARow)
	p.Between(at+": fall", int64(c.Fall), 1, maxInARow)
	if _, _, err := c.statuses(); err != nil {
		p.Addf("%s: status: %v", at, err)
	}
	for _, x := range []struct{ key, text string }{{"body", c.Body}, {"expect", c.Expect}} {
		if _, err := regexp.Compile(x.text); err != nil {
			p.Addf("%s: %s: %v", at, x.key, err)
		}
	}
	if len(c.Send) > maxSend {
		p.Addf("%s: send: over %d bytes", at, maxSend)
	}
	if c.Type == DNS {
		if _, err := question(c.Name, c.Record, 0); err != nil {
			p.Addf("%s: %v", at, err)
		}
	}
	if c.Type == Script && len(c.Command) == 0 {
		p.Addf("%s: command: must not be empty", at)
	}
}

var errStatus = errors.New("want a code from 100 to 599, or two with a dash between them")

// statuses is the range of HTTP codes that are good.
func (c *Check) statuses() (low, high int, err error) {
	n, _ := fmt.Sscanf(c.Status, "%d-%d", &low, &high)
	if n == 1 {
		high = low
	}
	if n == 0 || low < 100 || high > 599 || low > high {
		return 0, 0, fmt.Errorf("%q: %w", c.Status, errStatus)
	}
	return low, high, nil
}
