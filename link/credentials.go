package link

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// Credentials are what a node proves itself and knows its gateway by.
type Credentials struct {
	Certificate tls.Certificate // with PrivateKey
	Leaf        *x509.Certificate
	Identity    Identity
	Roots       *x509.CertPool
}

// NewCredentials checks that a DER chain and key belong together and to a
// node. roots are DER too.
func NewCredentials(chain [][]byte, key crypto.Signer, roots [][]byte) (*Credentials, error) {
	if len(chain) == 0 || len(roots) == 0 {
		return nil, errors.New("credentials: certificate or authority missing")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	if public, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(key.Public()) {
		return nil, errors.New("credentials: certificate is of another key")
	}
	id, err := IdentityOf(leaf)
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	if !id.IsNode() {
		return nil, fmt.Errorf("credentials: certificate is of %s, not of a node", id)
	}
	c := &Credentials{
		Certificate: tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf},
		Leaf:        leaf, Identity: id, Roots: x509.NewCertPool(),
	}
	for _, der := range roots {
		root, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("credentials: authority: %w", err)
		}
		c.Roots.AddCert(root)
	}
	return c, nil
}

// NewCSR returns a certificate signing request (PKCS #10, DER) of the key. It
// names nothing: who the node is, the centre says.
func NewCSR(key crypto.Signer) ([]byte, error) {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate signing request: %w", err)
	}
	return csr, nil
}

// Enrol joins a machine to the centre: it connects to the gateway at address,
// checks that the token's authority vouches for it, and sends the request with
// token and CSR filled in. It takes as long as ctx allows.
func Enrol(ctx context.Context, address string, token Token, key crypto.Signer, r *EnrolRequest) (*Enrolled, error) {
	csr, err := NewCSR(key)
	if err != nil {
		return nil, err
	}
	t, err := dial(ctx, address, clientTLS(nil, nil, func(chain []*x509.Certificate) error {
		return verifyPinned(chain, token.Pin, time.Now())
	}))
	if err != nil {
		return nil, err
	}
	defer t.Close()
	stop := context.AfterFunc(ctx, func() { t.NetConn().Close() })
	defer stop()
	r.Token, r.Csr = token.String(), csr
	out, err := ask(t, &Frame{Body: &Frame_Enrol{Enrol: r}})
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	enrolled, ok := out.Body.(*Frame_Enrolled)
	if !ok {
		return nil, fmt.Errorf("enrol: %w", broken("gateway answered with %T", out.Body))
	}
	return enrolled.Enrolled, nil
}

// dial connects and shakes hands.
func dial(ctx context.Context, address string, config *tls.Config) (*tls.Conn, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{}, Config: config}
	nc, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to gateway %s: %w", address, err)
	}
	return nc.(*tls.Conn), nil
}

// ask sends one frame and returns the answer, a Goaway as *Refusal.
func ask(t *tls.Conn, f *Frame) (*Frame, error) {
	if err := writeFrame(t, f); err != nil {
		return nil, err
	}
	for {
		in, err := readFrame(t)
		if err != nil {
			return nil, err
		}
		switch v := in.Body.(type) {
		case nil: // of an unknown kind
		case *Frame_Goaway:
			return nil, v.Goaway.refusal()
		default:
			return in, nil
		}
	}
}
