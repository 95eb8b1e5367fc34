package link

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// ALPN is the application protocol both sides name in the TLS handshake.
const ALPN = "hauberk-link/1"

// ServerTLS returns the TLS configuration of a gateway: TLS 1.3, a client
// certificate asked for but judged by Server after the handshake, so that a
// machine without one can enrol, one whose certificate expired can renew, and
// every other is told why it is refused.
//
// certificate is called for each handshake; its chain must hold the leaf, a
// gateway's Identity, and the authority itself, which enrolling machines
// compare with their token's pin. Session tickets are on; gateways that share
// ticket keys call SetSessionTicketKeys on the result.
func ServerTLS(certificate func() (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		NextProtos:     []string{ALPN},
		ClientAuth:     tls.RequestClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate() },
	}
}

// clientTLS returns the TLS configuration of a node. The gateway's
// certificate is judged by verify, never by host name: a gateway is known by
// its Identity, wherever it is reached.
func clientTLS(certificate *tls.Certificate, cache tls.ClientSessionCache, verify func([]*x509.Certificate) error) *tls.Config {
	c := &tls.Config{
		MinVersion:         tls.VersionTLS13,
		NextProtos:         []string{ALPN},
		ClientSessionCache: cache,
		// Replaced by VerifyConnection, which also runs on resumption.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			if s.NegotiatedProtocol != ALPN {
				return fmt.Errorf("server does not speak %s", ALPN)
			}
			return verify(s.PeerCertificates)
		},
	}
	if certificate != nil {
		c.Certificates = []tls.Certificate{*certificate}
	}
	return c
}

// verifyGateway checks that a chain leads from a gateway of the domain (any
// if empty) to one of the roots.
func verifyGateway(chain []*x509.Certificate, roots *x509.CertPool, domain string, now time.Time) error {
	if len(chain) == 0 {
		return errors.New("gateway sent no certificate")
	}
	id, err := IdentityOf(chain[0])
	if err != nil {
		return fmt.Errorf("verify gateway: %w", err)
	}
	if id.Gateway == "" || domain != "" && id.Domain != domain {
		return fmt.Errorf("verify gateway: certificate is of %s, not of a gateway of %q", id, domain)
	}
	if err := verifyChain(chain, roots, x509.ExtKeyUsageServerAuth, now); err != nil {
		return fmt.Errorf("verify gateway: %w", err)
	}
	return nil
}

// verifyPinned checks that a chain leads to an authority with that SPKI hash
// which the peer sent along.
func verifyPinned(chain []*x509.Certificate, pin [32]byte, now time.Time) error {
	roots := x509.NewCertPool()
	found := false
	for _, c := range chain {
		if SPKIHash(c) == pin && c.IsCA {
			roots.AddCert(c)
			found = true
		}
	}
	if !found {
		return errors.New("verify gateway: its authority is not the one the token names; wrong server, or someone is in between")
	}
	return verifyGateway(chain, roots, "", now)
}

func verifyChain(chain []*x509.Certificate, roots *x509.CertPool, usage x509.ExtKeyUsage, now time.Time) error {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage},
	})
	return err
}

// Standing is what a peer's certificate allows it to do.
type Standing uint8

const (
	// Stranger has no certificate: it may only enrol.
	Stranger Standing = iota + 1
	// Lapsed has a certificate that expired less than RenewGrace ago: it may
	// only renew, with the same key.
	Lapsed
	// Member has a valid certificate.
	Member
)

// judge returns the standing and identity of a node's certificate chain. It
// fails for one from a foreign authority, one not yet valid, one expired
// beyond grace, and one that is not a node's.
func judge(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) (Standing, Identity, error) {
	if len(chain) == 0 {
		return Stranger, Identity{}, nil
	}
	standing, leaf := Member, chain[0]
	if now.After(leaf.NotAfter) {
		if now.After(leaf.NotAfter.Add(RenewGrace)) {
			return 0, Identity{}, fmt.Errorf("certificate expired on %s, more than %d days ago: enrol again",
				leaf.NotAfter.UTC().Format(time.DateOnly), RenewGrace/(24*time.Hour))
		}
		standing, now = Lapsed, leaf.NotAfter
	}
	if err := verifyChain(chain, roots, x509.ExtKeyUsageClientAuth, now); err != nil {
		return 0, Identity{}, err
	}
	id, err := IdentityOf(leaf)
	if err != nil {
		return 0, Identity{}, err
	}
	if !id.IsNode() {
		return 0, Identity{}, fmt.Errorf("certificate is of %s, not of a node", id)
	}
	return standing, id, nil
}
