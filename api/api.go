// Package api is the face of the centre for people and programs: REST over
// one documented OpenAPI file (openapi.yaml), JSON, RFC 9457 problems, lists
// paged by cursor, one-object-per-line streams for queries and for following,
// and one stream of server-sent events for each tab of the console.
//
// Two listeners serve the same routes. HTTPS knows people by a session and
// programs by a token, and gives each a role. The Unix socket, which only
// root (or the user the server runs as) may open, needs no log-in and acts
// as an administrator under the name of the peer the kernel reports.
//
// Every change is written to the audit log: who, what, when, from where and
// with which outcome; the wrapper of the routes does it, so that no handler
// can forget it. The package declares the interfaces it needs in Deps; cmd
// plugs them.
package api

import (
	"net"
	"time"

	"github.com/hauberk/hauberk/internal/conf"
)

// Config is what an operator sets.
type Config struct {
	// Listen is the HTTPS address, host:port.
	Listen string `yaml:"listen"`
	// Socket is the path of the Unix socket without log-in, empty: none.
	Socket string `yaml:"socket"`
	// SessionLife ends a session that long after its log-in.
	SessionLife time.Duration `yaml:"session_life"`
	// LoginFailures within LoginWindow stop further log-ins of that user and
	// of that address until the window has passed.
	LoginFailures int           `yaml:"login_failures"`
	LoginWindow   time.Duration `yaml:"login_window"`
	// MaxStreams bounds the streams (follow, live, console tabs) open at a time.
	MaxStreams int `yaml:"max_streams"`
	// QueryTime bounds one search, in time and rows.
	QueryTime time.Duration `yaml:"query_time"`
	QueryRows int           `yaml:"query_rows"`
}

// DefaultConfig serves this machine only.
func DefaultConfig() Config {
	return Config{
		Listen:        "127.0.0.1:8443",
		SessionLife:   12 * time.Hour,
		LoginFailures: 10,
		LoginWindow:   5 * time.Minute,
		MaxStreams:    256,
		QueryTime:     time.Minute,
		QueryRows:     100_000,
	}
}

// Validate reports all problems.
func (c *Config) Validate() error {
	var p conf.Problems
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		p.Addf("listen: %q is not host:port", c.Listen)
	}
	if len(c.Socket) > maxSocketPath {
		p.Addf("socket: %d bytes, at most %d (unix(7))", len(c.Socket), maxSocketPath)
	}
	p.DurationBetween("session_life", c.SessionLife, time.Minute, 90*24*time.Hour)
	p.Between("login_failures", int64(c.LoginFailures), 1, 1000)
	p.DurationBetween("login_window", c.LoginWindow, time.Second, 24*time.Hour)
	p.Between("max_streams", int64(c.MaxStreams), 1, 100_000)
	p.DurationBetween("query_time", c.QueryTime, time.Second, time.Hour)
	p.Between("query_rows", int64(c.QueryRows), 1, 10_000_000)
	return p.Err()
}

// maxSocketPath is sun_path of unix(7) without its NUL, in bytes.
const maxSocketPath = 107
