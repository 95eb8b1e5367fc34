package out

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hauberk/hauberk/event"
)

// Syslog is a Sink that writes RFC 5424 messages whose text is the alert's
// JSON. Over tcp and tls they are framed by octet counting (RFC 6587 3.4.1,
// RFC 5425 4.3); over udp, and unix datagram sockets, each is a datagram, cut
// to maxDatagram.
type Syslog struct {
	network, address string
	tls              *tls.Config
	hostname         string
	facility         int
	conn             net.Conn
	buf              []byte
}

const (
	syslogTimeout = 5 * time.Second
	// maxDatagram is what fits in one UDP datagram over IPv4.
	maxDatagram = 65507
	// bom begins a message that is UTF-8 (RFC 5424 6.4).
	bom = "\xef\xbb\xbf"
)

// ParseSyslogAddress takes apart "unix:/dev/log", "udp://host:514",
// "tcp://host:601" and "tls://host:6514".
func ParseSyslogAddress(address string) (network, target string, err error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok && strings.HasPrefix(path, "/") {
		return "unix", path, nil
	}
	network, target, ok := strings.Cut(address, "://")
	if ok && (network == "udp" || network == "tcp" || network == "tls") {
		if _, _, err := net.SplitHostPort(target); err == nil {
			return network, target, nil
		}
	}
	return "", "", fmt.Errorf("syslog address %q: want unix:/path, udp://host:port, tcp://host:port or tls://host:port", address)
}

// NewSyslog sends to address; facility is 0 to 23. It connects at the first
// alert. caFile replaces the system's roots for tls.
func NewSyslog(address string, facility int, hostname, caFile string) (*Syslog, error) {
	network, target, err := ParseSyslogAddress(address)
	if err != nil {
		return nil, err
	}
	s := &Syslog{network: network, address: target, hostname: header(hostname, 255), facility: facility}
	if network == "tls" {
		host, _, err := net.SplitHostPort(target)
		if err != nil {
			return nil, err
		}
		s.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
		if caFile != "" {
			pem, err := os.ReadFile(caFile)
			if err != nil {
				return nil, fmt.Errorf("read syslog roots: %w", err)
			}
			s.tls.RootCAs = x509.NewCertPool()
			if !s.tls.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("read syslog roots: %s has no certificate", caFile)
			}
		}
	}
	return s, nil
}

// Send writes one message; after an error the next attempt connects anew.
func (s *Syslog) Send(ctx context.Context, a *Alert) error {
	if s.conn == nil {
		if err := s.dial(ctx); err != nil {
			return fmt.Errorf("connect to syslog: %w", err)
		}
	}
	s.buf = s.append(s.buf[:0], a)
	err := s.conn.SetWriteDeadline(time.Now().Add(syslogTimeout))
	if err == nil {
		_, err = s.conn.Write(s.frame(s.buf))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write to syslog: %w", err), s.Close())
	}
	return nil
}

func (s *Syslog) dial(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syslogTimeout)
	defer cancel()
	var err error
	switch s.network {
	case "unix":
		var d net.Dialer
		if s.conn, err = d.DialContext(ctx, "unixgram", s.address); err != nil {
			s.conn, err = d.DialContext(ctx, "unix", s.address)
		}
	case "tls":
		d := tls.Dialer{Config: s.tls}
		s.conn, err = d.DialContext(ctx, "tcp", s.address)
	default:
		var d net.Dialer
		s.conn, err = d.DialContext(ctx, s.network, s.address)
	}
	if err != nil {
		s.conn = nil
	}
	return err
}

// frame makes of a message what goes over the connection.
func (s *Syslog) frame(message []byte) []byte {
	switch s.conn.LocalAddr().Network() {
	case "tcp":
		return append(append(strconv.AppendInt(nil, int64(len(message)), 10), ' '), message...)
	case "unix":
		return append(message, '\n')
	}
	return message[:min(len(message), maxDatagram)]
}

// syslogSeverity is RFC 5424's: 2 critical, 3 error, 4 warning, 5 notice, 6
// informational.
var syslogSeverity = [...]int{
	event.Severity_SEVERITY_UNSPECIFIED:   5,
	event.Severity_SEVERITY_INFORMATIONAL: 6,
	event.Severity_SEVERITY_LOW:           5,
	event.Severity_SEVERITY_MEDIUM:        4,
	event.Severity_SEVERITY_HIGH:          3,
	event.Severity_SEVERITY_CRITICAL:      2,
}

// append appends a message of RFC 5424: the alert's id is the message id.
func (s *Syslog) append(dst []byte, a *Alert) []byte {
	severity := syslogSeverity[event.Severity_SEVERITY_UNSPECIFIED]
	if n := int(a.Severity); n >= 0 && n < len(syslogSeverity) {
		severity = syslogSeverity[n]
	}
	dst = append(dst, '<')
	dst = strconv.AppendInt(dst, int64(s.facility*8+severity), 10)
	dst = append(dst, ">1 "...)
	dst = a.Time.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
	dst = append(dst, ' ')
	dst = append(dst, s.hostname...)
	dst = append(dst, " hauberk - "...)
	dst = append(dst, header(a.ID, 32)...)
	dst = append(dst, " - "+bom...)
	return append(dst, a.JSON...)
}

// header makes text fit a header field: printable ASCII without spaces, "-"
// for nothing.
func header(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r > ' ' && r < 127 {
			return r
		}
		return -1
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), limit)]
}

// Close closes the connection.
func (s *Syslog) Close() error {
	if s.conn == nil {
		return nil
	}
	err := s.conn.Close()
	s.conn = nil
	return err
}
